//! All senders that no other provider stands for. Their requests show a secret.

use crate::webhooks::provider::{KeyEncoding, Provider};

/// Any sender who has shown a secret.
pub static PROVIDER: Provider =
    Provider { name: "secret", header: None, schemes: &[], key: KeyEncoding::Text };
