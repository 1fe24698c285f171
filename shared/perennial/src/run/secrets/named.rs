//! One secret: its text, and the provider or the kind of call that may use it. Pure.
//!
//! A secret in `PERENNIAL_REVALIDATE_SECRETS` is a plain text, or a text after a name:
//!
//! | in the setting | a call may send it | verifies signatures of |
//! |---|---|---|
//! | `github:TEXT`, and the same for every provider that signs | no | this provider only |
//! | `secret:TEXT`, `strapi:TEXT` | yes | no provider |
//! | `whsec_TEXT` | no | every provider |
//! | `TEXT` | yes | every provider |

use hkdf::Hkdf;
use sha2::{Digest, Sha256};

use crate::webhooks::provider::Provider;

/// The prefix of a secret of Standard Webhooks, before base64 of 24 to 64 bytes. Secrets of Stripe have the same prefix, but
/// their whole text is the key.
pub const SIGNING_SECRET_PREFIX: &str = "whsec_";

/// A secret with fewer bytes causes a warning at the start: an attacker could guess short texts that people make up.
pub const SECRET_BYTES_ADVISED: usize = 16;

/// The use of a key that is derived from a secret. Providers sign with the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs the cookies of drafts.
    DraftCookie,
}

impl Purpose {
    /// Every purpose, for tests that keys are separate.
    pub const ALL: [Self; 1] = [Self::DraftCookie];

    /// The label that separates the keys of this purpose from all other keys: the `info` of HKDF (RFC 5869, section 3.2).
    pub fn label(self) -> &'static str {
        match self {
            Self::DraftCookie => "perennial draft cookie v2",
        }
    }
}

/// A secret, and the provider that it is limited to.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    provider: Option<Provider>,
}

impl Secret {
    /// Parses a secret as written in the setting.
    ///
    /// # Errors
    /// The secret is empty, with or without a name. The message never holds a secret.
    pub fn parse(written: &str) -> Result<Self, String> {
        let named = written.split_once(':').and_then(|(name, text)| {
            let provider = Provider::ALL.into_iter().find(|provider| provider.as_str() == name)?;
            Some((Some(provider), text))
        });
        let (provider, text) = named.unwrap_or((None, written));
        if text.is_empty() {
            let name =
                provider.map_or_else(String::new, |provider| format!(" after `{}:`", provider.as_str()));
            return Err(format!("PERENNIAL_REVALIDATE_SECRETS holds an empty secret{name}"));
        }
        Ok(Self { text: text.to_owned(), provider })
    }

    /// The secret itself, without its name.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The provider that is named before the secret; `None` without a name.
    pub fn of(&self) -> Option<Provider> {
        self.provider
    }

    /// A short id that does not reveal the secret: [`key_id`].
    pub fn id(&self) -> String {
        key_id(&self.text)
    }

    /// Whether a call may authenticate by sending this secret. A signing secret must never be sent: sending it would reveal
    /// it.
    pub fn is_password(&self) -> bool {
        match self.provider {
            None => !self.text.starts_with(SIGNING_SECRET_PREFIX),
            Some(provider) => !provider.signs(),
        }
    }

    /// Whether this secret verifies signatures of the provider.
    pub fn signs_for(&self, provider: Provider) -> bool {
        provider.signs() && self.provider.is_none_or(|own| own == provider)
    }

    /// A key for one purpose of Perennial: HKDF with SHA-256 (RFC 5869), without a salt, with the purpose's label as `info`.
    /// The key and its signatures reveal neither the secret nor other keys.
    pub fn key(&self, purpose: Purpose) -> [u8; 32] {
        let mut key = [0; 32];
        // HKDF fails only above 255 times 32 bytes.
        Hkdf::<Sha256>::new(None, self.text.as_bytes())
            .expand(purpose.label().as_bytes(), &mut key)
            .expect("as long as one hash");
        key
    }
}

/// A short id that does not reveal the secret: the first eight hexadecimal digits of its SHA-256. Logs and the journal name
/// secrets by it.
pub fn key_id(secret: &str) -> String {
    crate::key::encode::hex(&Sha256::digest(secret.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_secret_is_for_one_thing() {
        for (written, text, provider_named, is_password) in [
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
                (text, provider_named, is_password),
                "{written}"
            );
            assert_eq!(secret.id(), key_id(text), "{written}: naming it changes nothing in the journal");
            for provider in Provider::ALL {
                let signs = provider.signs() && provider_named.is_none_or(|named| named == provider);
                assert_eq!(secret.signs_for(provider), signs, "{written} for {provider:?}");
            }
        }
        for empty in ["", "github:", "secret:"] {
            assert!(Secret::parse(empty).is_err(), "{empty}");
        }
    }

    #[test]
    fn a_key_id_does_not_reveal_the_secret() {
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
