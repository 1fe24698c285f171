//! Shopify.
//!
//! Signatures: <https://shopify.dev/docs/apps/build/webhooks/subscribe/https>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{DeliveryId, Encoding, Layout, Scheme};

/// Deliveries of shops and apps.
pub static PROVIDER: Provider = Provider {
    name: "shopify",
    header: Some("X-Shopify-Topic"),
    schemes: &[Scheme::over_body("x-shopify-hmac-sha256", Layout::Single(""), Encoding::Base64)
        .with_id(DeliveryId::Header("x-shopify-webhook-id"))],
    key: KeyEncoding::Text,
};
