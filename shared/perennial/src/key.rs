//! What a page is called: its key, the pattern of its route, its parameters, its tags, its addresses.

pub mod encode;
pub mod page_key;
pub mod params;
pub mod pattern;
pub mod tags;
pub mod url;
