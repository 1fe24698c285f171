//! The settings of purges: the CloudFront distribution, and the form of its invalidations.

use std::str::FromStr;
use std::time::Duration;

use crate::base::reader::Reader;
use crate::base::text::{Written, read_own};
use crate::stores::aws::settings::AccountSettings;

/// A distribution in front of the site, and the form of its invalidations.
#[derive(Clone, Debug)]
pub struct CloudFrontSettings {
    /// The account whose credentials send invalidations.
    pub account: AccountSettings,
    /// `PERENNIAL_DISTRIBUTION` (none): the id of the CloudFront distribution in front of the site.
    pub distribution: Option<String>,
    /// `PERENNIAL_DISTRIBUTION_FROM` (none): the name of an SSM parameter with that id.
    pub distribution_from: Option<String>,
    /// `PERENNIAL_EDGE_PURGE` (`tags`): invalidates by cache `tags` or by `paths`, or not at all (`off`).
    pub purge: EdgePurge,
    /// `PERENNIAL_MAX_PURGES` (100): the most tags or paths in one invalidation. With more, the whole site is invalidated.
    pub max_purges: usize,
    /// `PERENNIAL_EDGE_WINDOW_MS` (250): the shortest time between the starts of two invalidations of this process; 65535 at
    /// most. Tags that arrive meanwhile go into the next one. CloudFront bills each item, and takes seconds to carry an
    /// invalidation out: a quarter of a second more is hardly noticed, and a burst becomes four invalidations a second.
    pub window: Duration,
}

/// The form of invalidations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePurge {
    /// By cache tag: each tag is one item, whatever number of pages carry the tag.
    Tags,
    /// By path: single pages have items of their own; for anything else the whole site is one item.
    Paths,
    /// No invalidations: the distribution renews its copies when they expire.
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
    /// The name of the setting that names a distribution to purge; `None` without such a setting.
    pub(crate) fn asked_by(r: &mut Reader) -> Option<&'static str> {
        let names = [DISTRIBUTION, DISTRIBUTION_FROM].into_iter().find(|name| r.text(name).is_some());
        names.filter(|_| r.text("PERENNIAL_EDGE_PURGE").as_deref() != Some("off"))
    }

    /// Reads the settings. With the stores of an account the result is never `None`: answers then carry the tag header even if
    /// no distribution is named.
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
