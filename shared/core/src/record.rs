//! Stored data: a page's record, content and header fields, and a publisher's request.

pub mod content;
pub mod headers;
pub mod media_type;
pub mod page_record;
pub mod publish_request;
pub mod reason;
