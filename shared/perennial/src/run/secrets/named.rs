//! One secret: its text, and the one publisher or the one way of calling that it is for. Pure.
//!
//! A secret of `PERENNIAL_REVALIDATE_SECRETS` is a text of its own, or has a name before it:
//!
//! | written | opens calls that show it | its signature counts for |
//! |---|---|---|
//! | `github:TEXT`, and so each provider that signs | no | that provider alone |
//! | `secret:TEXT`, `strapi:TEXT` | yes | nobody |
//! | `whsec_TEXT` | no | every provider |
//! | `TEXT` | yes | every provider |

use hkdf::Hkdf;
use sha2::{Digest, Sha256};

use crate::webhooks::provider::Provider;

/// What a secret of Standard Webhooks begins with, base64 of 24 to 64 bytes following. Stripe's begin so too, and are
/// used as they are.
pub const SIGNING_SECRET_PREFIX: &str = "whsec_";

/// A secret with fewer bytes is warned about at the start: a machine can try all texts of that length that people make up.
pub const SECRET_BYTES_ADVISED: usize = 16;

/// What a key that is derived from a secret is for. What providers sign is not among it: they use the secret as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs the cookies of drafts.
    DraftCookie,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::DraftCookie];

    /// The label that sets its keys apart from those of every other purpose: the `info` of HKDF (RFC 5869, section 3.2).
    pub fn label(self) -> &'static str {
        match self {
            Self::DraftCookie => "perennial draft cookie v2",
        }
    }
}

/// A secret and what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    of: Option<Provider>,
}

impl Secret {
    /// Reads a secret as the setting has it.
    ///
    /// # Errors
    /// It is empty, with or without a name. The message does not hold it.
    pub fn parse(written: &str) -> Result<Self, String> {
        let named = written.split_once(':').and_then(|(name, text)| {
            let of = Provider::ALL.into_iter().find(|provider| provider.as_str() == name)?;
            Some((Some(of), text))
        });
        let (of, text) = named.unwrap_or((None, written));
        if text.is_empty() {
            let name = of.map_or_else(String::new, |of| format!(" after `{}:`", of.as_str()));
            return Err(format!("PERENNIAL_REVALIDATE_SECRETS holds an empty secret{name}"));
        }
        Ok(Self { text: text.to_owned(), of })
    }

    /// The secret itself, without its name.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whose it is; `None` if it has no name.
    pub fn of(&self) -> Option<Provider> {
        self.of
    }

    /// A short name that does not tell it: [`key_id`].
    pub fn id(&self) -> String {
        key_id(&self.text)
    }

    /// Whether a call that shows it is let in. One that a publisher signs with is not for showing: who shows it has given
    /// it away.
    pub fn is_password(&self) -> bool {
        match self.of {
            None => !self.text.starts_with(SIGNING_SECRET_PREFIX),
            Some(provider) => !provider.signs(),
        }
    }

    /// Whether a provider's deliveries may be signed with it.
    pub fn signs_for(&self, provider: Provider) -> bool {
        provider.signs() && self.of.is_none_or(|of| of == provider)
    }

    /// A key for one purpose of Perennial's own. Whoever knows it, or what it has signed, knows nothing of the secret and
    /// of its other keys: HKDF with SHA-256 (RFC 5869), without a salt, the label as `info`.
    pub fn key(&self, purpose: Purpose) -> [u8; 32] {
        let mut key = [0; 32];
        // HKDF gives up to 255 times the 32 bytes that are asked for.
        Hkdf::<Sha256>::new(None, self.text.as_bytes())
            .expand(purpose.label().as_bytes(), &mut key)
            .expect("as long as one hash");
        key
    }
}

/// A short name of a secret that does not tell it: the first eight hexadecimal digits of its SHA-256.
pub fn key_id(secret: &str) -> String {
    crate::key::encode::hex(&Sha256::digest(secret.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_secret_is_for_one_thing() {
        for (written, text, of, is_password) in [
            ("one", "one", None, true),
            ("whsec_AAAA", "whsec_AAAA", None, false),
            ("github:one", "one", Some(Provider::GitHub), false),
            ("stripe:whsec_AAAA", "whsec_AAAA", Some(Provider::Stripe), false),
            ("standard-webhooks:whsec_AAAA", "whsec_AAAA", Some(Provider::StandardWebhooks), false),
            ("secret:github:one", "github:one", Some(Provider::Secret), true),
            ("secret:whsec_AAAA", "whsec_AAAA", Some(Provider::Secret), true),
            ("strapi:one", "one", Some(Provider::Strapi), true),
            ("gitlab:one", "gitlab:one", None, true),
            ("GitHub:one", "GitHub:one", None, true),
            (":one", ":one", None, true),
        ] {
            let secret = Secret::parse(written).unwrap();
            assert_eq!(
                (secret.text(), secret.of(), secret.is_password()),
                (text, of, is_password),
                "{written}"
            );
            assert_eq!(secret.id(), key_id(text), "{written}: naming it changes nothing in the journal");
            for provider in Provider::ALL {
                let signs = provider.signs() && of.is_none_or(|of| of == provider);
                assert_eq!(secret.signs_for(provider), signs, "{written} for {provider:?}");
            }
        }
        for empty in ["", "github:", "secret:"] {
            assert!(Secret::parse(empty).is_err(), "{empty}");
        }
    }

    #[test]
    fn a_key_is_named_without_being_told() {
        // printf one | sha256sum
        assert_eq!(key_id("one"), "7692c3ad");
        assert_ne!(key_id("one"), key_id("two"));
    }

    /// Against OpenSSL: `openssl kdf -keylen 32 -kdfopt digest:SHA2-256 -kdfopt key:one -kdfopt info:"perennial draft cookie v2" HKDF`.
    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        let key = Secret::parse("one").unwrap().key(Purpose::DraftCookie);
        assert_eq!(
            crate::key::encode::hex(&key),
            "1bad0c6d7df9fe1836538833b9d31c942d3ab5904d8641b4705db14d3e85a9cd"
        );
        assert_ne!(key, Secret::parse("two").unwrap().key(Purpose::DraftCookie));
    }
}
