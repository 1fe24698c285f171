//! One way to sign deliveries: the header field, the hash, and the text that is signed. Pure.

#[cfg(feature = "signatures")]
mod mac;

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;

use crate::base::clock::Millis;
use crate::webhooks::signature::header::{pair, pairs, single};

/// Largest distance between a delivery's signed time and this machine's, in both directions. Standard Webhooks and Stripe
/// recommend five minutes.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The same for publishers who may deliver late without a new signature: Sanity tries for 30 minutes, and Hygraph lets
/// deliveries wait for several. Neither says that each attempt is signed anew.
pub const TOLERANCE_OF_ATTEMPTS: Duration = Duration::from_secs(35 * 60);

/// A way to sign.
pub struct Scheme {
    /// The header field with the signature, in lower case. A request with this field is signed by this scheme.
    pub header: &'static str,
    /// Another header field, and whether the request has that field: for two schemes with one `header`.
    pub companion: Option<(&'static str, bool)>,
    /// How signatures stand in their header field.
    pub layout: Layout,
    /// How a signature is written.
    pub encoding: Encoding,
    /// The hash of the HMAC.
    pub hash: Hash,
    /// The text that is signed.
    pub message: Message,
    /// The signed time; `None`: no time is signed, and a signature is right for ever.
    pub time: Option<SignedTime>,
    /// Where the delivery's id stands. A publisher who tries again sends the same id.
    pub id: DeliveryId,
    /// The one field of a form that may be sent instead of JSON, with the JSON as its value.
    pub form_field: Option<&'static str>,
}

/// How signatures stand in their header field.
pub enum Layout {
    /// One signature, after this prefix.
    Single(&'static str),
    /// Words, of which those with this prefix are signatures: several while a secret changes.
    Words(&'static str),
    /// `t=time,v1=signature,v1=signature`; this is the name of the pairs with signatures.
    Pairs(&'static str),
}

/// How a signature is written.
pub enum Encoding {
    /// Hexadecimal digits in lower case.
    Hex,
    /// With padding: RFC 4648, section 4.
    Base64,
    /// For URLs, without padding: RFC 4648, section 5.
    Base64Url,
}

/// The hash of an HMAC.
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// The text that is signed.
pub enum Message {
    /// The body.
    Body,
    /// The time, a dot, the body.
    TimeDotBody,
    /// The body, then the time.
    BodyTime,
    /// The id in this header field, a dot, the time, a dot, the body.
    IdDotTimeDotBody(&'static str),
    /// A form of one publisher's own.
    Own(&'static dyn OwnMessage),
}

/// A signed time.
pub struct SignedTime {
    /// Where the time stands.
    pub at: TimeAt,
    /// Its unit, counted from 1970.
    pub unit: Unit,
    /// Largest distance from now.
    pub tolerance: Duration,
}

/// Where the signed time stands.
pub enum TimeAt {
    /// In this header field.
    Header(&'static str),
    /// In the header field with the signature, as the pair `t`.
    Pair,
}

/// The unit of a signed time.
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
}

/// Where a delivery's id stands.
pub enum DeliveryId {
    /// Deliveries have no id. If no time is signed either, two events may have equal bodies, and each is carried out.
    None,
    /// In this header field.
    Header(&'static str),
    /// In the body, at this JSON pointer.
    Body(&'static str),
}

/// A text that one publisher alone signs.
pub trait OwnMessage: Sync {
    /// The texts around the body.
    ///
    /// # Errors
    /// The name of the header field that is missing, is there twice, or cannot be read.
    fn frame(&self, request: &SignedRequest<'_>) -> Result<Frame, &'static str>;

    /// The body as it is signed; `None`: the publisher signs no such body.
    fn body<'a>(&self, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        Some(body.into())
    }

    /// The header fields that the request claims to be signed, in lower case.
    fn listed_fields(&self, _headers: &HeaderMap) -> Vec<String> {
        Vec::new()
    }

    /// Whether a text looks like a whole signed message. Such a text is no payload of a publisher who signs bodies alone.
    fn is_message(&self, _text: &[u8]) -> bool {
        false
    }

    /// The parts of a message that is signed at `time`.
    #[cfg(test)]
    fn sample(&self, time: &str) -> Sample;

    /// All ways to show a signed text as a delivery of this publisher at `time`.
    #[cfg(test)]
    fn cuts(&self, text: &str, time: &str) -> Vec<(SampleFields, String)>;
}

/// A request whose signature is read.
pub struct SignedRequest<'a> {
    /// Method, address and header fields.
    pub parts: &'a Parts,
    /// The value of the header field with the signature.
    pub signature: &'a str,
    /// The signed time, as it stands there.
    pub time: &'a str,
    /// The site's base path.
    pub base_path: &'a str,
}

/// The texts around the body in what is signed.
pub struct Frame {
    /// The text before the body; several if the publisher may have sent the request to several addresses.
    pub before: Vec<String>,
    /// The text after the body.
    pub after: String,
    /// The header fields in these texts, in lower case.
    pub fields: Vec<String>,
}

impl Frame {
    /// A text before the body, and none after it.
    pub fn before(text: impl Into<String>) -> Self {
        Self { before: vec![text.into()], after: String::new(), fields: Vec::new() }
    }
}

/// Header fields of a delivery, and pairs in the one with the signature.
#[cfg(test)]
#[derive(Clone, Default)]
pub struct SampleFields {
    /// Names and values of header fields.
    pub headers: Vec<(&'static str, String)>,
    /// Names and values of pairs.
    pub pairs: Vec<(&'static str, String)>,
}

/// A message without its body.
#[cfg(test)]
pub struct Sample {
    /// The text before the body.
    pub before: String,
    /// The text after the body.
    pub after: String,
    /// Where these texts stand in a delivery.
    pub fields: SampleFields,
}

impl Scheme {
    /// The body alone is signed, in HMAC-SHA256.
    pub const fn over_body(header: &'static str, layout: Layout, encoding: Encoding) -> Self {
        let (hash, message, id) = (Hash::Sha256, Message::Body, DeliveryId::None);
        Self { header, companion: None, layout, encoding, hash, message, time: None, id, form_field: None }
    }

    /// The same with another message, and a time in it.
    pub const fn with_time(mut self, message: Message, at: TimeAt, unit: Unit, tolerance: Duration) -> Self {
        self.message = message;
        self.time = Some(SignedTime { at, unit, tolerance });
        self
    }

    /// The same with an id.
    pub const fn with_id(mut self, id: DeliveryId) -> Self {
        self.id = id;
        self
    }

    /// The same, only for requests that have another header field, or that do not.
    pub const fn if_header(mut self, name: &'static str, is_there: bool) -> Self {
        self.companion = Some((name, is_there));
        self
    }

    /// Whether a request is signed by this scheme, rightly or not.
    pub fn is_used_by(&self, headers: &HeaderMap) -> bool {
        let fits = |(name, is_there)| headers.contains_key(name) == is_there;
        headers.contains_key(self.header) && self.companion.is_none_or(fits)
    }

    /// The texts around the body.
    ///
    /// # Errors
    /// The name of the header field that is missing, is there twice, or cannot be read.
    pub fn frame(&self, request: &SignedRequest<'_>) -> Result<Frame, &'static str> {
        let time = request.time;
        Ok(match &self.message {
            Message::Body => Frame::before(""),
            Message::TimeDotBody => Frame::before(format!("{time}.")),
            Message::BodyTime => Frame { after: time.to_owned(), ..Frame::before("") },
            Message::IdDotTimeDotBody(field) => {
                let id = single(&request.parts.headers, field).ok_or(*field)?;
                Frame { fields: vec![(*field).to_owned()], ..Frame::before(format!("{id}.{time}.")) }
            }
            Message::Own(message) => message.frame(request)?,
        })
    }

    /// The body as it is signed, with the text after it; `None`: the publisher signs no such body.
    pub fn content<'a>(&self, body: &'a [u8], after: &str) -> Option<Cow<'a, [u8]>> {
        let body = match &self.message {
            Message::Own(message) => message.body(body)?,
            _ => body.into(),
        };
        Some(if after.is_empty() { body } else { [&body, after.as_bytes()].concat().into() })
    }

    /// Whether the signed text begins with the body: then a text that was signed for another purpose could be shown as a
    /// body.
    pub fn begins_with_body(&self) -> bool {
        matches!(self.message, Message::Body | Message::BodyTime)
    }

    /// Header fields that the request claims to be signed.
    pub fn listed_fields(&self, headers: &HeaderMap) -> Vec<String> {
        match &self.message {
            Message::Own(message) => message.listed_fields(headers),
            _ => Vec::new(),
        }
    }

    /// Whether a text looks like a whole message of a publisher who signs a form of its own.
    pub fn is_own_message(&self, text: &[u8]) -> bool {
        matches!(&self.message, Message::Own(message) if message.is_message(text))
    }
}

impl Layout {
    /// The signatures in a header field.
    pub fn signatures<'a>(&self, value: &'a str) -> Vec<&'a str> {
        match self {
            Layout::Single(prefix) => value.strip_prefix(prefix).into_iter().collect(),
            Layout::Words(prefix) => value.split(' ').filter_map(|word| word.strip_prefix(prefix)).collect(),
            Layout::Pairs(of) => {
                pairs(value).filter(|(name, _)| name == of).map(|(_, value)| value).collect()
            }
        }
    }
}

impl SignedTime {
    /// The header field with the time, and the time as it stands there.
    pub fn find<'a>(
        &self,
        headers: &'a HeaderMap,
        signature: (&'static str, &'a str),
    ) -> (&'static str, Option<&'a str>) {
        match self.at {
            TimeAt::Header(field) => (field, single(headers, field)),
            TimeAt::Pair => (signature.0, pair(signature.1, "t")),
        }
    }
}

impl Unit {
    /// Reads a time.
    pub fn read(&self, text: &str) -> Option<Millis> {
        let number: u64 = text.parse().ok()?;
        Some(match self {
            Unit::Seconds => Millis(number.saturating_mul(1000)),
            Unit::Millis => Millis(number),
        })
    }
}
