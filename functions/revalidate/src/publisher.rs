//! Who publishes: which secret was shown or has signed, and what their delivery is called. Pure.

use sha2::{Digest, Sha256};

/// The caller of the endpoint, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publisher {
    /// Which secret opened the door: [`key_id`] of it.
    pub key_id: String,
    /// Whose kind of signature it was; none for a call with a plain secret.
    pub provider: Option<&'static str>,
    /// What a signed delivery calls itself. It comes again under the same name when it is tried again.
    pub delivery_id: Option<String>,
}

/// A short name of a secret that does not tell it: the first eight hexadecimal digits of its SHA-256.
pub fn key_id(secret: &str) -> String {
    Sha256::digest(secret.as_bytes())[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_without_being_told() {
        // printf one | sha256sum
        assert_eq!(key_id("one"), "7692c3ad");
        assert_ne!(key_id("one"), key_id("two"));
    }
}
