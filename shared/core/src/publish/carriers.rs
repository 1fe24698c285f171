//! Compares the tags of a publish with the tags of stored pages. A tag that no page carries is perhaps mistyped.

use std::collections::BTreeSet;

use crate::base::text::nearest;
use crate::key::tags::{BROAD_TAG, is_user_tag, page_tags, user_tag};
use crate::ports::journal::{ITEMS_KEPT_MAX, Publish, TEXT_KEPT_BYTES};
use crate::ports::pages::Pages;
use crate::ports::pages::snapshot::Snapshot;
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::publish::send::FIRST_PAGES_MAX;
use crate::site::ReadySite;

/// Distinct tags of pages that are kept as suggestions for a mistyped tag.
const COMPARED_MAX: usize = 1_000;

/// Suggestions for one mistyped tag.
const NEAREST_MAX: usize = 3;

/// A tag that no page carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncarried {
    /// The tag as a page spells it, without the prefix that the store adds.
    pub tag: String,
    /// Similar tags that pages carry, the most similar first; three at most.
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

/// Collects, page by page, which tags of a publish are carried. The caller reads the pages anyway.
pub(crate) struct TagCarriers<'a> {
    /// Each tag as the store knows it, and whether a page carries it.
    tags: Vec<(&'a str, bool)>,
    /// Tags that pages carry: suggestions for a mistyped one.
    others: BTreeSet<String>,
}

impl<'a> TagCarriers<'a> {
    pub(crate) fn new(tags: &'a [String]) -> Self {
        Self { tags: tags.iter().map(|tag| (&**tag, false)).collect(), others: BTreeSet::new() }
    }

    /// The tags of a journal entry. `None` where its tags do not tell its pages: the entry was cut to
    /// [`ITEMS_KEPT_MAX`], it marked single paths as stale, or it deleted its pages, so that none carries a tag any more.
    pub(crate) fn of(publish: &'a Publish) -> Option<Self> {
        let has_all_tags =
            publish.tags.len() < ITEMS_KEPT_MAX && publish.tags.iter().all(|tag| tag.len() < TEXT_KEPT_BYTES);
        let marks_paths = publish.mode == "stale" && !publish.paths.is_empty();
        (has_all_tags && !marks_paths && publish.mode != "delete").then(|| Self::new(&publish.tags))
    }

    /// Notes the tags of one page. `true` if the page carries a tag of the publish.
    pub(crate) fn note_page(&mut self, site: &ReadySite, key: &str, snapshot: &Snapshot) -> bool {
        let Some(record) = snapshot.shown() else { return false };
        let implicit_tags = site.page_of_key(key).map(|page| page_tags(&page.key));
        let user_tags: Vec<_> = record.tags.iter().map(|tag| user_tag(tag)).collect();
        // The store keeps `BROAD_TAG` in place of too many tags: any published tag then renews the page.
        let has_many = record.tags == [BROAD_TAG];
        let mut carries = false;
        for (tag, is_carried) in &mut self.tags {
            if implicit_tags.iter().flatten().chain(&user_tags).any(|other| other == tag)
                || (has_many && is_user_tag(tag))
            {
                (*is_carried, carries) = (true, true);
            }
        }
        if self.uncarried().next().is_some() {
            let free = COMPARED_MAX.saturating_sub(self.others.len());
            self.others.extend(record.tags.iter().filter(|tag| *tag != BROAD_TAG).take(free).cloned());
        }
        carries
    }

    /// The user tags of the publish that no noted page carries.
    pub(crate) fn uncarried_tags(&self) -> Vec<Uncarried> {
        let suggestions = |tag: &str| -> Vec<String> {
            let similar = nearest(tag, self.others.iter().map(|other| &**other), NEAREST_MAX);
            similar.into_iter().map(str::to_owned).collect()
        };
        self.uncarried().map(|tag| Uncarried { tag: tag.to_owned(), nearest: suggestions(tag) }).collect()
    }

    fn uncarried(&self) -> impl Iterator<Item = &str> {
        let missing = self.tags.iter().filter(|(_, is_carried)| !is_carried);
        missing.filter_map(|(tag, _)| tag.strip_prefix(user_tag("").as_str()))
    }
}

/// Which of these tags no page carries. Empty where the store lists [`FIRST_PAGES_MAX`] pages or more: a call looks no
/// further, [`progress`](crate::publish::progress::progress) does. Empty too if the store fails, which is logged.
pub(crate) async fn uncarried<S: Stores>(process: &Process<S>, tags: &[String]) -> Vec<Uncarried> {
    if process.dev || TagCarriers::new(tags).uncarried().next().is_none() {
        return Vec::new();
    }
    match process.stores.pages().list("", None, FIRST_PAGES_MAX).await {
        Ok(pages) if pages.len() < FIRST_PAGES_MAX => {
            let mut carriers = TagCarriers::new(tags);
            for (key, snapshot) in &pages {
                carriers.note_page(&process.site, key, snapshot);
            }
            carriers.uncarried_tags()
        }
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!("cannot check whether pages carry the published tags: {error}");
            Vec::new()
        }
    }
}
