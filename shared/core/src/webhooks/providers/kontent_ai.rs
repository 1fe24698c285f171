//! Kontent.ai.
//!
//! Signatures: <https://kontent.ai/learn/docs/webhooks/webhooks/javascript>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{Encoding, Layout, Scheme};

/// Deliveries of an environment. Two events may have equal bodies, so that every delivery is carried out.
pub static PROVIDER: Provider = Provider {
    name: "kontent-ai",
    header: Some("X-Kontent-ai-Signature"),
    schemes: &[Scheme::over_body("x-kontent-ai-signature", Layout::Single(""), Encoding::Base64)],
    key: KeyEncoding::Text,
};
