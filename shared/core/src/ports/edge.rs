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

/// A shared cache that can be told to forget.
pub trait Edge: Send + Sync + 'static {
    /// Accepts that no answer carrying any of these tags may be served from the cache any more. Called after the
    /// new page is committed; returns once the cache has accepted the order, not once it has carried it out.
    fn purge(&self, tags: &[String]) -> impl Future<Output = Result<Purged, StoreError>> + Send;

    /// The response header in which this cache looks for an answer's tags, each spelt as [`cache_tag`] has it and
    /// separated by commas. `None` if it knows none.
    fn tag_header(&self) -> Option<&'static str> {
        None
    }

    /// Tags of one order; orders are gathered up to this many.
    fn items_max(&self) -> usize {
        usize::MAX
    }

    /// How long after the beginning of an order the next one of this process begins at the earliest; what is asked for
    /// meanwhile is in it.
    fn window(&self) -> Duration {
        Duration::ZERO
    }
}

/// What an order to forget came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purged {
    /// The cache has accepted it.
    Accepted,
    /// There is no cache to tell.
    #[default]
    NoCache,
}

/// No shared cache in front.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEdge;

impl Edge for NoEdge {
    async fn purge(&self, _: &[String]) -> Result<Purged, StoreError> {
        Ok(Purged::NoCache)
    }
}

/// Some shared cache, which one the settings say: programs are not compiled once for each. What it tells of itself is asked
/// once, so that an answer to a visitor costs no more than with a known one.
#[derive(Clone)]
pub struct AnyEdge {
    tag_header: Option<&'static str>,
    items_max: usize,
    window: Duration,
    edge: Arc<dyn Purge>,
}

/// [`Edge::purge`] of a type that is forgotten.
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
    /// This shared cache.
    pub fn new(edge: impl Edge) -> Self {
        let (tag_header, items_max, window) = (edge.tag_header(), edge.items_max(), edge.window());
        Self { tag_header, items_max, window, edge: Arc::new(edge) }
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
}

/// CloudFront's limit of one tag, in characters
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html>).
const CACHE_TAG_MAX: usize = 256;

/// A tag as a shared cache spells it, in an answer's `cache-tag` header and in an order to forget: visible ASCII without
/// commas. What has anything else, or is too long, goes by its hash. Two tags that differ in nothing but the case of
/// their letters are one to CloudFront, which then forgets too much.
pub fn cache_tag(tag: &str) -> Cow<'_, str> {
    let plain = tag.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if plain && !tag.is_empty() && tag.len() <= CACHE_TAG_MAX {
        return Cow::Borrowed(tag);
    }
    Cow::Owned(format!("h:{}", hex(&Sha256::digest(tag.as_bytes())[..16])))
}

/// CloudFront's limit of one answer, in tags (as above). An answer's own are three of them.
const CACHE_TAGS_MAX: usize = 50;
const PAGE_TAGS: usize = 3;

/// Whether a shared cache takes all these tags of one answer.
pub(crate) fn fits(user_tags: &[String]) -> bool {
    user_tags.len() <= CACHE_TAGS_MAX - PAGE_TAGS
}

/// The tags of an answer in its header: those of its page, and those its render gave, or if they are too many, the
/// [broad one](BROAD_TAG).
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
