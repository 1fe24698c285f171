//! The 404 page and the 5xx page.

use maud::{Markup, html};
use perennial::ErrorContext;

use crate::layout;
use crate::layout::Frame;
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
    // An empty path marks no entry of the menu.
    layout::document(&Frame { base: cx.base_path, path: "", title, description, stamp: None }, &content)
}

fn not_found(cx: &ErrorContext<'_>) -> Markup {
    html! {
        p { "There is no page at " code { (cx.path) } ". It may have moved, or not been written yet." }
    }
}

fn failed(cx: &ErrorContext<'_>) -> Markup {
    html! {
        @if let Some(error) = cx.error {
            p { "It could not be rendered. Under development every request renders its page anew: mend the error, then reload." }
            p.eyebrow { "The error, shown under development only" }
            pre tabindex="0" { code { (error) } }
        } @else {
            // Says nothing about a stored page: there may be one that must not be shown.
            p { "It could not be rendered just now. Reload it to try again." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_and_the_error_are_escaped() {
        let path = "/<script>alert(1)</script>";
        for status in [404, 500] {
            let html = page(&ErrorContext { status, path, base_path: "/docs", error: Some("<boom>") });
            assert!(!html.contains("<script>") && !html.contains("<boom>"));
            assert!(html.contains("href=\"/docs\""), "links keep the base path");
            assert_eq!(html.contains("&lt;boom&gt;"), status == 500);
        }
    }

    /// An error page does not know whether a page is stored, and `dev` stores nothing.
    #[test]
    fn an_error_page_says_nothing_about_stored_pages() {
        let html = |error| page(&ErrorContext { status: 500, path: "/a", base_path: "", error });
        assert!(html(Some("boom")).contains("Under development every request renders"));
        assert!(!html(None).contains("Under development"));
        for html in [html(Some("boom")), html(None)] {
            assert!(!html.contains("earlier one") && !html.contains("next request"), "{html}");
        }
    }
}
