//! A text that is signed for one purpose counts for no other: every scheme against every other, and drafts.

use http::HeaderMap;
use http::header::COOKIE;

use super::*;
use crate::run::preview::{DRAFT_COOKIE, Drafts};
use crate::webhooks::secret::key_id;
use crate::webhooks::signature::scheme::{Hash, Layout, Message, Sample, SampleFields, TimeAt, Unit};

type Row = (&'static Provider, &'static Scheme);

const NOW: Millis = Millis(1_800_000_000_000);
const BODY: &str = r#"{"id":"evt_1.1800000000.x","sys":{"id":"1800000000."}}"#;
/// The second secret is base64, as a key of Standard Webhooks must be.
const SECRETS: [&str; 2] = ["a secret that is shared", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];

fn keys(written: &[String]) -> Vec<SigningKey> {
    written.iter().map(|secret| SigningKey::of(&Secret::parse(secret).unwrap()).unwrap()).collect()
}

/// A secret that the provider can sign with.
fn secret_for(provider: &Provider) -> &'static str {
    SECRETS[usize::from(provider.key == KeyEncoding::Base64)]
}

/// Now, in the scheme's unit.
fn time(scheme: &Scheme) -> String {
    match scheme.time.as_ref().map(|time| &time.unit) {
        Some(Unit::Millis) => NOW.0.to_string(),
        _ => (NOW.0 / 1000).to_string(),
    }
}

/// The field, or the pair, with the signed time.
fn time_fields(scheme: &Scheme, time: &str) -> SampleFields {
    let time = time.to_owned();
    match scheme.time.as_ref().map(|time| &time.at) {
        None => SampleFields::default(),
        Some(TimeAt::Header(name)) => SampleFields { headers: vec![(name, time)], pairs: vec![] },
        Some(TimeAt::Pair) => SampleFields { headers: vec![], pairs: vec![("t", time)] },
    }
}

/// The texts around the body in what a scheme signs now, and the fields of the delivery.
fn sample(scheme: &Scheme) -> Sample {
    let time = time(scheme);
    let mut fields = time_fields(scheme, &time);
    let (before, after) = match &scheme.message {
        Message::Own(message) => return message.sample(&time),
        Message::Body => (String::new(), String::new()),
        Message::TimeDotBody => (format!("{time}."), String::new()),
        Message::BodyTime => (String::new(), time),
        Message::IdDotTimeDotBody(id) => {
            fields.headers.push((id, "msg_1".to_owned()));
            (format!("msg_1.{time}."), String::new())
        }
    };
    Sample { before, after, fields }
}

/// The text that a scheme signs for a body now.
fn signed_text_of(scheme: &Scheme, body: &str) -> String {
    let Sample { before, after, .. } = sample(scheme);
    let content = scheme.content(body.as_bytes(), &after).expect("a text");
    before + str::from_utf8(&content).expect("a text")
}

/// A delivery with this signature, in the fields of a scheme.
fn request(scheme: &Scheme, mac: &[u8], fields: &SampleFields) -> Parts {
    let pairs: Vec<_> = fields.pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let signature = scheme.encoding.write(mac);
    let signature = match scheme.layout {
        Layout::Single(prefix) | Layout::Words(prefix) => format!("{prefix}{signature}"),
        Layout::Pairs(of) => format!("{of}={signature},{}", pairs.join(",")),
    };
    let request = http::Request::post("/api/revalidate");
    let request = fields.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    request.header(scheme.header, signature).body(()).unwrap().into_parts().0
}

/// Every way to cut a signed text into fields and a body, as a scheme takes them.
fn cuts(scheme: &Scheme, text: &str) -> Vec<(SampleFields, String)> {
    let dots: Vec<usize> = text.match_indices('.').map(|(at, _)| at).collect();
    match &scheme.message {
        Message::Body => vec![(SampleFields::default(), text.to_owned())],
        Message::BodyTime => {
            let cut = |at: usize| (time_fields(scheme, &text[at..]), text[..at].to_owned());
            text.char_indices().map(|(at, _)| cut(at)).collect()
        }
        Message::TimeDotBody => {
            dots.iter().map(|&at| (time_fields(scheme, &text[..at]), text[at + 1..].to_owned())).collect()
        }
        Message::IdDotTimeDotBody(id) => {
            let pairs = dots.iter().flat_map(|&a| dots.iter().filter(move |&&b| a < b).map(move |&b| (a, b)));
            let cut = |(a, b): (usize, usize)| {
                let mut fields = time_fields(scheme, &text[a + 1..b]);
                fields.headers.push((id, text[..a].to_owned()));
                (fields, text[b + 1..].to_owned())
            };
            pairs.map(cut).collect()
        }
        Message::Own(message) => message.cuts(text, &time(scheme)),
    }
}

/// Whether a text with this signature counts for a scheme, however the text is cut.
fn counts(scheme: &Scheme, text: &str, mac: &[u8], keys: &[SigningKey]) -> bool {
    cuts(scheme, text).into_iter().any(|(fields, body)| {
        let mut values = fields.headers.iter().chain(&fields.pairs);
        if values.any(|(_, value)| http::HeaderValue::try_from(value).is_err()) {
            return false;
        }
        let judged = verify(&request(scheme, mac, &fields), body.as_bytes(), keys, "", NOW);
        judged.expect("it is signed").is_ok()
    })
}

fn mac((provider, scheme): Row, secret: &str, text: &str) -> Vec<u8> {
    let key = SigningKey::of(&Secret::parse(secret).unwrap()).unwrap();
    scheme.hash.mac(key.bytes(provider).expect("a key"), text, b"")
}

/// Whether one's deliveries are the other's, by a secret without a name: both sign the same text, with the same hash and key.
fn are_alike((one, by): Row, (other, with): Row) -> bool {
    let way = |provider: &Provider, scheme: &Scheme| {
        let text = match &scheme.message {
            Message::Body => "body",
            Message::TimeDotBody => "time.body",
            Message::BodyTime => "body time",
            Message::IdDotTimeDotBody(_) => "id.time.body",
            Message::Own(_) => provider.name,
        };
        let hash = matches!(scheme.hash, Hash::Sha1);
        let unit = scheme.time.as_ref().map(|time| matches!(time.unit, Unit::Seconds));
        (text, hash, unit, provider.key)
    };
    way(one, by) == way(other, with)
}

#[test]
fn what_one_publisher_signs_is_no_delivery_of_another() {
    for secret in SECRETS {
        for (provider, from) in providers::schemes() {
            if provider.key == KeyEncoding::Base64 && secret == SECRETS[0] {
                continue;
            }
            let name = provider.name;
            let text = signed_text_of(from, BODY);
            let signed = mac((provider, from), secret, &text);
            let bare = keys(&[secret.to_owned()]);
            let named = keys(&[format!("{name}:{secret}")]);
            let with_password = keys(&[format!("{name}:{secret}"), format!("secret:{secret}")]);
            assert!(counts(from, &text, &signed, &bare), "{name} by a secret without a name");
            assert!(counts(from, &text, &signed, &named), "{name} by its own secret");
            for (other, to) in providers::schemes() {
                let both = format!("what {name} signs, shown as {}'s ({})", other.name, to.header);
                let is_alike = are_alike((provider, from), (other, to));
                assert_eq!(counts(to, &text, &signed, &bare), is_alike, "{both}");
                let is_own = provider == other;
                assert_eq!(counts(to, &text, &signed, &named), is_own, "{both}, by a named secret");
                assert_eq!(counts(to, &text, &signed, &with_password), is_own, "{both}, beside a password");
                let others = keys(&[format!("secret:{secret}"), "github:another one".to_owned()]);
                assert!(!counts(to, &text, &signed, &others), "{both}, by a secret for calls");
            }
        }
    }
}

#[test]
fn a_draft_cookie_is_no_delivery_and_a_delivery_no_draft_cookie() {
    let secret = SECRETS[0];
    let drafts = Drafts::new(&[secret.to_owned()]);
    let until_s = NOW.0 / 1000 + 60;
    let value = drafts.sign(&key_id(secret), Millis(until_s * 1000)).unwrap();
    let (_, signature) = value.split_once('.').unwrap();
    let digits = signature.as_bytes().chunks(2);
    let cookie: Vec<u8> =
        digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect();
    // As cookies were signed up to version 0.1.0, with the secret itself.
    let text_before = format!("perennial draft v1:{until_s}");
    let cookie_before = Hash::Sha256.mac(secret.as_bytes(), &text_before, b"");
    let bare = keys(&[secret.to_owned()]);
    for (provider, scheme) in providers::schemes() {
        for text in [until_s.to_string(), text_before.clone(), format!("perennial draft cookie v2{until_s}")]
        {
            for mac in [&cookie, &cookie_before] {
                assert!(!counts(scheme, &text, mac, &bare), "{text} as {}", scheme.header);
            }
        }
        if provider.key == KeyEncoding::Base64 {
            continue;
        }
        for text in [format!("{until_s}"), text_before.clone(), format!("{until_s}.{BODY}")] {
            let mut headers = HeaderMap::new();
            let forged = hex(&mac((provider, scheme), secret, &text));
            headers.insert(COOKIE, format!("{DRAFT_COOKIE}={until_s}.{forged}").parse().unwrap());
            assert!(!drafts.admit(&headers, NOW), "{text} signed by {}", scheme.header);
        }
    }
}

#[test]
fn a_right_signature_over_what_no_publisher_sends_is_refused() {
    let secret = SECRETS[0];
    let bare = keys(&[secret.to_owned()]);
    for (provider, scheme) in providers::schemes().filter(|(_, scheme)| scheme.begins_with_body()) {
        let takes_forms = scheme.form_field == Some("payload");
        for (body, is_payload) in [
            (BODY, true),
            ("[]", true),
            (" \n{}\n", true),
            ("\u{feff}{}", true),
            ("", true),
            ("payload=%7B%22zen%22%3A%22a%26b%22%7D", takes_forms),
            ("payload=%7B%7D&x=1", false),
            ("x=1&payload=%7B%7D", false),
            ("payload=1.%7B%7D", false),
            ("payload=", false),
            ("%70ayload=%7B%7D", false),
            ("Hello, World!", false),
            ("1800000000.{}", false),
            ("1800000000.5", false),
            ("5", false),
            ("null", false),
            ("\"text\"", false),
            ("{}{}", false),
            ("{", false),
            ("{}\u{feff}", false),
            ("perennial draft v1:1800000060", false),
            (r#"{"Body":"{}","EnvironmentName":"master","TimeStamp":1800000000000}"#, false),
        ] {
            let mac = mac((provider, scheme), secret, &signed_text_of(scheme, body));
            let request = request(scheme, &mac, &sample(scheme).fields);
            let judged = verify(&request, body.as_bytes(), &bare, "", NOW).unwrap();
            match is_payload {
                true => assert!(judged.is_ok(), "{provider:?}: {body}"),
                false => assert_eq!(judged, Err(Refusal::NoPayload(provider.name)), "{body}"),
            }
        }
    }
}

/// A delivery with a signed time is known by the signed text; a delivery without one by its body, if the provider's bodies
/// differ at each event.
#[test]
fn a_delivery_is_known_by_what_is_signed() {
    for (provider, scheme) in providers::schemes() {
        let secret = secret_for(provider);
        let fields = sample(scheme).fields;
        let signed = |body: &str, id: &str| {
            let mut fields = fields.clone();
            if let DeliveryId::Header(name) = scheme.id
                && !fields.headers.iter().any(|(field, _)| *field == name)
            {
                fields.headers.push((name, id.to_owned()));
            }
            let mac = mac((provider, scheme), secret, &signed_text_of(scheme, body));
            let keys = keys(&[secret.to_owned()]);
            verify(&request(scheme, &mac, &fields), body.as_bytes(), &keys, "", NOW).unwrap().unwrap().signed
        };
        let one = signed(BODY, "one");
        assert_eq!(one, signed(BODY, "two"), "{}: an id that is not signed", scheme.header);
        let Some(SignedText { digest, has_time }) = one else {
            assert!(scheme.time.is_none() && matches!(scheme.id, DeliveryId::None), "{provider:?}");
            continue;
        };
        assert_ne!(Some(digest), signed("{}", "one").map(|other| other.digest));
        assert_eq!(has_time, scheme.time.is_some());
    }
}
