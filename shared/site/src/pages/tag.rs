//! `/tags/{tag}`: the guides that carry a tag.

use std::collections::BTreeSet;
use std::sync::Arc;

use maud::html;
use perennial::{Context, Failure, Outcome, Page, Params};
use serde::Serialize;

use crate::content::guide::is_slug;
use crate::content::{Content, Entry};
use crate::layout::Frame;
use crate::links::href;
use crate::stamp::Stamp;
use crate::{layout, stamp};

const PERIOD_SECONDS: u32 = 300;

pub(crate) struct TagPage(pub(crate) Arc<Content>);

#[derive(Serialize)]
pub(crate) struct Props {
    tag: String,
    guides: Vec<Entry>,
    rendered_at: String,
}

impl Page for TagPage {
    type Props = Props;

    async fn paths(&self) -> Result<Vec<Params>, Failure> {
        let tags: BTreeSet<String> =
            super::guides(&self.0).await?.into_iter().flat_map(|guide| guide.tags).collect();
        Ok(tags.into_iter().map(|tag| Params::new().with("tag", tag)).collect())
    }

    async fn props(&self, cx: &Context) -> Result<Outcome<Props>, Failure> {
        let tag = cx.param("tag");
        if !is_slug(tag) {
            return Ok(Outcome::not_found());
        }
        let mut guides = super::guides(&self.0).await?;
        guides.retain(|guide| guide.tags.iter().any(|t| t == tag));
        let outcome = if guides.is_empty() {
            Outcome::not_found()
        } else {
            let guides = guides.iter().map(Entry::from).collect();
            Outcome::page(Props { tag: tag.to_owned(), guides, rendered_at: stamp::now() })
        };
        Ok(outcome.revalidate(PERIOD_SECONDS).tag("guides"))
    }

    fn render(&self, props: &Props, cx: &Context) -> Result<String, Failure> {
        let base = cx.base_path();
        let content = html! {
            div.wrap {
                div.narrow {
                    p.eyebrow { "Tag" }
                    h1 { (props.tag) }
                    (layout::contents(base, &props.guides))
                    p { a href=(href(base, "/#guides")) { "All guides" } }
                }
            }
        };
        let frame = Frame {
            base,
            path: cx.path(),
            title: &props.tag,
            description: &format!("Guides about {}.", props.tag),
            stamp: Some(Stamp::new(&props.rendered_at, cx)),
        };
        Ok(layout::document(&frame, &content))
    }
}
