//! Signed deliveries: whether one is signed right, and what is known of its sender. Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::request::Parts;
use perennial::Millis;
use perennial::parts::base::log_limits::Line;
use perennial::parts::ports::journal::DELIVERY_KEPT;
use perennial::parts::record::publish_request::Fingerprint;
use perennial::parts::run::secrets::named::{SIGNING_SECRET_PREFIX, Secret};
use perennial::parts::webhooks::json::read_json;
use perennial::parts::webhooks::provider::Provider;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::publisher::Publisher;
use crate::schemes::{At, SCHEMES, Scheme, Signed, hex, only, pairs};
pub use crate::schemes::{is_signed, provider};
use crate::{contentful, hygraph};

/// How long a delivery that is signed without a time is known by its body, whatever id it comes with. Bodies of GitHub and
/// Shopify hold times and numbers of their own; one of a sender who only signs like them may be the same at the next
/// publish, and to lose that would be worse than to do it twice. For Storyblok, WooCommerce and Kontent.ai, whose bodies may
/// be the same at two events, it is not known at all.
pub const SAME_BODY_KEPT: Duration = Duration::from_secs(5 * 60);

/// A delivery's id that is longer is none.
const ID_BYTES_MAX: usize = 255;

/// A call that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose it is.
    pub provider: Provider,
    /// What its sender calls it; the same when it is tried again. It is only part of what is signed where the provider
    /// is Standard Webhooks or Stripe: of others, who has seen a delivery can send it under another name.
    pub id: Option<String>,
    /// What tells it from others whatever it calls itself; none for a call with a secret, and where a provider's own
    /// deliveries do not differ in what is signed.
    pub signed: Option<Fingerprint>,
    /// Which secret: [`perennial::parts::run::secrets::named::key_id`] of it.
    pub key: String,
    /// How much of the request is the sender's own word.
    pub vouched: Vouched,
}

/// What of a request nobody but its sender can have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// All of it: it came with a secret.
    Request,
    /// The body, and these fields: it came with a signature, and may have been sent by who has seen it before.
    Body(Vec<String>),
}

/// Why a call is not carried out: for the log, never for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No secret, or a wrong one.
    #[error("it carries no live secret, and no signature that is known here")]
    NoSecret,
    /// Signed in several ways.
    #[error("it is signed as several publishers do")]
    Ambiguous,
    /// A field is missing, is there twice, or cannot be read.
    #[error("the {0} signature is incomplete: look at `{1}`")]
    Malformed(&'static str, &'static str),
    /// Too far from now.
    #[error("the {0} signature is of another time: {1} seconds from now")]
    Untimely(&'static str, u64),
    /// No live secret has signed it.
    #[error(
        "the {0} signature is of no live secret that counts for {0}, or of another body, or (where it covers the address) of \
         another address: a part of the path that a proxy takes off must be PERENNIAL_BASE_PATH"
    )]
    Wrong(&'static str),
    /// A live secret has signed it, but it is no delivery: what somebody has signed for another purpose.
    #[error("the {0} signature is right, but the body is none that {0} sends: a JSON object or list")]
    NoPayload(&'static str),
}

impl Refusal {
    /// The kind of its line in the log.
    pub fn line(&self) -> Line {
        match self {
            Self::NoSecret => Line::RefusedCall,
            Self::Ambiguous | Self::Malformed(..) => Line::BadSignature,
            Self::Untimely(..) => Line::UntimelySignature,
            Self::Wrong(_) | Self::NoPayload(_) => Line::WrongSignature,
        }
    }
}

impl Delivery {
    /// Who publishes, as the journal has it. A field that is not signed does not say whose a call with a secret is.
    pub fn publisher(&self) -> Publisher {
        let is_signed = self.vouched != Vouched::Request;
        Publisher {
            key_id: self.key.clone(),
            provider: is_signed.then(|| self.provider.as_str().to_owned()),
            delivery_id: self.id.clone(),
        }
    }
}

/// A secret that deliveries are signed with.
pub struct SigningKey {
    secret: Secret,
    /// As Standard Webhooks have it.
    decoded: Option<Vec<u8>>,
}

impl SigningKey {
    /// Of any secret.
    ///
    /// # Errors
    /// It begins with `whsec_`, or is of Standard Webhooks by its name, and is not base64 of 24 to 64 bytes. The message does
    /// not hold the secret.
    pub fn of(secret: &Secret) -> Result<Self, String> {
        let base64 = match (secret.of(), secret.text().strip_prefix(SIGNING_SECRET_PREFIX)) {
            // A library of Standard Webhooks takes its secrets with and without the prefix.
            (Some(Provider::StandardWebhooks), text) => Some(text.unwrap_or(secret.text())),
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

    fn bytes(&self, scheme: &Scheme) -> Option<&[u8]> {
        match scheme.provider {
            provider if !self.secret.signs_for(provider) => None,
            Provider::StandardWebhooks => self.decoded.as_deref(),
            _ => Some(self.secret.text().as_bytes()),
        }
    }
}

/// What a delivery with these fields would be, if it were right.
pub fn unverified(headers: &HeaderMap) -> Delivery {
    let vouched = match only(headers, contentful::SIGNED_HEADERS) {
        _ if !is_signed(headers) => Vouched::Request,
        Some(listed) => {
            Vouched::Body(listed.split(',').map(|name| name.trim().to_ascii_lowercase()).collect())
        }
        None => Vouched::Body(Vec::new()),
    };
    Delivery { provider: provider(headers), id: None, signed: None, key: String::new(), vouched }
}

/// Judges a delivery by its signature, which is over its raw body: one of the keys must have made it, not too long
/// ago. Several signatures, as a sender gives while its secret changes, may each be the right one. Every key is tried,
/// and compared in constant time. `None`: it is not signed.
pub fn verify(
    request: &Parts,
    body: &[u8],
    keys: &[SigningKey],
    base_path: &str,
    now: Millis,
) -> Option<Result<Delivery, Refusal>> {
    let mut schemes = SCHEMES.iter().filter(|scheme| scheme.is_of(&request.headers));
    let scheme = schemes.next()?;
    if schemes.next().is_some() {
        return Some(Err(Refusal::Ambiguous));
    }
    Some(scheme.verify(request, body, keys, base_path, now))
}

/// Whether a request is signed in a way that its body may yet make right: what is wrong without it need not be read.
pub fn depends_on_body(request: &Parts, keys: &[SigningKey], base_path: &str, now: Millis) -> bool {
    let mut schemes = SCHEMES.iter().filter(|scheme| scheme.is_of(&request.headers));
    match (schemes.next(), schemes.next()) {
        (Some(scheme), None) => scheme.read(request, keys, base_path, now).is_ok(),
        _ => false,
    }
}

/// What a request says of its signature.
struct Claim<'a> {
    given: Vec<&'a str>,
    /// What may be signed before the body.
    before_body: Vec<String>,
    /// What is signed after it.
    after_body: String,
    /// The fields in it.
    fields: Vec<String>,
}

impl Scheme {
    /// Everything but the body.
    fn read<'a>(
        &self,
        request: &'a Parts,
        keys: &[SigningKey],
        base_path: &str,
        now: Millis,
    ) -> Result<Claim<'a>, Refusal> {
        let name = self.provider.as_str();
        let malformed = |field| Refusal::Malformed(name, field);
        let value = only(&request.headers, self.signature).ok_or(malformed(self.signature))?;
        let mut given = self.form.signatures(value);
        given.retain(|signature| signature.len() == self.encoding.write(&self.hash.zero()).len());
        if given.is_empty() {
            return Err(malformed(self.signature));
        }
        if !keys.iter().any(|key| key.bytes(self).is_some()) {
            return Err(Refusal::Wrong(name));
        }
        let time = match &self.time {
            None => "",
            Some((at, unit, tolerance)) => {
                let (field, time) = match at {
                    At::Field(field) => (*field, only(&request.headers, field)),
                    _ => (self.signature, pairs(value).find(|(name, _)| *name == "t").map(|(_, t)| t)),
                };
                let time = time.ok_or(malformed(field))?;
                let sent = unit.read(time).ok_or(malformed(field))?;
                let apart = sent.since(now).max(now.since(sent));
                if apart > *tolerance {
                    return Err(Refusal::Untimely(name, apart.as_secs()));
                }
                time
            }
        };
        let mut after_body = String::new();
        let (before_body, fields) = match &self.signed {
            Signed::Body => (vec![String::new()], Vec::new()),
            Signed::TimeBody => (vec![format!("{time}.")], Vec::new()),
            Signed::BodyTime => {
                time.clone_into(&mut after_body);
                (vec![String::new()], Vec::new())
            }
            Signed::Hygraph => {
                let environment = pairs(value).find(|(name, _)| *name == "env").map(|(_, name)| name);
                after_body = hygraph::after(environment.ok_or(malformed(self.signature))?, time);
                (vec![hygraph::BEFORE.to_owned()], Vec::new())
            }
            Signed::IdTimeBody(field) => {
                let id = only(&request.headers, field).ok_or(malformed(field))?;
                (vec![format!("{id}.{time}.")], vec![(*field).to_owned()])
            }
            Signed::Request => {
                contentful::signed(request, base_path).ok_or(malformed(contentful::SIGNED_HEADERS))?
            }
        };
        Ok(Claim { given, before_body, after_body, fields })
    }

    fn verify(
        &self,
        request: &Parts,
        body: &[u8],
        keys: &[SigningKey],
        base_path: &str,
        now: Millis,
    ) -> Result<Delivery, Refusal> {
        let Claim { given, before_body, after_body, fields } = self.read(request, keys, base_path, now)?;
        let wrong = Refusal::Wrong(self.provider.as_str());
        let text = self.signed.text(body, &after_body).ok_or(wrong.clone())?;
        let mut right = None;
        for key in keys {
            let Some(secret) = key.bytes(self) else { continue };
            for before in &before_body {
                let expected = self.encoding.write(&self.hash.mac(secret, before, &text));
                for given in &given {
                    if bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
                        right = Some((key, before));
                    }
                }
            }
        }
        let (key, before) = right.ok_or(wrong)?;
        if self.signed.begins_with_body() && !is_payload(body, self.provider) {
            return Err(Refusal::NoPayload(self.provider.as_str()));
        }
        Ok(Delivery {
            provider: self.provider,
            id: self.id(&request.headers, body),
            signed: self.fingerprint(before, &text),
            key: key.secret.id(),
            vouched: Vouched::Body(fields),
        })
    }

    /// What is signed, and for how long nothing else can be it.
    fn fingerprint(&self, before: &str, text: &[u8]) -> Option<Fingerprint> {
        let kept = match (&self.time, &self.id) {
            // Another delivery has another time.
            (Some(_), _) => DELIVERY_KEPT,
            (None, At::Nowhere) => return None,
            (None, _) => SAME_BODY_KEPT,
        };
        let digest = Sha256::new().chain_update(before).chain_update(text).finalize();
        Some(Fingerprint { digest: hex(&digest), kept })
    }

    fn id(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let id = match self.id {
            At::Field(name) => only(headers, name)?.to_owned(),
            At::Body(pointer) => {
                let payload = read_json(body).ok()?;
                payload.pointer(pointer)?.as_str()?.to_owned()
            }
            At::Nowhere | At::InPairs => return None,
        };
        (!id.is_empty() && id.len() <= ID_BYTES_MAX).then_some(id)
    }
}

/// Whether a body may be a delivery of a publisher who signs nothing before it: a JSON object or list, nothing, or the form
/// `payload=…` of GitHub. What the same secret has signed for another purpose begins otherwise: with a time, an id, a
/// method, or a label; or ends otherwise; or is the object that Hygraph signs.
fn is_payload(body: &[u8], provider: Provider) -> bool {
    let is_json = |text: &[u8]| {
        let begins = text.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['));
        begins && serde_json::from_slice::<IgnoredAny>(text).is_ok()
    };
    let is_form = || {
        let mut pairs = form_urlencoded::parse(body);
        let only = pairs.next().filter(|_| pairs.next().is_none());
        body.starts_with(b"payload=") && only.is_some_and(|(_, value)| is_json(value.as_bytes()))
    };
    // A byte order mark is no part of JSON, and some senders write one (RFC 8259, section 8.1).
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_other = hygraph::is_signed_text(text);
    body.is_empty() || (is_json(text) && !is_other) || (provider == Provider::GitHub && is_form())
}

#[cfg(test)]
mod apart;

#[cfg(test)]
mod tests {
    use perennial::parts::run::secrets::named::key_id;

    use super::*;

    const STANDARD_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const CONTENTFUL_KEY: &str = "HC6VzsJataBC9d99t0f9zCsvocIJf2imamlxpWW46ehAHvsjsObgYagXeheKI_ye";
    const PAYLOAD: &str = r#"{"id":"evt_1","object":"event"}"#;
    const ENTRY: &str = r#"{"sys":{"id":"x"}}"#;

    /// A delivery that is right at a time, in milliseconds, and what it is then called.
    struct Vector {
        provider: Provider,
        key: &'static str,
        target: &'static str,
        fields: Vec<(&'static str, &'static str)>,
        body: &'static str,
        sent: u64,
        id: Option<&'static str>,
    }

    fn of_contentful(target: &'static str, signature: &'static str) -> Vector {
        Vector {
            provider: Provider::Contentful,
            key: CONTENTFUL_KEY,
            target,
            fields: vec![
                ("x-contentful-signature", signature),
                ("x-contentful-timestamp", "1694714727945"),
                (
                    "x-contentful-signed-headers",
                    "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic",
                ),
                ("x-contentful-topic", "ContentManagement.Entry.publish"),
                ("content-type", "application/vnd.contentful.management.v1+json"),
                ("x-contentful-idempotency-key", "9451"),
            ],
            body: ENTRY,
            sent: 1_694_714_727_945,
            id: Some("9451"),
        }
    }

    fn of_standard_webhooks(names: [&'static str; 3]) -> Vector {
        Vector {
            provider: Provider::StandardWebhooks,
            key: STANDARD_KEY,
            target: "/",
            fields: vec![
                (names[0], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
                (names[1], "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                (names[2], "1614265330"),
            ],
            body: r#"{"test": 2432232314}"#,
            sent: 1_614_265_330_000,
            id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        }
    }

    fn of_sanity(signature: &'static str, body: &'static str) -> Vector {
        Vector {
            provider: Provider::Sanity,
            key: "test",
            target: "/",
            fields: vec![("sanity-webhook-signature", signature), ("idempotency-key", "ik")],
            body,
            sent: 1_633_519_811_129,
            id: Some("ik"),
        }
    }

    fn of_hygraph(signature: &'static str, body: &'static str) -> Vector {
        Vector {
            provider: Provider::Hygraph,
            key: "rCNwyiloY3oJYYkxgpBXaleIiUv5MYlx",
            target: "/",
            fields: vec![("gcms-signature", signature)],
            body,
            sent: 1_614_265_330_123,
            id: None,
        }
    }

    /// GitHub's own example, whose body is none that it ever sends.
    #[test]
    fn hashes_are_as_github_has_them() {
        let mac = crate::schemes::Hash::Sha256.mac(b"It's a Secret to Everybody", "", b"Hello, World!");
        assert_eq!(hex(&mac), "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    fn of_body(
        provider: Provider,
        key: &'static str,
        fields: Vec<(&'static str, &'static str)>,
        body: &'static str,
        id: Option<&'static str>,
    ) -> Vector {
        Vector { provider, key, target: "/", fields, body, sent: 0, id }
    }

    /// From the specification of Standard Webhooks; made with the publishers' own packages
    /// for Node (`@contentful/node-apps-toolkit` 3.16, `@sanity/webhook` 4.0, `stripe` 23.1, the one of `{"_id":…}`
    /// being in that package's tests; `@kontent-ai/webhook-helper` 3.0, `@hygraph/utils` 1.2, but for `&`, `<` and `>` as its
    /// source has it since); and with `node:crypto` and `hmac` of Python, as GitHub, Shopify, Storyblok, Ghost and WooCommerce
    /// describe it.
    fn vectors() -> Vec<Vector> {
        let mut vectors = vec![
            of_standard_webhooks(["webhook-signature", "webhook-id", "webhook-timestamp"]),
            of_standard_webhooks(["svix-signature", "svix-id", "svix-timestamp"]),
            of_body(
                Provider::GitHub,
                "It's a Secret to Everybody",
                vec![
                    (
                        "x-hub-signature-256",
                        "sha256=71f9bffa4e7268a09f6e6a3c98847e83ec8016b2fe0d0c5aedc3762c0bd60af3",
                    ),
                    ("x-github-delivery", "72d3162e"),
                ],
                PAYLOAD,
                Some("72d3162e"),
            ),
            Vector {
                provider: Provider::Stripe,
                key: STANDARD_KEY,
                target: "/",
                fields: vec![(
                    "stripe-signature",
                    "t=1614265330,v1=9e5b1967c75cbf545b79cec1364541514b7c2d42b9f5c5ccd34aa676a0815233",
                )],
                body: PAYLOAD,
                sent: 1_614_265_330_000,
                id: Some("evt_1"),
            },
            of_body(
                Provider::Shopify,
                "hush",
                vec![
                    ("x-shopify-hmac-sha256", "Y5yh1MBcvmylNdRGRmMjSnWMAU5vK6ZYOwIowkFMvRk="),
                    ("x-shopify-webhook-id", "b54557e4"),
                ],
                PAYLOAD,
                Some("b54557e4"),
            ),
            of_contentful(
                "/api/revalidate",
                "af91866d4c7de65904f4cdd5549c4d13e0e942327c35d2723d19219c71dccc6f",
            ),
            of_sanity(
                "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0",
                r#"{"_id":"resume"}"#,
            ),
            of_sanity("t=1633519811129, v1=xHWq9pQToJkZjyfvsnVdpfWPldgCeD812A6TZyLSdHo", PAYLOAD),
            of_body(
                Provider::Storyblok,
                "hello",
                vec![("webhook-signature", "8900c2ad4b335f381214779a4803c23c7e869487")],
                PAYLOAD,
                None,
            ),
        ];
        vectors.extend(vectors_of_more_systems());
        vectors
    }

    /// The same of Ghost, WooCommerce, Hygraph and Kontent.ai.
    fn vectors_of_more_systems() -> Vec<Vector> {
        vec![
            of_body(
                Provider::WooCommerce,
                "hush",
                vec![("x-wc-webhook-signature", "Y5yh1MBcvmylNdRGRmMjSnWMAU5vK6ZYOwIowkFMvRk=")],
                PAYLOAD,
                None,
            ),
            of_body(
                Provider::KontentAi,
                "hush",
                vec![("x-kontent-ai-signature", "Y5yh1MBcvmylNdRGRmMjSnWMAU5vK6ZYOwIowkFMvRk=")],
                PAYLOAD,
                None,
            ),
            Vector {
                provider: Provider::Ghost,
                key: "hush",
                target: "/",
                fields: vec![(
                    "x-ghost-signature",
                    "sha256=f7583e2539233b308ade383da4079c2ad44889090264b4ba8c85448bb7576cf5, t=1614265330123",
                )],
                body: PAYLOAD,
                sent: 1_614_265_330_123,
                id: None,
            },
            of_hygraph(
                "sign=k59gVV2pV4oGIn/grEiEUKYMx3HKPTP+t5yvf9QAtCc=, env=master, t=1614265330123",
                PAYLOAD,
            ),
            of_hygraph(
                "sign=sPAftMQ/1qutd20vsPcmaAr+9xYbio3Y5XVtITjG1dw=, env=a-b, t=1614265330123",
                "{\"title\":\"Caf\u{e9} \\u0026 \\\"b\\\" \u{2028}\\n\",\"n\":\"\u{1}\t\"}\n",
            ),
            of_hygraph(
                "sign=ZouB21p2TfPIlr5QeLyIK/cqbodfmoOA0fWIoc0Bxe8=, env=master, t=1614265330123",
                "{\"title\":\"Caf\u{e9} & \\\"b\\\" <\\u0026>\u{2028}\\n\",\"n\":\"\u{1}\t\"}\n",
            ),
        ]
    }

    impl Vector {
        fn judge(&self, keys: &[&str], base: &str, now: u64) -> Option<Result<Delivery, Refusal>> {
            let request =
                self.fields.iter().fold(http::Request::post(self.target), |r, (n, v)| r.header(*n, *v));
            let of = |key: &&str| SigningKey::of(&Secret::parse(key).unwrap()).unwrap();
            let keys: Vec<_> = keys.iter().map(of).collect();
            let parts = request.body(()).unwrap().into_parts().0;
            verify(&parts, self.body.as_bytes(), &keys, base, Millis(now))
        }

        fn judged(&self) -> Result<Delivery, Refusal> {
            self.judge(&["other", self.key], "", self.sent).expect("it is signed")
        }
    }

    #[test]
    fn every_publishers_own_signature_is_right() {
        for vector in vectors() {
            // Every live secret opens, wherever it stands.
            for keys in [&["other", vector.key][..], &[vector.key, "other"], &[vector.key]] {
                let delivery = vector.judge(keys, "", vector.sent).unwrap().unwrap();
                assert_eq!(delivery.provider, vector.provider);
                assert_eq!(delivery.id.as_deref(), vector.id, "{:?}", vector.provider);
                assert_eq!(delivery.key, key_id(vector.key));
            }
            assert!(matches!(vector.judge(&["other"], "", vector.sent), Some(Err(Refusal::Wrong(_)))));
        }
    }

    #[test]
    fn whatever_is_changed_makes_it_wrong() {
        for vector in vectors() {
            assert!(Vector { body: "", ..vector }.judged().is_err());
        }
        for at in 0..vectors().len() {
            for field in 0..vectors()[at].fields.len() {
                let mut changed = vectors().swap_remove(at);
                let (name, value) = changed.fields[field];
                if Some(value) == changed.id && changed.provider != Provider::StandardWebhooks {
                    continue;
                }
                changed.fields[field].1 = "";
                assert!(changed.judged().is_err(), "{name} is empty");
                // With the last letter changed.
                let last = if value.ends_with('0') { "1" } else { "0" };
                changed.fields[field].1 = format!("{}{last}", &value[..value.len() - 1]).leak();
                assert!(changed.judged().is_err(), "{name} is {}", changed.fields[field].1);
                changed.fields[field].1 = value;
                changed.fields.push((name, value));
                assert!(changed.judged().is_err(), "{name} is there twice");
                changed.fields.pop();
                changed.fields.remove(field);
                let judged = changed.judge(&[changed.key], "", changed.sent);
                assert!(!matches!(judged, Some(Ok(_))), "{name} is missing");
            }
        }
    }

    #[test]
    fn a_delivery_of_another_time_is_refused_where_the_time_is_signed() {
        for vector in vectors().iter().filter(|vector| vector.sent > 0) {
            let is_long = matches!(vector.provider, Provider::Sanity | Provider::Hygraph);
            let tolerance = if is_long { 35 * 60_000 } else { 5 * 60_000 };
            for (apart, is_right) in [(tolerance, true), (tolerance + 1000, false)] {
                for now in [vector.sent + apart, vector.sent - apart] {
                    let judged = vector.judge(&[vector.key], "", now).unwrap();
                    assert_eq!(judged.is_ok(), is_right, "{judged:?}");
                }
            }
        }
    }

    #[test]
    fn several_signatures_may_each_be_right() {
        for (field, several) in [
            ("webhook-signature", "v1,AAAA v1a,xyz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            (
                "stripe-signature",
                "t=1614265330,v1=00,v1=9e5b1967c75cbf545b79cec1364541514b7c2d42b9f5c5ccd34aa676a0815233,v0=00",
            ),
        ] {
            let mut vectors = vectors();
            let vector = vectors.iter_mut().find(|vector| vector.fields[0].0 == field).unwrap();
            vector.fields[0].1 = several;
            vector.judged().unwrap();
            vector.fields[0].1 = several.replace("v1", "v2").leak();
            assert!(vector.judged().is_err());
        }
    }

    /// A payload that is signed in two ways could be told apart by neither rule nor log.
    #[test]
    fn one_signature_is_enough() {
        let mut vectors = vectors();
        let other = vectors.swap_remove(4).fields;
        let mut vector = vectors.swap_remove(2);
        vector.fields.extend(other);
        assert_eq!(vector.judged(), Err(Refusal::Ambiguous));
        vector.fields.clear();
        assert_eq!(vector.judge(&["other"], "", 0), None, "not signed at all");
    }

    /// The query is part of what Contentful signs, and the path is the one it was told, whatever stands in between.
    #[test]
    fn contentful_signs_the_address() {
        const SIGNATURE: &str = "468f8fea34e21397a17fee6654240213180c8618bf1d990c0fd4b4a02e5ed01a";
        let right = |target| of_contentful(target, SIGNATURE);
        let delivery = right("/api/revalidate?path=/blog/a%20b&tag=x").judged().unwrap();
        assert!(
            matches!(delivery.vouched, Vouched::Body(fields) if fields.contains(&"x-contentful-topic".into()))
        );
        // With more escapes it is the same query.
        right("/api/revalidate?path=%2Fblog%2Fa%20b&%74ag=x").judged().unwrap();
        for wrong in [
            "/api/revalidate",
            "/api/revalidate?path=/blog/a%20b&tag=y",
            "/api/revalidate?path=/blog/a%20b&tag=x&tag=y",
            "/api/revalidate?tag=x&path=/blog/a%20b",
            "/api/revalidate?path=/blog/a%20b%26tag=x",
            "/api/revalidate?path=/blog/a+b&tag=x",
            "/api/revalidates?path=/blog/a%20b&tag=x",
            // Contentful signs what stands before a second question mark.
            "/api/revalidate?path=/blog/a%20b&tag=x?&path=/other",
        ] {
            assert!(right(wrong).judged().is_err(), "{wrong}");
        }
        // Somebody in between has taken the base path off.
        let plain = |target| {
            of_contentful(target, "af91866d4c7de65904f4cdd5549c4d13e0e942327c35d2723d19219c71dccc6f")
        };
        let below = plain("/revalidate");
        assert!(below.judge(&[CONTENTFUL_KEY], "", below.sent).unwrap().is_err());
        assert!(below.judge(&[CONTENTFUL_KEY], "/api", below.sent).unwrap().is_ok());
        // A field that anybody can write says nothing of it.
        for prefix in ["/api", "/api/", "/api/revalidate?x=", "/api,/api"] {
            let mut forwarded = plain("/revalidate");
            forwarded.fields.push(("x-forwarded-prefix", prefix));
            assert!(forwarded.judged().is_err(), "{prefix}");
        }
        // Or has put it before.
        let above = plain("/docs/api/revalidate");
        assert!(above.judge(&[CONTENTFUL_KEY], "/docs", above.sent).unwrap().is_ok());
        assert!(above.judged().is_err());
        // The same query with more escapes, and another that looks like it.
        let escaped = Vector { target: "/docs/api/revalidate?%61=1%3Fb=2", ..plain("/") };
        assert!(escaped.judged().is_err(), "a `?` that is escaped is part of what is signed");
        // Its encoding of marks, twice over.
        of_contentful(
            "/a'(b)*!?x='(y)*!~",
            "f286c7d4353c125c286b3463daeb33b833cf5f0789e372920ef1a0d844ca19c7",
        )
        .judged()
        .unwrap();
    }

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

    #[test]
    fn whose_it_is_shows_without_a_signature_too() {
        let of = |name: &'static str| {
            provider(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static("x"),
            )]))
        };
        assert_eq!(of("x-contentful-topic"), Provider::Contentful);
        assert_eq!(of("x-strapi-event"), Provider::Strapi);
        assert_eq!(of("x-hub-signature-256"), Provider::GitHub);
        assert_eq!(of("accept"), Provider::Secret);
        // The guide's table of fields for a dry run.
        let guide = include_str!("../../../shared/site/content/guides/webhooks.md");
        let (_, table) = guide.split_once("| provider | field |\n|---|---|\n").unwrap();
        let rows = table
            .lines()
            .map_while(|line| line.strip_prefix("| `")?.strip_suffix("` |")?.split_once("` | `"));
        let rows: Vec<_> = rows.map(|(name, field)| (name, &*field.to_ascii_lowercase().leak())).collect();
        for provider in Provider::ALL.into_iter().filter(|provider| *provider != Provider::Secret) {
            let (_, field) = rows.iter().find(|(name, _)| *name == provider.as_str()).unwrap();
            assert_eq!(of(field), provider, "{field}");
        }
    }
}
