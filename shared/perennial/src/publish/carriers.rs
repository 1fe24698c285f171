//! Which pages carry the tags of a publish, and which tags no page carries: those were mistyped, perhaps.

use crate::process::Process;
use std::collections::BTreeSet;

use crate::base::text::nearest;
use crate::key::tags::{MANY, is_user_tag, page_tags, user_tag};
use crate::ports::journal::{ITEMS_KEPT_MAX, Publish, TEXT_KEPT_BYTES};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::publish::send::LOOKED_AT_FIRST;
use crate::site::ReadySite;

/// Different tags that a mistyped one is compared with.
const COMPARED_MAX: usize = 1_000;

/// Tags that are proposed in the place of a mistyped one.
const NEAREST_MAX: usize = 3;

/// A tag that no page carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncarried {
    /// The tag, as pages give it.
    pub tag: String,
    /// Tags that pages carry and that are spelt much alike, the most alike first.
    pub nearest: Vec<String>,
}

impl std::fmt::Display for Uncarried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no page carries the tag `{}`", self.tag.escape_debug())?;
        for (n, tag) in self.nearest.iter().enumerate() {
            let between = if n == 0 { "; did you mean" } else { " or" };
            write!(f, "{between} `{}`", tag.escape_debug())?;
        }
        f.write_str(if self.nearest.is_empty() { "" } else { "?" })
    }
}

/// The tags of a publish, compared with pages that are read anyway.
pub(crate) struct TagCarriers<'a> {
    /// As the store knows them, and whether a page carries it.
    tags: Vec<(&'a str, bool)>,
    /// Other tags that pages have given themselves.
    others: BTreeSet<String>,
}

impl<'a> TagCarriers<'a> {
    pub(crate) fn new(tags: &'a [String]) -> Self {
        Self { tags: tags.iter().map(|tag| (&**tag, false)).collect(), others: BTreeSet::new() }
    }

    /// All tags of an entry of the journal; none if it names single pages, or does not tell all of its tags. Of what was
    /// deleted nothing is shown that could carry them.
    pub(crate) fn of(publish: &'a Publish) -> Option<Self> {
        let is_whole =
            publish.tags.len() < ITEMS_KEPT_MAX && publish.tags.iter().all(|tag| tag.len() < TEXT_KEPT_BYTES);
        let marks_paths = publish.mode == "stale" && !publish.paths.is_empty();
        (is_whole && !marks_paths && publish.mode != "delete").then(|| Self::new(&publish.tags))
    }

    /// Notes what a page carries. Tells whether that is any of the tags.
    pub(crate) fn look(&mut self, site: &ReadySite, key: &str, snapshot: &Snapshot) -> bool {
        let Some(record) = snapshot.shown() else { return false };
        let own = site.page_of_key(key).map(|page| page_tags(&page.key));
        let given: Vec<_> = record.tags.iter().map(|tag| user_tag(tag)).collect();
        // A page with more tags than the store keeps is renewed with whatever tag is published.
        let has_any = record.tags == [MANY];
        let mut carries = false;
        for (tag, is_carried) in &mut self.tags {
            if own.iter().flatten().chain(&given).any(|other| other == tag) || (has_any && is_user_tag(tag)) {
                (*is_carried, carries) = (true, true);
            }
        }
        if self.uncarried().next().is_some() {
            let room = COMPARED_MAX.saturating_sub(self.others.len());
            self.others.extend(record.tags.iter().filter(|tag| *tag != MANY).take(room).cloned());
        }
        carries
    }

    /// Tags of pages that no page has carried which was looked at.
    pub(crate) fn end(&self) -> Vec<Uncarried> {
        let proposed = |tag: &str| -> Vec<String> {
            let found = nearest(tag, self.others.iter().map(|other| &**other), NEAREST_MAX);
            found.into_iter().map(str::to_owned).collect()
        };
        self.uncarried().map(|tag| Uncarried { tag: tag.to_owned(), nearest: proposed(tag) }).collect()
    }

    fn uncarried(&self) -> impl Iterator<Item = &str> {
        let missing = self.tags.iter().filter(|(_, is_carried)| !is_carried);
        missing.filter_map(|(tag, _)| tag.strip_prefix(user_tag("").as_str()))
    }
}

/// Which of these tags no page carries. None are told where the store lists more than [`LOOKED_AT_FIRST`] pages,
/// which is as far as a call looks: [`Engine::progress`] looks further.
pub(crate) async fn uncarried<S: Stores>(process: &Process<S>, tags: &[String]) -> Vec<Uncarried> {
    if process.dev || TagCarriers::new(tags).uncarried().next().is_none() {
        return Vec::new();
    }
    match process.stores.pages().list("", None, LOOKED_AT_FIRST).await {
        Ok(pages) if pages.len() < LOOKED_AT_FIRST => {
            let mut carriers = TagCarriers::new(tags);
            for (key, snapshot) in &pages {
                carriers.look(&process.site, key, snapshot);
            }
            carriers.end()
        }
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!("which tags no page carries cannot be told: {error}");
            Vec::new()
        }
    }
}
