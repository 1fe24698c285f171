//! Identifiers of a page: its key, its route's pattern, its parameters, its tags and its URLs.

pub mod encode;
pub mod page_key;
pub mod params;
pub mod pattern;
pub(crate) mod segment;
pub(crate) mod spelling;
pub mod tags;
pub mod url;
