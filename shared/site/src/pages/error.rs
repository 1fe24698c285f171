//! The 404 page and the 5xx page.

use maud::{Markup, html};
use perennial::ErrorContext;

use crate::layout::{self, Frame};
use crate::links::href;

pub(crate) fn page(cx: &ErrorContext<'_>) -> String {
    let missing = cx.status == 404;
    let title = if missing { "Nothing grows here" } else { "This page did not come up" };
    let content = html! {
        div.wrap {
            div.narrow {
                p.status { (cx.status) }
                h1 { (title) }
                @if missing { (not_found(cx)) } @else { (failed(cx)) }
                p.actions { a.button href=(href(cx.base_path, "/")) { "To the front page" } }
            }
        }
    };
    let description = if missing { "No such page." } else { "The page could not be rendered." };
    // An error page belongs to no place in the menu.
    layout::document(&Frame { base: cx.base_path, path: "", title, description, stamp: None }, &content)
}

fn not_found(cx: &ErrorContext<'_>) -> Markup {
    html! {
        p { "There is no page at " code { (cx.path) } ". It may have moved, or not been written yet." }
    }
}

fn failed(cx: &ErrorContext<'_>) -> Markup {
    html! {
        p { "It could not be rendered, and there is no earlier one to show. The next request tries again." }
        @if let Some(error) = cx.error {
            p.eyebrow { "What went wrong, for you as its author" }
            pre tabindex="0" { code { (error) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_path_and_an_error_are_escaped() {
        let path = "/<script>alert(1)</script>";
        for status in [404, 500] {
            let html = page(&ErrorContext { status, path, base_path: "/docs", error: Some("<boom>") });
            assert!(!html.contains("<script>") && !html.contains("<boom>"));
            assert!(html.contains("href=\"/docs\""), "links keep the base path");
            assert_eq!(html.contains("&lt;boom&gt;"), status == 500);
        }
    }
}
