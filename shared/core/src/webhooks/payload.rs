//! A payload as rules see it. Pure.

use http::HeaderMap;
use serde_json::Value;

use crate::webhooks::provider::Provider;

/// A payload and the request around it.
pub struct Payload<'a> {
    /// The sender.
    pub provider: &'static Provider,
    /// The request's header fields.
    pub headers: &'a HeaderMap,
    /// The header fields that the signature covers. `None`: the request came with a secret, so that the sender wrote all
    /// of them. A rule that deletes reads no other field.
    pub signed_fields: Option<&'a [String]>,
    /// The body.
    pub body: &'a Value,
}
