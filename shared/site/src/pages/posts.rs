//! `/posts`: a page from an upstream, the JSON list at `POSTS_URL`. When the upstream is down, the last good page stays.

use std::time::Duration;

use maud::{Markup, html};
use perennial::{Context, Failure, Outcome, Page};
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::layout::Frame;
use crate::links::href;
use crate::stamp::Stamp;
use crate::{layout, stamp};

const PERIOD_SECONDS: u32 = 60;
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
const POSTS_SHOWN_MAX: usize = 100;

/// The page. Without an upstream it explains how to set one.
pub(crate) struct PostsPage(Option<Upstream>);

struct Upstream {
    url: String,
    /// The client, or why there is none: each render then fails with this message.
    client: Result<reqwest::Client, String>,
}

/// One post of the upstream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Post {
    id: serde_json::Value,
    title: String,
    body: String,
}

#[derive(Serialize)]
pub(crate) struct Props {
    /// `None` where the site has no `POSTS_URL`.
    posts: Option<Vec<Post>>,
    rendered_at: String,
}

impl PostsPage {
    pub(crate) fn new(url: Option<String>) -> Self {
        Self(url.map(|url| Upstream { url, client: client() }))
    }
}

impl Upstream {
    /// Fetches the posts and the header fields of the answer, which may hold cache tags.
    async fn fetch(&self) -> Result<(Vec<Post>, HeaderMap), Failure> {
        let client = self.client.as_ref().map_err(Failure::new)?;
        let mut answer =
            client.get(&self.url).header("accept", "application/json").send().await.map_err(without_url)?;
        if !answer.status().is_success() {
            // An error, not an empty list, so that the last good page stays.
            let failure = Failure::new(format!("POSTS_URL answered {}", answer.status()));
            return Err(match retry_after(&answer) {
                Some(delay) => failure.retry_after(delay),
                None => failure,
            });
        }
        let head = std::mem::take(answer.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(without_url)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failure::new(format!("POSTS_URL answered more than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut posts: Vec<Post> = serde_json::from_slice(&body).map_err(|e| {
            Failure::new(format!("POSTS_URL did not answer a list of {{id, title, body}}: {e}"))
        })?;
        posts.truncate(POSTS_SHOWN_MAX);
        Ok((posts, head))
    }
}

impl Page for PostsPage {
    type Props = Props;

    async fn props(&self, _: &Context) -> Result<Outcome<Props>, Failure> {
        let rendered_at = stamp::now();
        let (posts, head) = match &self.0 {
            Some(upstream) => upstream.fetch().await.map(|(posts, head)| (Some(posts), head))?,
            None => (None, HeaderMap::new()),
        };
        let page = Outcome::page(Props { posts, rendered_at }).revalidate(PERIOD_SECONDS);
        Ok(page.tag("posts").tags_from(&head))
    }

    fn render(&self, props: &Props, cx: &Context) -> Result<String, Failure> {
        let base = cx.base_path();
        let content = html! {
            div.wrap {
                div.narrow {
                    p.eyebrow { "From an upstream" }
                    h1 { "Posts" }
                    @match &props.posts {
                        Some(posts) => (list(posts)),
                        None => (how_to(base)),
                    }
                }
            }
        };
        let frame = Frame {
            base,
            path: cx.path(),
            title: "Posts",
            description: "A page rendered from a JSON upstream, and kept when that is down.",
            stamp: Some(Stamp::new(&props.rendered_at, cx)),
        };
        Ok(layout::document(&frame, &content))
    }
}

fn list(posts: &[Post]) -> Markup {
    html! {
        p.soft { "Fetched by this render. If the upstream fails, the page you see now stays." }
        @for post in posts {
            section.post data-id=(post.id) {
                h2 { (post.title) }
                p { (post.body) }
            }
        }
        @if posts.is_empty() { p { "The upstream has no posts." } }
    }
}

fn how_to(base: &str) -> Markup {
    html! {
        p {
            "This page is rendered from JSON that it fetches from somewhere else: a list of objects with "
            code { "id" } ", " code { "title" } " and " code { "body" } ". This site has not been told from where."
        }
        p { "Give it an address, and start it again:" }
        pre tabindex="0" { code { "POSTS_URL=https://jsonplaceholder.typicode.com/posts cargo run" } }
        p {
            "Then take the upstream away. " a href=(href(base, "/guides/error-handling")) { "Nothing changes for visitors" }
            ": a render that fails leaves the last good page where it is."
        }
    }
}

fn client() -> Result<reqwest::Client, String> {
    // Fails if the program has installed a provider before; that provider is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(ANSWER_TIME_MAX)
        .build()
        .map_err(|e| format!("no HTTP client for POSTS_URL: {}", Failure::from(e).message()))
}

/// Removes the URL from the error, because the URL may hold a password.
fn without_url(error: reqwest::Error) -> Failure {
    Failure::from(error.without_url())
}

fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
