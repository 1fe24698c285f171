//! How each publisher signs, as one table. Pure.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use perennial::Millis;
use perennial::parts::webhooks::provider::Provider;
use sha1::Sha1;
use sha2::Sha256;

use crate::{contentful, hygraph};

/// How far a delivery's time may be from ours, in both directions: what Standard Webhooks and Stripe recommend.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Sanity tries for 30 minutes, and Hygraph lets deliveries wait for several; they do not say that they sign each attempt
/// anew.
const TOLERANCE_OF_ATTEMPTS: Duration = Duration::from_secs(35 * 60);

/// How a publisher signs.
pub(crate) struct Scheme {
    pub(crate) provider: Provider,
    /// The field with the signature: a request that has it is signed in this way.
    pub(crate) signature: &'static str,
    /// A field that is there as well (or is not), where two publishers call their signatures the same.
    beside: Option<(&'static str, bool)>,
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    pub(crate) hash: Hash,
    pub(crate) signed: Signed,
    pub(crate) time: Option<(At, Unit, Duration)>,
    /// What the delivery is called; it is called the same when it is tried again.
    pub(crate) id: At,
}

/// How signatures stand in their field.
pub(crate) enum Form {
    /// One, after this.
    Whole(&'static str),
    /// Words, those that begin with this: several while a secret is changed.
    Words(&'static str),
    /// `t=time,v1=signature,v1=signature`, with this name instead of `v1`.
    Pairs(&'static str),
}

pub(crate) enum Encoding {
    Hex,
    Base64,
    /// For URLs, without padding.
    Base64Url,
}

pub(crate) enum Hash {
    Sha1,
    Sha256,
}

/// What is signed.
pub(crate) enum Signed {
    Body,
    TimeBody,
    BodyTime,
    /// A JSON object that has the body as a text: see [`hygraph`].
    Hygraph,
    /// Beginning with the id in this field.
    IdTimeBody(&'static str),
    /// Method, path, query and some fields too.
    Request,
}

impl Signed {
    /// Whether nothing is before the body, so that what is signed for another purpose could be shown as one.
    pub(crate) fn begins_with_body(&self) -> bool {
        matches!(self, Self::Body | Self::BodyTime)
    }

    /// The body as it is signed, and what is signed after it; `None` if it cannot be signed so.
    pub(crate) fn text<'a>(&self, body: &'a [u8], after: &str) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::BodyTime => Some([body, after.as_bytes()].concat().into()),
            Self::Hygraph => Some((hygraph::body(body)? + after).into_bytes().into()),
            Self::Body | Self::TimeBody | Self::IdTimeBody(_) | Self::Request => Some(body.into()),
        }
    }
}

pub(crate) enum At {
    Nowhere,
    Field(&'static str),
    /// In the field with the signature, as `t`.
    InPairs,
    /// In the body, by JSON pointer.
    Body(&'static str),
}

pub(crate) enum Unit {
    Seconds,
    Millis,
}

impl Scheme {
    /// By the body alone, in SHA-256.
    const fn of_body(provider: Provider, signature: &'static str, form: Form, encoding: Encoding) -> Self {
        let (hash, signed) = (Hash::Sha256, Signed::Body);
        Self { provider, signature, beside: None, form, encoding, hash, signed, time: None, id: At::Nowhere }
    }

    const fn with_id(mut self, id: At) -> Self {
        self.id = id;
        self
    }

    const fn with_time(mut self, signed: Signed, at: At, unit: Unit, tolerance: Duration) -> Self {
        self.signed = signed;
        self.time = Some((at, unit, tolerance));
        self
    }

    const fn beside(mut self, field: &'static str, is_there: bool) -> Self {
        self.beside = Some((field, is_there));
        self
    }

    const fn standard(signature: &'static str, id: &'static str, time: &'static str) -> Self {
        Self::of_body(Provider::StandardWebhooks, signature, Form::Words("v1,"), Encoding::Base64)
            .with_time(Signed::IdTimeBody(id), At::Field(time), Unit::Seconds, TOLERANCE)
            .with_id(At::Field(id))
    }

    pub(crate) fn is_of(&self, headers: &HeaderMap) -> bool {
        let is_beside = |(name, there)| headers.contains_key(name) == there;
        headers.contains_key(self.signature) && self.beside.is_none_or(is_beside)
    }
}

/// The table. Where each publisher says so:
///
/// - Standard Webhooks: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>;
///   Svix sends the same under names of its own.
/// - GitHub: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
/// - Stripe: <https://docs.stripe.com/webhooks#verify-manually>
/// - Shopify: <https://shopify.dev/docs/apps/build/webhooks/subscribe/https>
/// - Contentful: <https://www.contentful.com/developers/docs/webhooks/request-verification/>
/// - Sanity: <https://github.com/sanity-io/webhook-toolkit>
/// - Storyblok: <https://www.storyblok.com/docs/concepts/webhooks>
/// - Ghost: <https://github.com/TryGhost/Ghost/blob/main/ghost/core/core/server/services/webhooks/webhook-trigger.js>
/// - WooCommerce: <https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/>
/// - Hygraph: <https://hygraph.com/docs/api-reference/basics/webhooks>
/// - Kontent.ai: <https://kontent.ai/learn/docs/webhooks/webhooks/javascript>
///
/// WooCommerce's and Kontent.ai's deliveries have no id here. Their bodies may be the same at two events (WooCommerce sends
/// of what is deleted `{"id":5}` alone), like Storyblok's: to carry one out twice is better than to lose one.
pub(crate) const SCHEMES: [Scheme; 12] =
    [
        Scheme::standard("webhook-signature", "webhook-id", "webhook-timestamp").beside("webhook-id", true),
        Scheme::standard("svix-signature", "svix-id", "svix-timestamp"),
        Scheme::of_body(Provider::GitHub, "x-hub-signature-256", Form::Whole("sha256="), Encoding::Hex)
            .with_id(At::Field("x-github-delivery")),
        Scheme::of_body(Provider::Stripe, "stripe-signature", Form::Pairs("v1"), Encoding::Hex)
            .with_time(Signed::TimeBody, At::InPairs, Unit::Seconds, TOLERANCE)
            .with_id(At::Body("/id")),
        Scheme::of_body(Provider::Shopify, "x-shopify-hmac-sha256", Form::Whole(""), Encoding::Base64)
            .with_id(At::Field("x-shopify-webhook-id")),
        Scheme::of_body(Provider::Contentful, "x-contentful-signature", Form::Whole(""), Encoding::Hex)
            .with_time(Signed::Request, At::Field(contentful::TIMESTAMP), Unit::Millis, TOLERANCE)
            .with_id(At::Field("x-contentful-idempotency-key")),
        Scheme::of_body(Provider::Sanity, "sanity-webhook-signature", Form::Pairs("v1"), Encoding::Base64Url)
            .with_time(Signed::TimeBody, At::InPairs, Unit::Millis, TOLERANCE_OF_ATTEMPTS)
            .with_id(At::Field("idempotency-key")),
        Scheme {
            hash: Hash::Sha1,
            ..Scheme::of_body(Provider::Storyblok, "webhook-signature", Form::Whole(""), Encoding::Hex)
                .beside("webhook-id", false)
        },
        Scheme::of_body(Provider::Ghost, "x-ghost-signature", Form::Pairs("sha256"), Encoding::Hex)
            .with_time(Signed::BodyTime, At::InPairs, Unit::Millis, TOLERANCE),
        Scheme::of_body(Provider::WooCommerce, "x-wc-webhook-signature", Form::Whole(""), Encoding::Base64),
        Scheme::of_body(Provider::Hygraph, "gcms-signature", Form::Pairs("sign"), Encoding::Base64)
            .with_time(Signed::Hygraph, At::InPairs, Unit::Millis, TOLERANCE_OF_ATTEMPTS),
        Scheme::of_body(Provider::KontentAi, "x-kontent-ai-signature", Form::Whole(""), Encoding::Base64),
    ];

/// Fields that tell whose payload it is where it is not signed.
const MARKS: [(&str, Provider); 7] = [
    ("x-github-event", Provider::GitHub),
    ("x-shopify-topic", Provider::Shopify),
    ("x-contentful-topic", Provider::Contentful),
    ("sanity-webhook-id", Provider::Sanity),
    ("x-storyblok-topic", Provider::Storyblok),
    ("x-strapi-event", Provider::Strapi),
    ("x-wc-webhook-topic", Provider::WooCommerce),
];

/// Whether a request is signed at all.
pub fn is_signed(headers: &HeaderMap) -> bool {
    SCHEMES.iter().any(|scheme| scheme.is_of(headers))
}

/// Whose payload it is, signed or not.
pub fn provider(headers: &HeaderMap) -> Provider {
    let signed = SCHEMES.iter().find(|scheme| scheme.is_of(headers)).map(|scheme| scheme.provider);
    let marked = || MARKS.iter().find(|(name, _)| headers.contains_key(*name)).map(|(_, whose)| *whose);
    signed.or_else(marked).unwrap_or(Provider::Secret)
}

impl Form {
    pub(crate) fn signatures<'a>(&self, value: &'a str) -> Vec<&'a str> {
        match self {
            Form::Whole(prefix) => value.strip_prefix(prefix).into_iter().collect(),
            Form::Words(prefix) => value.split(' ').filter_map(|word| word.strip_prefix(prefix)).collect(),
            Form::Pairs(of) => pairs(value).filter(|(name, _)| name == of).map(|(_, value)| value).collect(),
        }
    }
}

/// Names and values of `t=1,v1=a`.
pub(crate) fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|pair| pair.trim().split_once('='))
}

impl Unit {
    pub(crate) fn read(&self, text: &str) -> Option<Millis> {
        let number: u64 = text.parse().ok()?;
        Some(match self {
            Unit::Seconds => Millis(number.saturating_mul(1000)),
            Unit::Millis => Millis(number),
        })
    }
}

impl Hash {
    /// As long as one of these.
    pub(crate) fn zero(&self) -> Vec<u8> {
        match self {
            Hash::Sha1 => vec![0; 20],
            Hash::Sha256 => vec![0; 32],
        }
    }

    pub(crate) fn mac(&self, key: &[u8], before: &str, body: &[u8]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], before: &str, body: &[u8]) -> Vec<u8> {
            let mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
            mac.chain_update(before).chain_update(body).finalize().into_bytes().to_vec()
        }
        match self {
            Hash::Sha1 => of::<Hmac<Sha1>>(key, before, body),
            Hash::Sha256 => of::<Hmac<Sha256>>(key, before, body),
        }
    }
}

impl Encoding {
    pub(crate) fn write(&self, bytes: &[u8]) -> String {
        match self {
            Encoding::Hex => hex(bytes),
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of a field that is there once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
