//! `/guides/{slug}`: one Markdown file.

use std::sync::Arc;

use maud::{Markup, PreEscaped, html};
use perennial::{Context, Failure, Outcome, Page, Params};
use serde::Serialize;

use crate::content::guide::{Guide, is_slug};
use crate::content::{Content, Entry};
use crate::layout::Frame;
use crate::links::href;
use crate::markdown::Heading;
use crate::stamp::Stamp;
use crate::{layout, markdown, stamp};

const PERIOD_SECONDS: u32 = 300;
/// Shorter for a missing guide, which may be written any minute.
const MISSING_PERIOD_SECONDS: u32 = 60;

pub(crate) struct GuidePage(pub(crate) Arc<Content>);

#[derive(Serialize)]
pub(crate) struct Props {
    guide: Guide,
    /// All guides in reading order, with this one.
    guides: Vec<Entry>,
    rendered_at: String,
}

impl Page for GuidePage {
    type Props = Props;

    async fn paths(&self) -> Result<Vec<Params>, Failure> {
        let guides = super::guides(&self.0).await?;
        Ok(guides.into_iter().map(|guide| Params::new().with("slug", guide.slug)).collect())
    }

    async fn props(&self, cx: &Context) -> Result<Outcome<Props>, Failure> {
        let slug = cx.param("slug");
        if !is_slug(slug) {
            return Ok(Outcome::not_found());
        }
        // Every guide shows the list of all guides, so any change concerns it.
        let tags = ["guides".to_owned(), format!("guide:{slug}")];
        let guides = super::guides(&self.0).await?;
        let Some(guide) = guides.iter().find(|guide| guide.slug == slug) else {
            return Ok(Outcome::not_found().revalidate(MISSING_PERIOD_SECONDS).tags(tags));
        };
        let props = Props {
            guide: guide.clone(),
            guides: guides.iter().map(Entry::from).collect(),
            rendered_at: stamp::now(),
        };
        Ok(Outcome::page(props).revalidate(PERIOD_SECONDS).tags(tags))
    }

    fn render(&self, props: &Props, cx: &Context) -> Result<String, Failure> {
        let (base, guide) = (cx.base_path(), &props.guide);
        let text = markdown::render(&guide.markdown, base);
        let toc = toc(&text.headings);
        let content = html! {
            div.wrap.book.with-toc {
                div.shelf { (guide_list(base, props)) }
                article {
                    header {
                        h1 { (guide.title) }
                        p.lead { (guide.description) }
                        (layout::tags(base, &guide.tags))
                    }
                    details.toc { summary { "On this page" } nav aria-label="On this page" { (toc) } }
                    div.prose { (PreEscaped(&text.html)) }
                    (previous_and_next(base, props))
                }
                aside.toc { nav aria-label="On this page" { p.eyebrow { "On this page" } (toc) } }
            }
        };
        let frame = Frame {
            base,
            path: cx.path(),
            title: &guide.title,
            description: &guide.description,
            stamp: Some(Stamp::new(&props.rendered_at, cx)),
        };
        Ok(layout::document(&frame, &content))
    }
}

fn toc(headings: &[Heading]) -> Markup {
    html! {
        ol {
            @for heading in headings.iter().filter(|h| h.level <= 3) {
                li.deep[heading.level == 3] { a href={ "#" (heading.id) } { (heading.text) } }
            }
        }
    }
}

fn guide_list(base: &str, props: &Props) -> Markup {
    html! {
        nav aria-label="Guides" {
            p.eyebrow { "Guides" }
            ol {
                @for entry in &props.guides {
                    li {
                        a href=(address(base, entry)) aria-current=[(entry.slug == props.guide.slug).then_some("page")] { (entry.title) }
                    }
                }
            }
        }
    }
}

fn previous_and_next(base: &str, props: &Props) -> Markup {
    let here = props.guides.iter().position(|entry| entry.slug == props.guide.slug);
    let before = here.and_then(|at| at.checked_sub(1)).and_then(|at| props.guides.get(at));
    let after = here.and_then(|at| props.guides.get(at + 1));
    html! {
        nav.turn aria-label="Previous and next guide" {
            @if let Some(entry) = before {
                a.previous rel="prev" href=(address(base, entry)) { span.eyebrow { "Previous" } (entry.title) }
            }
            @if let Some(entry) = after {
                a.next rel="next" href=(address(base, entry)) { span.eyebrow { "Next" } (entry.title) }
            }
        }
    }
}

fn address(base: &str, entry: &Entry) -> String {
    href(base, &format!("/guides/{}", entry.slug))
}
