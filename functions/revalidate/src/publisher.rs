//! Who publishes: which secret was shown or has signed, and what their delivery is called. Pure.

pub use perennial::wish::Publisher;
use sha2::{Digest, Sha256};

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
