//! The frame around every page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::links::href;
use crate::stamp::Stamp;

const STYLE: &str = include_str!("../assets/style.css");
const MARK: &str = include_str!("../assets/mark.svg");
const FAVICON: &str = include_str!("../assets/favicon.svg");

/// The parts of the frame that differ from page to page.
pub(crate) struct Frame<'a> {
    /// Prefix of internal links.
    pub(crate) base: &'a str,
    /// Decoded path of the page, to mark its place in the menu.
    pub(crate) path: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// `None` on error pages, which have no stamp.
    pub(crate) stamp: Option<Stamp<'a>>,
}

/// A whole HTML document.
pub(crate) fn document(frame: &Frame<'_>, content: &Markup) -> String {
    let Frame { base, path, title, description, stamp } = frame;
    let full_title =
        if *path == "/" { format!("Perennial: {title}") } else { format!("{title} · Perennial") };
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (full_title) }
                meta name="description" content=(description);
                meta name="theme-color" media="(prefers-color-scheme: light)" content="#f6f8f3";
                meta name="theme-color" media="(prefers-color-scheme: dark)" content="#0e1612";
                link rel="icon" type="image/svg+xml" href=(data_uri(FAVICON));
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    div.wrap {
                        a.brand href=(href(base, "/")) { (PreEscaped(MARK)) "Perennial" }
                        nav aria-label="Site" {
                            @for (name, to, section) in MENU {
                                a href=(href(base, to)) aria-current=[path.starts_with(section).then_some("true")] { (name) }
                            }
                        }
                    }
                }
                main #content tabindex="-1" { (content) }
                footer.foot {
                    div.wrap {
                        @if let Some(stamp) = stamp { (stamp_line(stamp)) }
                        p { "Perennial, served by Perennial." }
                    }
                }
            }
        }
    };
    document.into_string()
}

const MENU: [(&str, &str, &str); 3] = [
    ("Get started", "/guides/getting-started", "/guides/getting-started"),
    ("Guides", "/#guides", "/guides/"),
    ("Posts", "/posts", "/posts"),
];

fn stamp_line(stamp: &Stamp<'_>) -> Markup {
    html! {
        dl aria-label="How this page was rendered" {
            div { dt { "Rendered" } dd { time datetime=(stamp.rendered_at) { (stamp.time_for_people()) } } }
            div { dt { "Generation" } dd { (stamp.generation) } }
            div { dt { "Reason" } dd { (stamp.reason) } }
            div { dt { "Build" } dd { (stamp.build) } }
        }
    }
}

/// A list of guides. More than four stand in two columns on wide screens, read from top to bottom.
pub(crate) fn contents(base: &str, entries: &[crate::content::Entry]) -> Markup {
    html! {
        ol.contents.wide[entries.len() > 4] style={ "--rows:" (entries.len().div_ceil(2)) } {
            @for entry in entries {
                li {
                    div {
                        a.title href=(href(base, &format!("/guides/{}", entry.slug))) { (entry.title) }
                        p { (entry.description) }
                        (tags(base, &entry.tags))
                    }
                }
            }
        }
    }
}

/// Links to the pages of these tags.
pub(crate) fn tags(base: &str, tags: &[String]) -> Markup {
    html! {
        @if !tags.is_empty() {
            ul.tags aria-label="Tags" {
                @for tag in tags {
                    li { a href=(href(base, &format!("/tags/{tag}"))) { (tag) } }
                }
            }
        }
    }
}

/// An SVG file as a data URI. Only characters that would end the attribute or the URI are encoded.
fn data_uri(svg: &str) -> String {
    let encoded = svg
        .trim()
        .replace('%', "%25")
        .replace('#', "%23")
        .replace('"', "'")
        .replace('<', "%3C")
        .replace('>', "%3E");
    format!("data:image/svg+xml,{encoded}")
}
