//! Sanity.
//!
//! Signatures: <https://github.com/sanity-io/webhook-toolkit>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{
    DeliveryId, Encoding, Layout, Message, Scheme, TOLERANCE_OF_ATTEMPTS, TimeAt, Unit,
};

/// Deliveries of a dataset's webhooks.
pub static PROVIDER: Provider = Provider {
    name: "sanity",
    header: Some("Sanity-Webhook-Id"),
    schemes: &[Scheme::over_body("sanity-webhook-signature", Layout::Pairs("v1"), Encoding::Base64Url)
        .with_time(Message::TimeDotBody, TimeAt::Pair, Unit::Millis, TOLERANCE_OF_ATTEMPTS)
        .with_id(DeliveryId::Header("idempotency-key"))],
    key: KeyEncoding::Text,
};
