//! Which CloudFront distribution is told what changed, and how.

use std::str::FromStr;
use std::time::Duration;

use crate::base::reader::Reader;
use crate::base::text::{Written, read_own};
use crate::stores::aws::settings::AccountSettings;

/// A distribution in front, and how it is told what changed.
#[derive(Clone, Debug)]
pub struct CloudFrontSettings {
    /// The account whose keys send the orders.
    pub account: AccountSettings,
    /// `PERENNIAL_DISTRIBUTION` (none): id of the CloudFront distribution in front.
    pub distribution: Option<String>,
    /// `PERENNIAL_DISTRIBUTION_FROM` (none): name of the SSM parameter that holds that id instead.
    pub distribution_from: Option<String>,
    /// `PERENNIAL_EDGE_PURGE` (`tags`): how the distribution is told what changed: by cache `tags`, by `paths`, or `off`.
    pub purge: EdgePurge,
    /// `PERENNIAL_MAX_PURGES` (100): tags or paths named in one order to the distribution; more make it one for the whole
    /// site.
    pub max_purges: usize,
    /// `PERENNIAL_EDGE_WINDOW_MS` (250): so long after an order to the distribution began, the next one of this process
    /// begins at the earliest, and has what is asked for meanwhile; 65535 at most. CloudFront bills each item of an order, and
    /// takes seconds to carry one out: a quarter of a second more is hardly seen, and a burst is four orders a second.
    pub window: Duration,
}

/// How a CloudFront distribution is told what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePurge {
    /// Invalidation by cache tag: one item a tag, whatever number of pages carry it.
    Tags,
    /// Invalidation by path: single pages by their path, everything else by all paths.
    Paths,
    /// Not at all: the distribution finds out when its copy gets old.
    Off,
}

impl FromStr for EdgePurge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tags" => Ok(Self::Tags),
            "paths" => Ok(Self::Paths),
            "off" => Ok(Self::Off),
            _ => Err("must be `tags`, `paths` or `off`"),
        }
    }
}

impl Written for EdgePurge {
    fn read(text: &str) -> Result<Self, String> {
        read_own(text)
    }
}

const DISTRIBUTION: &str = "PERENNIAL_DISTRIBUTION";
const DISTRIBUTION_FROM: &str = "PERENNIAL_DISTRIBUTION_FROM";

impl CloudFrontSettings {
    /// The setting that names a distribution to be told, if one does.
    pub(crate) fn asked_by(r: &mut Reader) -> Option<&'static str> {
        let names = [DISTRIBUTION, DISTRIBUTION_FROM].into_iter().find(|name| r.text(name).is_some());
        names.filter(|_| r.text("PERENNIAL_EDGE_PURGE").as_deref() != Some("off"))
    }

    /// Reads them from settings. Beside the stores of an account there is always a distribution: without a name it is told
    /// nothing, and finds the tags of an answer in its header nevertheless.
    pub(crate) fn read(r: &mut Reader, account: &AccountSettings, beside_stores: bool) -> Option<Self> {
        let is_asked = Self::asked_by(r).is_some();
        let settings = Self {
            account: account.clone(),
            distribution: r.text(DISTRIBUTION),
            distribution_from: r.text(DISTRIBUTION_FROM),
            purge: r.or("PERENNIAL_EDGE_PURGE", EdgePurge::Tags),
            max_purges: r.above_zero("PERENNIAL_MAX_PURGES", 100),
            window: Duration::from_millis(r.or::<u16>("PERENNIAL_EDGE_WINDOW_MS", 250).into()),
        };
        (is_asked || beside_stores).then_some(settings)
    }
}
