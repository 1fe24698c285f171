//! Whether a signed delivery is signed right. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::request::Parts;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::base::clock::Millis;
use crate::key::encode::hex;
use crate::webhooks::json::read_json;
use crate::webhooks::provider::{KeyEncoding, Provider};
use crate::webhooks::providers;
use crate::webhooks::secret::{SIGNING_SECRET_PREFIX, Secret};
use crate::webhooks::signature::header::single;
use crate::webhooks::signature::scheme::{DeliveryId, Frame, Scheme, SignedRequest};

/// The longest id of a delivery, in bytes. Longer ids are ignored.
const ID_BYTES_MAX: usize = 255;

/// A delivery with a right signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The sender.
    pub provider: &'static Provider,
    /// The delivery's id. A sender who tries again sends the same id. Only Standard Webhooks and Stripe sign the id: an
    /// attacker who has seen another provider's delivery can send it under another id.
    pub id: Option<String>,
    /// The signed text; `None`: the provider's own deliveries may agree in all that is signed.
    pub signed: Option<SignedText>,
    /// The secret's short name: [`crate::webhooks::secret::key_id`].
    pub key_id: String,
    /// The header fields that the signature covers beside the body, in lower case.
    pub signed_fields: Vec<String>,
}

/// The text that a sender has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedText {
    /// SHA-256 of the text, in hexadecimal.
    pub digest: String,
    /// Whether the text holds a time, so that no other delivery can have the same text.
    pub has_time: bool,
}

/// Why a signed delivery is refused. The reason is for the log: the caller is not told, because the reason would help an
/// attacker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is signed in several ways.
    #[error("it is signed as several publishers do")]
    Ambiguous,
    /// A header field is missing, is there twice, or cannot be read.
    #[error("the {0} signature is incomplete: look at `{1}`")]
    Malformed(&'static str, &'static str),
    /// The signed time is too far from now.
    #[error("the {0} signature is of another time: {1} seconds from now")]
    Untimely(&'static str, u64),
    /// No live secret has made the signature.
    #[error(
        "the {0} signature is of no live secret that counts for {0}, or of another body, or (where it covers the address) of \
         another address: a part of the path that a proxy takes off must be PERENNIAL_BASE_PATH"
    )]
    Wrong(&'static str),
    /// A live secret has made the signature, but for a text that is no delivery: for another purpose.
    #[error("the {0} signature is right, but the body is none that {0} sends: a JSON object or list")]
    NoPayload(&'static str),
}

/// A secret as the key of signatures.
pub struct SigningKey {
    secret: Secret,
    /// The bytes of a secret that is base64.
    decoded: Option<Vec<u8>>,
}

impl SigningKey {
    /// The key of a secret.
    ///
    /// # Errors
    /// The secret begins with `whsec_`, or is named for Standard Webhooks, and is not base64 of 24 to 64 bytes. The message
    /// does not hold the secret.
    pub fn of(secret: &Secret) -> Result<Self, String> {
        let base64 = match (secret.provider(), secret.text().strip_prefix(SIGNING_SECRET_PREFIX)) {
            // Libraries of Standard Webhooks take their secrets with and without the prefix.
            (Some(provider), text) if provider.key == KeyEncoding::Base64 => {
                Some(text.unwrap_or(secret.text()))
            }
            (None, text) => text,
            (Some(_), _) => None,
        };
        let decoded = match base64.map(|text| STANDARD.decode(text)) {
            None => None,
            Some(Ok(bytes)) if (24..=64).contains(&bytes.len()) => Some(bytes),
            Some(_) => {
                return Err("a secret of Standard Webhooks, or that begins with `whsec_`, in PERENNIAL_REVALIDATE_SECRETS \
                            is not base64 of 24 to 64 bytes (name it if it is another's, like `stripe:whsec_…`)"
                    .into());
            }
        };
        Ok(Self { secret: secret.clone(), decoded })
    }

    fn bytes(&self, provider: &Provider) -> Option<&[u8]> {
        match provider.key {
            _ if !self.secret.signs_for(provider) => None,
            KeyEncoding::Base64 => self.decoded.as_deref(),
            KeyEncoding::Text => Some(self.secret.text().as_bytes()),
        }
    }
}

/// Judges a delivery by its signature, which covers the raw body: one of the keys must have made the signature, not too
/// long ago. A sender whose secret changes may give several signatures; one right signature is enough. Every key is tried,
/// and compared in constant time. `None`: the request is not signed.
pub fn verify(
    request: &Parts,
    body: &[u8],
    keys: &[SigningKey],
    base_path: &str,
    now: Millis,
) -> Option<Result<Verified, Refusal>> {
    let mut used = providers::schemes().filter(|(_, scheme)| scheme.is_used_by(&request.headers));
    let (provider, scheme) = used.next()?;
    if used.next().is_some() {
        return Some(Err(Refusal::Ambiguous));
    }
    let claim = Claim::read(provider, scheme, request, keys, base_path, now);
    Some(claim.and_then(|claim| claim.verify(&request.headers, body, keys)))
}

/// Whether a signed request is right but for its body. If not, the body need not be read.
pub fn depends_on_body(request: &Parts, keys: &[SigningKey], base_path: &str, now: Millis) -> bool {
    let mut used = providers::schemes().filter(|(_, scheme)| scheme.is_used_by(&request.headers));
    match (used.next(), used.next()) {
        (Some((provider, scheme)), None) => {
            Claim::read(provider, scheme, request, keys, base_path, now).is_ok()
        }
        _ => false,
    }
}

/// What a request says of its signature.
struct Claim<'a> {
    provider: &'static Provider,
    scheme: &'static Scheme,
    signatures: Vec<&'a str>,
    frame: Frame,
}

impl<'a> Claim<'a> {
    /// Reads all but the body.
    fn read(
        provider: &'static Provider,
        scheme: &'static Scheme,
        request: &'a Parts,
        keys: &[SigningKey],
        base_path: &str,
        now: Millis,
    ) -> Result<Self, Refusal> {
        let malformed = |field| Refusal::Malformed(provider.name, field);
        let value = single(&request.headers, scheme.header).ok_or(malformed(scheme.header))?;
        let mut signatures = scheme.layout.signatures(value);
        signatures.retain(|signature| signature.len() == scheme.signature_bytes());
        if signatures.is_empty() {
            return Err(malformed(scheme.header));
        }
        if !keys.iter().any(|key| key.bytes(provider).is_some()) {
            return Err(Refusal::Wrong(provider.name));
        }
        let time = match &scheme.time {
            None => "",
            Some(signed) => {
                let (field, time) = signed.find(&request.headers, (scheme.header, value));
                let time = time.ok_or(malformed(field))?;
                let sent = signed.unit.read(time).ok_or(malformed(field))?;
                let distance = sent.since(now).max(now.since(sent));
                if distance > signed.tolerance {
                    return Err(Refusal::Untimely(provider.name, distance.as_secs()));
                }
                time
            }
        };
        let signed = SignedRequest { parts: request, signature: value, time, base_path };
        let frame = scheme.frame(&signed).map_err(malformed)?;
        Ok(Self { provider, scheme, signatures, frame })
    }

    fn verify(self, headers: &HeaderMap, body: &[u8], keys: &[SigningKey]) -> Result<Verified, Refusal> {
        let Self { provider, scheme, signatures, frame } = self;
        let wrong = Refusal::Wrong(provider.name);
        let content = scheme.content(body, &frame.after).ok_or(wrong.clone())?;
        let mut right = None;
        for key in keys {
            let Some(secret) = key.bytes(provider) else { continue };
            for before in &frame.before {
                let expected = scheme.encoding.write(&scheme.hash.mac(secret, before, &content));
                for signature in &signatures {
                    if bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
                        right = Some((key, before));
                    }
                }
            }
        }
        let (key, before) = right.ok_or(wrong)?;
        if scheme.begins_with_body() && !is_payload(body, scheme) {
            return Err(Refusal::NoPayload(provider.name));
        }
        Ok(Verified {
            provider,
            id: id(scheme, headers, body),
            signed: signed_text(scheme, before, &content),
            key_id: key.secret.id(),
            signed_fields: frame.fields,
        })
    }
}

fn signed_text(scheme: &Scheme, before: &str, content: &[u8]) -> Option<SignedText> {
    let has_time = scheme.time.is_some();
    // Without a time and an id, two events may have the same text.
    if !has_time && matches!(scheme.id, DeliveryId::None) {
        return None;
    }
    let digest = Sha256::new().chain_update(before).chain_update(content).finalize();
    Some(SignedText { digest: hex(&digest), has_time })
}

fn id(scheme: &Scheme, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let id = match scheme.id {
        DeliveryId::None => return None,
        DeliveryId::Header(name) => single(headers, name)?.to_owned(),
        DeliveryId::Body(pointer) => read_json(body).ok()?.pointer(pointer)?.as_str()?.to_owned(),
    };
    (!id.is_empty() && id.len() <= ID_BYTES_MAX).then_some(id)
}

/// Whether a body may be a payload of a publisher who signs nothing before the body: a JSON object or list, nothing, or the
/// scheme's form. A text that the same secret has signed for another purpose begins otherwise (with a time, an id, a
/// method or a label), ends otherwise, or is a message of a publisher who signs a form of its own.
fn is_payload(body: &[u8], scheme: &Scheme) -> bool {
    let is_json = |text: &[u8]| {
        let begins = text.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['));
        begins && serde_json::from_slice::<IgnoredAny>(text).is_ok()
    };
    let is_form = |field: &str| {
        let mut pairs = form_urlencoded::parse(body);
        let only = pairs.next().filter(|_| pairs.next().is_none());
        // The name must stand there unescaped.
        let is_named = body.strip_prefix(field.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        is_named && only.is_some_and(|(_, value)| is_json(value.as_bytes()))
    };
    // A byte order mark is no part of JSON, and some senders write one (RFC 8259, section 8.1).
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_message = providers::schemes().any(|(_, scheme)| scheme.is_own_message(text));
    body.is_empty() || (is_json(text) && !is_message) || scheme.form_field.is_some_and(is_form)
}

#[cfg(test)]
mod separation;
#[cfg(test)]
pub(crate) mod vectors;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_cannot_sign_is_refused_without_being_told() {
        for bad in ["whsec_", "whsec_short", "whsec_!!!!", "whsec_AAAA"] {
            for written in [bad.to_owned(), format!("standard-webhooks:{bad}")] {
                let secret = Secret::parse(&written).unwrap();
                let error = SigningKey::of(&secret).map(|_| ()).unwrap_err();
                assert!(error.contains("whsec_") && !error.contains(&bad[6..]) | bad[6..].is_empty());
            }
            assert!(SigningKey::of(&Secret::parse(&format!("stripe:{bad}")).unwrap()).is_ok());
        }
    }
}
