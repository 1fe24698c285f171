//! Lookup of a page for a visitor, in memory or in the store, and its body, loaded or streamed.

pub mod body;
pub(crate) mod load;
pub(crate) mod lookup;
pub(crate) mod stream;
pub mod view;
