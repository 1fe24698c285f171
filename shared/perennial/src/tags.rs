//! Names that pages can be invalidated by.

use crate::key::PageKey;

/// The implicit tags of a page: `path:…`, `route:…`, `site`.
pub fn page_tags(page: &PageKey) -> [String; 3] {
    [path_tag(page.path()), route_tag(page.route()), SITE_TAG.to_owned()]
}

/// The tag that every page of the site carries.
pub const SITE_TAG: &str = "site";

/// The tag that all variants of one path carry.
pub fn path_tag(path: &str) -> String {
    format!("path:{path}")
}

/// The tag that all pages of one route carry.
pub fn route_tag(route: &str) -> String {
    format!("route:{route}")
}

/// A tag that a render gave; its own name space, so that it cannot stand for an implicit one.
pub fn user_tag(name: &str) -> String {
    format!("tag:{name}")
}
