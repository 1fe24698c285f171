//! WooCommerce.
//!
//! Signatures: <https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/>.

use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::signature::scheme::{Encoding, Layout, Scheme};

/// Deliveries of a shop. The body of a deletion is `{"id":5}` alone: two events may have equal bodies, so that every
/// delivery is carried out.
pub static PROVIDER: Provider = Provider {
    name: "woocommerce",
    header: Some("X-WC-Webhook-Topic"),
    schemes: &[Scheme::over_body("x-wc-webhook-signature", Layout::Single(""), Encoding::Base64)],
    key: KeyEncoding::Text,
};
