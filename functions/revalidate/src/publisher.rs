//! Who publishes: which secret was shown or has signed, and what their delivery is called. Pure.

pub use perennial::secrets::key_id;
pub use perennial::wish::Publisher;
