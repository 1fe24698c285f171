//! What a visitor is shown: the page from memory or from the store, and its body, whole or part by part.

pub mod body;
pub(crate) mod load;
pub(crate) mod lookup;
pub(crate) mod stream;
pub mod view;
