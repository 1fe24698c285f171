//! The pages that a rule names for one payload. Pure.

use std::collections::HashMap;

use crate::key::tags::{SITE_TAG, route_tag, user_tag};
use crate::record::publish_request::Mode;

/// The most reasons that are kept for one rule.
pub(super) const REASONS_MAX: usize = 100;

/// The pages that a payload changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How pages are revalidated.
    pub mode: Mode,
    /// Whether pages without a stored render are left alone.
    pub only_generated: bool,
    /// Canonical paths, without the base path.
    pub paths: Vec<String>,
    /// Tags, as pages give them.
    pub tags: Vec<String>,
    /// Routes, by their pattern.
    pub routes: Vec<String>,
    /// Whether every page of the site changes.
    pub site: bool,
    /// Texts of the payload that cannot be a path or a tag, and missing fields, each with a reason.
    pub left_out: Vec<String>,
    /// Whether the payload names more than one call may: then the lists here are incomplete.
    pub too_many: bool,
    /// For a rule that goes through a list: the last element that named each path and tag.
    pub last: Option<LastElements>,
}

/// The last element of a list that named each path and tag. If two rules go through one list, the later element wins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LastElements {
    list: String,
    /// The element's index by path, or by tag as the store knows the tag.
    by_name: HashMap<String, usize>,
}

impl Changes {
    /// Whether another rule has named the same page by a later element of the same list. `name` is a path without the
    /// base path, or a tag as the store knows it.
    pub fn is_superseded_by(&self, other: &Self, name: &str) -> bool {
        match (&self.last, &other.last) {
            (Some(own), Some(others)) if own.list == others.list => {
                others.by_name.get(name) > own.by_name.get(name)
            }
            _ => false,
        }
    }

    /// Adds the changes that one element of a list names.
    pub(super) fn add_element(&mut self, more: Self, list: &str, element: usize) {
        let last = self
            .last
            .get_or_insert_with(|| LastElements { list: list.to_owned(), ..LastElements::default() });
        let tags = more.tags.iter().map(|tag| user_tag(tag));
        let routes = more.routes.iter().map(|route| route_tag(route));
        let site = more.site.then(|| SITE_TAG.to_owned());
        for name in more.paths.iter().cloned().chain(tags).chain(routes).chain(site) {
            last.by_name.insert(name, element);
        }
        add_new(&mut self.paths, more.paths);
        add_new(&mut self.tags, more.tags);
        add_new(&mut self.routes, more.routes);
        self.site |= more.site;
        self.too_many |= more.too_many;
        self.left_out.extend(more.left_out);
        self.left_out.truncate(REASONS_MAX);
    }

    /// Whether any page is named.
    pub(super) fn names_pages(&self) -> bool {
        let named = [&self.paths, &self.tags, &self.routes].iter().any(|names| !names.is_empty());
        named || self.site || self.too_many
    }
}

/// Adds the texts that are not in the list yet.
pub(super) fn add_new(all: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for text in more {
        if !all.contains(&text) {
            all.push(text);
        }
    }
}
