//! GitHub.
//!
//! Signatures: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. Forms:
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{DeliveryId, Encoding, Layout, Scheme};

/// Deliveries of repositories, organisations and apps.
pub static PROVIDER: Provider = Provider {
    name: "github",
    header: Some("X-GitHub-Event"),
    schemes: &[Scheme {
        id: DeliveryId::Header("x-github-delivery"),
        form_field: Some("payload"),
        ..Scheme::over_body("x-hub-signature-256", Layout::Single("sha256="), Encoding::Hex)
    }],
    key: KeyEncoding::Text,
};
