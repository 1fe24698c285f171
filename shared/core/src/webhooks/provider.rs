//! What Perennial knows of a publisher. Pure.

use crate::webhooks::signature::scheme::Scheme;

/// A publisher whose deliveries are recognised by a header field. Two providers are equal if their names are.
pub struct Provider {
    /// The name in rules, before secrets (`github:…`), in logs and answers.
    pub name: &'static str,
    /// A header field of its deliveries, signed or not, spelt as the publisher does. The guide on webhooks lists the field.
    /// `None`: for [`super::providers::other`] alone.
    pub header: Option<&'static str>,
    /// The ways in which its deliveries are signed. None: its deliveries show a secret.
    pub schemes: &'static [Scheme],
    /// How the text of a secret becomes the key of a signature.
    pub key: KeyEncoding,
}

/// How the text of a secret becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEncoding {
    /// The text's bytes are the key.
    Text,
    /// The text is base64 of 24 to 64 bytes, with or without `whsec_` before it.
    Base64,
}

impl Provider {
    /// Whether its deliveries are signed.
    pub fn signs(&self) -> bool {
        !self.schemes.is_empty()
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Provider {}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
