//! Perennial's own documentation, served by Perennial: the demo site, and the example to start from.
//!
//! In the order in which a page is made: [`content`] reads Markdown files, `pages` chooses the content of a path, `markdown` and
//! `layout` turn the content into HTML, and `stamp` adds the time and the reason of the render.

use std::path::PathBuf;
use std::sync::Arc;

use perennial::{Route, Site};

pub mod content;
mod highlight;
mod layout;
mod links;
mod markdown;
mod pages;
mod stamp;

use content::Content;
use pages::{error, guide::GuidePage, index::IndexPage, posts::PostsPage, tag::TagPage};

/// The guide whose example is a whole site. The example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../content/guides/getting-started.md")]
struct GettingStarted;

/// The guide whose examples are whole programs. They are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../content/guides/axum.md")]
struct Axum;

/// What the site reads from its environment, once.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder that holds `guides/*.md`. `None`: this crate's own folder, or the compiled-in copies if that does not exist.
    pub content: Option<PathBuf>,
    /// The URL of the posts: a JSON list of `{id, title, body}`.
    pub posts_url: Option<String>,
}

impl Options {
    /// Reads `PERENNIAL_SITE_CONTENT` and `POSTS_URL`. An empty variable counts as unset.
    pub fn from_env() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one place where the site reads its own settings")]
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { content: read("PERENNIAL_SITE_CONTENT").map(PathBuf::from), posts_url: read("POSTS_URL") }
    }
}

/// The site, with its options from the environment.
pub fn site() -> Site {
    with(Options::from_env())
}

/// The site with these options.
pub fn with(options: Options) -> Site {
    let content = Arc::new(Content::new(options.content));
    Site::new()
        .route(Route::new("/", IndexPage(content.clone())))
        .route(Route::new("/guides/{slug}", GuidePage(content.clone())))
        .route(Route::new("/tags/{tag}", TagPage(content)))
        .route(Route::new("/posts", PostsPage::new(options.posts_url)))
        .not_found(error::page)
        .error(error::page)
        .webhooks(include_str!("../webhooks.json"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_site_is_ready() {
        with(Options::default()).ready(None, None).unwrap();
    }

    /// Every JSON block of the guide on webhooks is a valid rule.
    #[test]
    fn the_rules_in_the_guide_are_valid() {
        let guide = include_str!("../content/guides/webhooks.md");
        let blocks = guide.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let rules: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
        assert!(rules.len() > 10);
        for rule in rules {
            let rules = if rule["rules"].is_array() { rule } else { serde_json::json!({ "rules": [rule] }) };
            let routes = ["/blog/{slug}", "/guides/{slug}", "/products/{handle}", "/{*path}"];
            let site = routes
                .into_iter()
                .fold(Site::new(), |site, route| site.route(Route::new(route, PostsPage::new(None))));
            site.webhooks(rules.to_string()).ready(None, None).unwrap();
        }
    }
}
