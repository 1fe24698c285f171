//! Purges a CloudFront distribution by invalidations: by cache tag, or by path
//! (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Invalidation.html>).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::OnceCell;

use crate::cdn::cloudfront::settings::{CloudFrontSettings, EdgePurge};
use crate::key::encode::{encode_into, hex};
use crate::key::url::Urls;
use crate::ports::edge::{Edge, Purged, cache_tag};
use crate::ports::error::StoreError;
use crate::stores::aws::account::{Account, read_parameter};
use crate::stores::aws::call::Call;
use crate::stores::aws::errors::write_error;

/// The tag that every page carries.
const SITE: &str = "site";

/// The prefix of a path's tag.
const PATH: &str = "path:";

/// The [`Edge`] that is one CloudFront distribution.
#[derive(Clone)]
pub struct CloudFront {
    account: Account,
    invalidations: Invalidations,
    distribution: Distribution,
    /// The distribution's id, once it is known.
    id: Arc<OnceCell<String>>,
}

/// The distribution to purge.
#[derive(Clone, Debug)]
enum Distribution {
    /// No distribution, or one that is not purged (`PERENNIAL_EDGE_PURGE` is `off`).
    None,
    /// The distribution with this id.
    Id(String),
    /// The distribution whose id is in the SSM parameter with this name. CloudFormation cannot put the id into the settings of
    /// a function that is the distribution's origin.
    Parameter(String),
}

/// The response header that the distribution's `CacheTagConfig` names.
const CACHE_TAG: &str = "cache-tag";

/// The form of invalidations.
#[derive(Clone, Debug)]
struct Invalidations {
    /// Whether items are tags; otherwise they are paths. A distribution knows tags if its `CacheTagConfig` names the header
    /// `cache-tag`.
    by_tag: bool,
    /// The most items of one invalidation. With more, the whole site is one item.
    items_max: usize,
    /// The shortest time between the starts of two invalidations.
    window: Duration,
    /// The spelling of pages' addresses, for items that are paths.
    urls: Urls,
}

impl Invalidations {
    /// The items that invalidate these tags. By path, a page has one item for its HTML and one for its data JSON. Variants with
    /// a query are reached by tags alone.
    fn items(&self, tags: &[String]) -> Vec<String> {
        let mut items: Vec<String> = Vec::new();
        for tag in tags {
            if self.by_tag {
                items.push(format!("#{}", cache_tag(tag)));
            } else if let Some(path) = tag.strip_prefix(PATH) {
                items.extend([self.urls.page(path), self.urls.data(path)]);
            } else {
                return self.everything();
            }
        }
        items.sort_unstable();
        items.dedup();
        if items.len() > self.items_max { self.everything() } else { items }
    }

    fn everything(&self) -> Vec<String> {
        match (self.by_tag, &*self.urls.base_path) {
            (true, _) => vec![format!("#{SITE}")],
            (false, "") => vec!["/*".into()],
            (false, base_path) => vec![format!("{base_path}*")],
        }
    }
}

impl CloudFront {
    /// The distribution that the settings name, purged with the credentials of this account. `urls` spells the addresses of
    /// pages as visitors see them.
    pub fn new(account: Account, settings: &CloudFrontSettings, urls: Urls) -> Self {
        let distribution = match (&settings.distribution, &settings.distribution_from) {
            _ if settings.purge == EdgePurge::Off => Distribution::None,
            (Some(id), _) => Distribution::Id(id.clone()),
            (None, Some(name)) => Distribution::Parameter(name.clone()),
            (None, None) => Distribution::None,
        };
        let by_tag = settings.purge == EdgePurge::Tags;
        let invalidations =
            Invalidations { by_tag, items_max: settings.max_purges, window: settings.window, urls };
        Self { account, invalidations, distribution, id: Arc::default() }
    }

    /// The distribution's id; `None` if there is no distribution to purge.
    async fn id(&self) -> Result<Option<&str>, StoreError> {
        let read = async || match &self.distribution {
            Distribution::Parameter(name) => self.parameter(name).await,
            Distribution::Id(id) => Ok(id.clone()),
            Distribution::None => Ok(String::new()),
        };
        let id = self.id.get_or_try_init(read).await?;
        Ok(Some(&**id).filter(|id| !id.is_empty()))
    }

    async fn parameter(&self, name: &str) -> Result<String, StoreError> {
        read_parameter(&self.account, name).await?.ok_or_else(|| {
            StoreError::refused(format!("the parameter {name} of PERENNIAL_DISTRIBUTION_FROM has no value"))
        })
    }
}

impl Edge for CloudFront {
    fn tag_header(&self) -> Option<&'static str> {
        self.invalidations.by_tag.then_some(CACHE_TAG)
    }

    fn items_max(&self) -> usize {
        self.invalidations.items_max
    }

    fn window(&self) -> Duration {
        // Without a distribution no call waits.
        if matches!(self.distribution, Distribution::None) {
            Duration::ZERO
        } else {
            self.invalidations.window
        }
    }

    async fn purge(&self, tags: &[String]) -> Result<Purged, StoreError> {
        let items = self.invalidations.items(tags);
        let Some(id) = self.id().await?.filter(|_| !items.is_empty()) else { return Ok(Purged::NoCache) };
        let mut path = "/2020-05-31/distribution/".to_owned();
        encode_into(&mut path, id);
        path.push_str("/invalidation");
        // CloudFront carries out a repeated invalidation with the same reference only once.
        let mut reference = [0; 16];
        getrandom::fill(&mut reference).map_err(|e| StoreError::refused(e.to_string()))?;
        let (action, caller) = ("cloudfront:CreateInvalidation", &self.account.caller);
        let call = Call {
            action,
            method: Method::POST,
            url: &caller.url("cloudfront", &path),
            headers: &[("content-type", "application/xml")],
            body: batch(&items, &hex(&reference)).into(),
        };
        let told = caller.call(call).await;
        told.map_err(|e| write_error(action, "tell the distribution what changed", &e))?;
        tracing::info!(edge.items = items.len(), "the distribution was told what changed");
        Ok(Purged::Accepted)
    }
}

/// The invalidation's XML (<https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>).
fn batch(items: &[String], reference: &str) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>{}</Quantity><Items>",
        items.len()
    );
    for item in items {
        let item = item.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(xml, "<Path>{item}</Path>");
    }
    let _ = write!(xml, "</Items></Paths><CallerReference>{reference}</CallerReference></InvalidationBatch>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tags::{page_tags, user_tag};
    use crate::ports::suite::pages::kit::page;

    fn invalidations(by_tag: bool, base_path: &str) -> Invalidations {
        let urls = Urls { base_path: base_path.into(), trailing_slash: false, build: "b1".into() };
        Invalidations { by_tag, items_max: 4, window: Duration::ZERO, urls }
    }

    #[test]
    fn an_invalidation_names_what_changed() {
        let [path, route, site] = page_tags(&page("é"));
        assert_eq!((&*site, path.starts_with(PATH)), (SITE, true));
        let items = |by_tag, base_path: &str, tags: &[&String]| {
            invalidations(by_tag, base_path).items(&tags.iter().map(|tag| (*tag).clone()).collect::<Vec<_>>())
        };
        assert_eq!(items(true, "/docs", &[&path]), ["#path:/suite/%C3%A9"]);
        let posts = user_tag("posts");
        assert_eq!(items(true, "", &[&posts, &path, &posts]), ["#path:/suite/%C3%A9", &format!("#{posts}")]);
        assert_eq!(items(true, "", &[&route]), ["#route:/suite/{name}"]);
        let (html, data) = ("/docs/suite/%C3%A9", "/docs/_perennial/data/b1/suite/%C3%A9.json");
        assert_eq!(items(false, "/docs", &[&path]), [data, html]);
        assert_eq!(items(false, "/docs", &[&path, &posts]), ["/docs*"]);
        assert_eq!(items(false, "", &[&site]), ["/*"]);
        assert!(items(false, "", &[]).is_empty());
    }

    #[test]
    fn a_long_invalidation_is_one_item_for_the_whole_site() {
        let tags: Vec<_> = (0..5).map(|n| format!("{PATH}/{n}")).collect();
        assert_eq!(invalidations(true, "").items(&tags[..4]).len(), 4);
        assert_eq!(invalidations(true, "").items(&tags), ["#site"]);
        assert_eq!(invalidations(false, "").items(&tags[..2]).len(), 4, "HTML and data");
        assert_eq!(invalidations(false, "").items(&tags[..3]), ["/*"]);
    }

    #[test]
    fn an_invalidation_is_xml() {
        let xml = batch(&["#a&b<c>".into(), "#d".into()], "ref");
        let items = "<Paths><Quantity>2</Quantity><Items><Path>#a&amp;b&lt;c&gt;</Path><Path>#d</Path></Items></Paths>";
        assert!(
            xml.contains(items)
                && xml.ends_with("<CallerReference>ref</CallerReference></InvalidationBatch>"),
            "{xml}"
        );
    }
}
