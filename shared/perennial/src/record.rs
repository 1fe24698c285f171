//! What is stored of a page: its record, its content, its header fields.

pub mod content;
pub mod headers;
pub mod page_record;
pub mod publish_request;
pub mod reason;
