//! The port to the shared cache in front (a content delivery network).

use std::borrow::Cow;
use std::future::Future;

use sha2::{Digest, Sha256};

use crate::key::hex;
use crate::store::StoreError;

#[cfg(feature = "aws")]
pub mod cloudfront;

/// A shared cache that can be told to forget.
pub trait Edge: Send + Sync + 'static {
    /// Accepts that no answer carrying any of these tags may be served from the cache any more. Called after the
    /// new page is committed; returns once the cache has accepted the order, not once it has carried it out.
    fn purge(&self, tags: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// No shared cache in front.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEdge;

impl Edge for NoEdge {
    async fn purge(&self, _: &[String]) -> Result<(), StoreError> {
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

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
