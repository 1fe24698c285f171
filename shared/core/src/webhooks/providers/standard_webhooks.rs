//! Standard Webhooks: Clerk, Resend, Supabase, and others through Svix.
//!
//! Signatures: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>. Svix sends the
//! same under header fields of its own.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{
    DeliveryId, Encoding, Layout, Message, Scheme, TOLERANCE, TimeAt, Unit,
};

/// Deliveries of all publishers who sign by this specification.
pub static PROVIDER: Provider = Provider {
    name: "standard-webhooks",
    header: Some("Svix-Signature"),
    schemes: &[
        // Storyblok's signatures have the same header field, without an id beside it.
        scheme("webhook-signature", "webhook-id", "webhook-timestamp").if_header("webhook-id", true),
        scheme("svix-signature", "svix-id", "svix-timestamp"),
    ],
    key: KeyEncoding::Base64,
};

const fn scheme(signature: &'static str, id: &'static str, time: &'static str) -> Scheme {
    Scheme::over_body(signature, Layout::Words("v1,"), Encoding::Base64)
        .with_time(Message::IdDotTimeDotBody(id), TimeAt::Header(time), Unit::Seconds, TOLERANCE)
        .with_id(DeliveryId::Header(id))
}
