//! Who publishes: which secret was shown or has signed, and what their delivery is called. Pure.

pub use perennial::parts::record::publish_request::Publisher;
pub use perennial::parts::run::secrets::named::key_id;
