//! Storyblok.
//!
//! Signatures: <https://www.storyblok.com/docs/concepts/webhooks>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{Encoding, Hash, Layout, Scheme};

/// Deliveries of a space. Two events may have equal bodies, so that every delivery is carried out.
pub static PROVIDER: Provider = Provider {
    name: "storyblok",
    header: Some("X-Storyblok-Topic"),
    schemes: &[Scheme {
        hash: Hash::Sha1,
        // Signatures of Standard Webhooks have the same header field, with an id beside it.
        ..Scheme::over_body("webhook-signature", Layout::Single(""), Encoding::Hex)
            .if_header("webhook-id", false)
    }],
    key: KeyEncoding::Text,
};
