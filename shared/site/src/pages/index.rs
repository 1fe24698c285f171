//! `/`: an introduction to Perennial, the guides, and the stamp of this page's own render.

use std::sync::Arc;

use maud::{Markup, PreEscaped, html};
use perennial::{Context, Failure, Outcome, Page};
use serde::Serialize;

use crate::content::{Content, Entry};
use crate::layout::Frame;
use crate::links::href;
use crate::stamp::Stamp;
use crate::{layout, stamp};

const PERIOD_SECONDS: u32 = 60;
const PLANT: &str = include_str!("../../assets/plant.svg");
const ASK: &str = include_str!("../../assets/ask.js");

pub(crate) struct IndexPage(pub(crate) Arc<Content>);

#[derive(Serialize)]
pub(crate) struct Props {
    guides: Vec<Entry>,
    rendered_at: String,
}

impl Page for IndexPage {
    type Props = Props;

    async fn props(&self, _: &Context) -> Result<Outcome<Props>, Failure> {
        let guides = super::guides(&self.0).await?.iter().map(Entry::from).collect();
        Ok(Outcome::page(Props { guides, rendered_at: stamp::now() })
            .revalidate(PERIOD_SECONDS)
            .tag("guides"))
    }

    fn render(&self, props: &Props, cx: &Context) -> Result<String, Failure> {
        let base = cx.base_path();
        let stamp = Stamp::new(&props.rendered_at, cx);
        let content = html! {
            div.wrap {
                (hero(base))
                section.band.split #rendered aria-labelledby="rendered-title" {
                    (about_the_stamp(&stamp))
                    (stamp_card(&stamp))
                }
                section.band #guides aria-labelledby="guides-title" {
                    h2 #guides-title { "Guides" }
                    p.soft { "From a first page to three functions. Read in order, or take what you need." }
                    (layout::contents(base, &props.guides))
                }
                (states(base))
            }
            script { (PreEscaped(ASK)) }
        };
        let frame = Frame {
            base,
            path: cx.path(),
            title: "Incremental Static Regeneration for Rust",
            description: "Pages that are rendered once, stored, and renewed behind their visitors' backs: on AWS Lambda, in a container, on a laptop.",
            stamp: Some(stamp),
        };
        Ok(layout::document(&frame, &content))
    }
}

fn hero(base: &str) -> Markup {
    html! {
        section.hero {
            div {
                p.eyebrow { "Incremental Static Regeneration for Rust" }
                h1 { "Pages that grow\u{a0}back" }
                p.lead {
                    "Perennial renders a page once, keeps it, and serves what it kept. When the page grows old, or a webhook "
                    "says that its content has changed, a new one comes up from the same root while visitors go on reading."
                }
                p.actions {
                    a.button href=(href(base, "/guides/getting-started")) { "Get started" }
                    a.button.quiet href=(href(base, "/guides/how-isr-works")) { "How it works" }
                }
            }
            (PreEscaped(PLANT))
        }
    }
}

fn about_the_stamp(stamp: &Stamp<'_>) -> Markup {
    html! {
        div.heading {
            h2 #rendered-title { "This page is one of them" }
            // Generation 0: `dev` stores nothing.
            @if stamp.generation == 0 {
                p { "You are reading an answer that was rendered for you alone, and is not stored: so is every answer in development." }
            } @else {
                p {
                    "You are reading a stored answer. It was rendered once, by the render the label names, and "
                    "every visitor since then got the same bytes."
                }
                p {
                    "It stays fresh for " (PERIOD_SECONDS) " seconds. Whoever comes first after that still gets "
                    "this one at once, and the next one is rendered behind the scenes. Ask twice and watch."
                }
            }
        }
    }
}

fn stamp_card(stamp: &Stamp<'_>) -> Markup {
    html! {
        div.label {
            p.number title="Generation" { small { "№" } (stamp.generation) }
            h3 { "How this page was rendered" }
            dl {
                dt { "Rendered" } dd { time datetime=(stamp.rendered_at) { (stamp.time_for_people()) } }
                dt { "Generation" } dd { (stamp.generation) }
                dt { "Reason" } dd { (stamp.reason) span { ": " (stamp.reason_for_people()) } }
                dt { "Build" } dd { (stamp.build) }
                dt { "Fresh for" } dd { (PERIOD_SECONDS) " s" span { " from the start of the render" } }
            }
            div.ask #ask hidden {
                button.button.quiet type="button" { "Ask for it again" }
                ol aria-live="polite" {}
            }
            noscript { p.soft { "Ask again from a terminal: " code { "curl -sI" } " shows " code { "x-perennial-cache" } "." } }
        }
    }
}

fn states(base: &str) -> Markup {
    html! {
        section.band aria-labelledby="moments-title" {
            h2 #moments-title { "Four moments of one page" }
            ol.moments {
                li {
                    h3 { "Missing" } code { "MISS" }
                    p { "Nobody has asked for it. The first visitor waits for the render; all others who come meanwhile share it." }
                }
                li {
                    h3 { "Fresh" } code { "HIT" }
                    p { "The stored page is the answer. No page code runs." }
                }
                li {
                    h3 { "Stale" } code { "STALE" }
                    p { "Still the answer, at once. One process among all renders the next one. If that fails, this one stays." }
                }
                li {
                    h3 { "Revalidated" } code { "HIT" }
                    p {
                        "A publisher " a href=(href(base, "/guides/on-demand-revalidation")) { "asked for a new one" }
                        ", and was answered once visitors got it."
                    }
                }
            }
        }
    }
}
