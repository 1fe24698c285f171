//! Ghost.
//!
//! Signatures:
//! <https://github.com/TryGhost/Ghost/blob/main/ghost/core/core/server/services/webhooks/webhook-trigger.js>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{Encoding, Layout, Message, Scheme, TOLERANCE, TimeAt, Unit};

/// Deliveries of a site's integrations.
pub static PROVIDER: Provider = Provider {
    name: "ghost",
    header: Some("X-Ghost-Signature"),
    schemes: &[Scheme::over_body("x-ghost-signature", Layout::Pairs("sha256"), Encoding::Hex).with_time(
        Message::BodyTime,
        TimeAt::Pair,
        Unit::Millis,
        TOLERANCE,
    )],
    key: KeyEncoding::Text,
};
