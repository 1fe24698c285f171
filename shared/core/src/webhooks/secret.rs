//! One secret: its text, and the one publisher or the one kind of call that it is for. Pure.
//!
//! A secret of `PERENNIAL_REVALIDATE_SECRETS` is a plain text, or has a name before its text:
//!
//! | written | opens calls that show it | its signature counts for |
//! |---|---|---|
//! | `github:TEXT`, and so each provider that signs | no | that provider alone |
//! | `secret:TEXT`, `strapi:TEXT` | yes | nobody |
//! | `whsec_TEXT` | no | every provider |
//! | `TEXT` | yes | every provider |

use sha2::{Digest, Sha256};

use crate::key::encode::hex;
use crate::webhooks::provider::Provider;
use crate::webhooks::providers;

/// The beginning of a secret of Standard Webhooks; base64 of 24 to 64 bytes follows. Secrets of Stripe begin so, too, and
/// are used as they are.
pub const SIGNING_SECRET_PREFIX: &str = "whsec_";

/// The start warns of a secret with fewer bytes: a machine can try all such texts that people make up.
pub const SECRET_BYTES_ADVISED: usize = 16;

/// A secret and its purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    provider: Option<&'static Provider>,
}

impl Secret {
    /// Reads a secret as the setting has it.
    ///
    /// # Errors
    /// The secret is empty, with or without a name. The message does not hold the secret.
    pub fn parse(written: &str) -> Result<Self, String> {
        let named =
            written.split_once(':').and_then(|(name, text)| Some((Some(providers::by_name(name)?), text)));
        let (provider, text) = named.unwrap_or((None, written));
        if text.is_empty() {
            let name = provider.map_or_else(String::new, |provider| format!(" after `{}:`", provider.name));
            return Err(format!("PERENNIAL_REVALIDATE_SECRETS holds an empty secret{name}"));
        }
        Ok(Self { text: text.to_owned(), provider })
    }

    /// The secret itself, without its name.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The provider that the secret is named for; `None` if it has no name.
    pub fn provider(&self) -> Option<&'static Provider> {
        self.provider
    }

    /// A short name that does not reveal the secret: [`key_id`].
    pub fn id(&self) -> String {
        key_id(&self.text)
    }

    /// Whether a call that shows the secret is let in. A secret that a publisher signs with is not: a caller who shows such a
    /// secret has given it away.
    pub fn is_password(&self) -> bool {
        match self.provider {
            None => !self.text.starts_with(SIGNING_SECRET_PREFIX),
            Some(provider) => !provider.signs(),
        }
    }

    /// Whether a provider's deliveries may be signed with the secret.
    pub fn signs_for(&self, provider: &Provider) -> bool {
        provider.signs() && self.provider.is_none_or(|own| own == provider)
    }
}

/// A short name that does not reveal the secret: the first eight hexadecimal digits of its SHA-256.
pub fn key_id(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::providers::{github, other, standard_webhooks, strapi, stripe};

    #[test]
    fn a_named_secret_is_for_one_thing() {
        for (written, text, of, is_password) in [
            ("one", "one", None, true),
            ("whsec_AAAA", "whsec_AAAA", None, false),
            ("github:one", "one", Some(&github::PROVIDER), false),
            ("stripe:whsec_AAAA", "whsec_AAAA", Some(&stripe::PROVIDER), false),
            ("standard-webhooks:whsec_AAAA", "whsec_AAAA", Some(&standard_webhooks::PROVIDER), false),
            ("secret:github:one", "github:one", Some(&other::PROVIDER), true),
            ("secret:whsec_AAAA", "whsec_AAAA", Some(&other::PROVIDER), true),
            ("strapi:one", "one", Some(&strapi::PROVIDER), true),
            ("gitlab:one", "gitlab:one", None, true),
            ("GitHub:one", "GitHub:one", None, true),
            (":one", ":one", None, true),
        ] {
            let secret = Secret::parse(written).unwrap();
            assert_eq!(
                (secret.text(), secret.provider(), secret.is_password()),
                (text, of, is_password),
                "{written}"
            );
            assert_eq!(secret.id(), key_id(text), "{written}: naming it changes nothing in the journal");
            for provider in providers::all() {
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
}
