//! Stripe.
//!
//! Signatures: <https://docs.stripe.com/webhooks#verify-manually>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{
    DeliveryId, Encoding, Layout, Message, Scheme, TOLERANCE, TimeAt, Unit,
};

/// Events of an account. Secrets begin with `whsec_`, and are used as they are.
pub static PROVIDER: Provider = Provider {
    name: "stripe",
    header: Some("Stripe-Signature"),
    schemes: &[Scheme::over_body("stripe-signature", Layout::Pairs("v1"), Encoding::Hex)
        .with_time(Message::TimeDotBody, TimeAt::Pair, Unit::Seconds, TOLERANCE)
        .with_id(DeliveryId::Body("/id"))],
    key: KeyEncoding::Text,
};
