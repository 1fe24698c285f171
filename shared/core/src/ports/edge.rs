//! The port to the shared cache in front (a content delivery network).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::key::encode::hex;
use crate::key::page_key::PageKey;
use crate::key::tags::{BROAD_TAG, page_tags, user_tag};
use crate::ports::error::StoreError;

/// A shared cache from which answers can be purged by tag.
pub trait Edge: Send + Sync + 'static {
    /// Purges every answer that carries one of these tags. The caller has committed the new page before. Returns once the
    /// cache has accepted the purge; the cache may carry it out later.
    fn purge(&self, tags: &[String]) -> impl Future<Output = Result<Purged, StoreError>> + Send;

    /// The response header in which this cache looks for an answer's tags, separated by commas and spelt by [`cache_tag`].
    /// `None` if the cache knows no such header.
    fn tag_header(&self) -> Option<&'static str> {
        None
    }

    /// Whether there is such a cache, so that purges reach whoever keeps an answer. Asked once, at the start.
    fn exists(&self) -> bool {
        true
    }

    /// The most tags in one purge. Waiting purges are merged up to this number of tags.
    fn items_max(&self) -> usize {
        usize::MAX
    }

    /// The shortest time between the starts of two purges of this process. Tags that arrive meanwhile go into the next purge.
    fn window(&self) -> Duration {
        Duration::ZERO
    }
}

/// The result of a purge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purged {
    /// The cache has accepted the purge.
    Accepted,
    /// The site has no shared cache.
    #[default]
    NoCache,
}

/// The port of a site without a shared cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEdge;

impl Edge for NoEdge {
    async fn purge(&self, _: &[String]) -> Result<Purged, StoreError> {
        Ok(Purged::NoCache)
    }

    fn exists(&self) -> bool {
        false
    }
}

/// A shared cache whose type is erased. The settings choose the cache at the start, so that a program is not compiled for each
/// cache. Header name and limits are read once: answers to visitors cost no dynamic call.
#[derive(Clone)]
pub struct AnyEdge {
    tag_header: Option<&'static str>,
    items_max: usize,
    window: Duration,
    exists: bool,
    edge: Arc<dyn Purge>,
}

/// [`Edge::purge`] of an erased type.
trait Purge: Send + Sync {
    fn purge<'a>(&'a self, tags: &'a [String]) -> Purging<'a>;
}

type Purging<'a> = Pin<Box<dyn Future<Output = Result<Purged, StoreError>> + Send + 'a>>;

impl<E: Edge> Purge for E {
    fn purge<'a>(&'a self, tags: &'a [String]) -> Purging<'a> {
        Box::pin(Edge::purge(self, tags))
    }
}

impl AnyEdge {
    /// Erases the type of a shared cache.
    pub fn new(edge: impl Edge) -> Self {
        let (tag_header, items_max, window) = (edge.tag_header(), edge.items_max(), edge.window());
        let exists = edge.exists();
        Self { tag_header, items_max, window, exists, edge: Arc::new(edge) }
    }
}

impl Edge for AnyEdge {
    async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
        Purge::purge(&*self.edge, tags).await
    }

    fn tag_header(&self) -> Option<&'static str> {
        self.tag_header
    }

    fn items_max(&self) -> usize {
        self.items_max
    }

    fn window(&self) -> Duration {
        self.window
    }

    fn exists(&self) -> bool {
        self.exists
    }
}

/// CloudFront's limit on one tag, in characters
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html>).
const CACHE_TAG_MAX: usize = 256;

/// The spelling of a tag for a shared cache, in an answer's header and in a purge: visible ASCII without commas. A tag with
/// other characters, or a longer one, is replaced by its hash. CloudFront ignores case: a purge of `a` also purges `A`.
pub fn cache_tag(tag: &str) -> Cow<'_, str> {
    let plain = tag.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if plain && !tag.is_empty() && tag.len() <= CACHE_TAG_MAX {
        return Cow::Borrowed(tag);
    }
    Cow::Owned(format!("h:{}", hex(&Sha256::digest(tag.as_bytes())[..16])))
}

/// CloudFront's limit on one answer, in tags (as above).
const CACHE_TAGS_MAX: usize = 50;

/// The implicit tags of a page, which every answer carries.
const PAGE_TAGS: usize = 3;

/// Whether a shared cache accepts an answer with all these tags, beside the implicit ones.
pub(crate) fn fits(user_tags: &[String]) -> bool {
    user_tags.len() <= CACHE_TAGS_MAX - PAGE_TAGS
}

/// The value of an answer's tag header: the implicit tags of the page, and the render's own tags. With too many own tags,
/// the [broad tag](BROAD_TAG) replaces them.
pub fn cache_tags(page: &PageKey, user_tags: &[String]) -> String {
    let broad = [BROAD_TAG.to_owned()];
    let user_tags = if fits(user_tags) { user_tags } else { &broad };
    let all = page_tags(page).into_iter().chain(user_tags.iter().map(|tag| user_tag(tag)));
    let spelt: Vec<_> = all.map(|tag| cache_tag(&tag).into_owned()).collect();
    spelt.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::suite::pages::kit::page;

    #[test]
    fn an_answer_carries_the_tags_of_its_page_and_of_its_render() {
        let tags = cache_tags(&page("a b"), &["posts".into(), "a, b".into()]);
        let spelt: Vec<_> = tags.split(',').collect();
        assert_eq!(spelt[..4], ["path:/suite/a%20b", "route:/suite/{name}", "site", "tag:posts"]);
        assert!(spelt.len() == 5 && spelt[4].starts_with("h:"), "{tags}");
    }

    #[test]
    fn an_answer_with_too_many_tags_carries_the_broad_one_in_their_place() {
        let tags: Vec<_> = (0..48).map(|n| format!("{n:0>256}")).collect();
        assert_eq!(cache_tags(&page("a"), &tags[1..]).split(',').count(), 50);
        let many = cache_tags(&page("a"), &tags);
        assert_eq!(many, "path:/suite/a,route:/suite/{name},site,tag:perennial:many");
    }

    #[test]
    fn a_tag_that_a_cache_cannot_spell_goes_by_its_hash() {
        let longest = "a".repeat(256);
        for tag in ["path:/blog/caf%C3%A9", "route:/{x}", "~!", &longest] {
            assert_eq!(cache_tag(tag), tag);
        }
        let hashed =
            ["a,b", "a b", "é", "a\n", "", &format!("{longest}a")].map(|tag| cache_tag(tag).into_owned());
        for (n, tag) in hashed.iter().enumerate() {
            assert!(tag.starts_with("h:") && tag.len() == 34 && !hashed[..n].contains(tag), "{tag}");
        }
        assert_eq!(cache_tag("a b"), cache_tag("a b"));
    }
}
