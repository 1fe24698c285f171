//! Strapi. Its deliveries show a secret, and name their event.

use crate::webhooks::provider::{KeyEncoding, Provider};

/// Deliveries of Strapi's webhooks.
pub static PROVIDER: Provider =
    Provider { name: "strapi", header: Some("X-Strapi-Event"), schemes: &[], key: KeyEncoding::Text };
