//! Keys of Perennial's own, derived from a secret: one for each purpose. Pure.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::webhooks::secret::Secret;

/// The purpose of a derived key. Publishers' signatures are not among the purposes: publishers use the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs the cookies of drafts.
    DraftCookie,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 1] = [Self::DraftCookie];

    /// The label that separates its keys from those of every other purpose: the `info` of HKDF (RFC 5869, section 3.2).
    pub fn label(self) -> &'static str {
        match self {
            Self::DraftCookie => "perennial draft cookie v2",
        }
    }

    /// The secret's key for this purpose: HKDF with SHA-256 (RFC 5869), without a salt, with the label as `info`. A reader of
    /// the key, or of a text that the key has signed, learns nothing of the secret and of its other keys.
    pub fn key(self, secret: &Secret) -> [u8; 32] {
        let mut key = [0; 32];
        // HKDF gives up to 255 times the 32 bytes that are asked for.
        Hkdf::<Sha256>::new(None, secret.text().as_bytes())
            .expand(self.label().as_bytes(), &mut key)
            .expect("as long as one hash");
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against OpenSSL: `openssl kdf -keylen 32 -kdfopt digest:SHA2-256 -kdfopt key:one -kdfopt info:"perennial draft cookie v2" HKDF`.
    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        let key = |secret| Purpose::DraftCookie.key(&Secret::parse(secret).unwrap());
        assert_eq!(
            crate::key::encode::hex(&key("one")),
            "1bad0c6d7df9fe1836538833b9d31c942d3ab5904d8641b4705db14d3e85a9cd"
        );
        assert_ne!(key("one"), key("two"));
    }
}
