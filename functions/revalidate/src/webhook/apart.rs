//! What is signed for one purpose counts for no other: every scheme against every other, and drafts.

use http::HeaderMap;
use http::header::COOKIE;
use http::request::Parts;
use perennial::parts::run::preview::{DRAFT_COOKIE, Drafts};
use perennial::parts::run::secrets::named::{Purpose, key_id};
use serde_json::Value;

use super::*;
use crate::schemes::{Form, Hash, Unit, hex};

const NOW: Millis = Millis(1_800_000_000_000);
const BODY: &str = r#"{"id":"evt_1.1800000000.x","sys":{"id":"1800000000."}}"#;
const TEXTS: [&str; 2] = ["a secret that is shared", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];

fn keys(written: &[String]) -> Vec<SigningKey> {
    written.iter().map(|secret| SigningKey::of(&Secret::parse(secret).unwrap()).unwrap()).collect()
}

/// What is before and after the body in what a scheme signs, and the fields of the delivery.
fn around(scheme: &Scheme) -> (String, String, Vec<(&'static str, String)>) {
    let time = time(scheme);
    match &scheme.signed {
        Signed::BodyTime => (String::new(), time.clone(), vec![("t", time)]),
        Signed::Hygraph => {
            let after = hygraph::after("master", &time);
            (hygraph::BEFORE.to_owned(), after, vec![("env", "master".to_owned()), ("t", time)])
        }
        _ => {
            let (before, fields) = before(scheme);
            (before, String::new(), fields)
        }
    }
}

/// What a scheme signs of a body now.
fn signed_text(scheme: &Scheme, body: &str) -> String {
    let (before, after, _) = around(scheme);
    let text = scheme.signed.text(body.as_bytes(), &after).expect("a text");
    before + str::from_utf8(&text).expect("a text")
}

fn time(scheme: &Scheme) -> String {
    match &scheme.time {
        Some((_, Unit::Millis, _)) => NOW.0.to_string(),
        _ => (NOW.0 / 1000).to_string(),
    }
}

/// What is before the body in what a scheme signs, and the fields of the delivery, where the body comes last.
fn before(scheme: &Scheme) -> (String, Vec<(&'static str, String)>) {
    let time = time(scheme);
    match &scheme.signed {
        Signed::Body | Signed::BodyTime | Signed::Hygraph => (String::new(), vec![]),
        Signed::TimeBody => (format!("{time}."), vec![("t", time)]),
        Signed::IdTimeBody(id) => {
            let Some((At::Field(at), ..)) = scheme.time else { panic!("the time has a field") };
            (format!("msg_1.{time}."), vec![(id, "msg_1".to_owned()), (at, time)])
        }
        Signed::Request => {
            let listed = format!("{},{}", contentful::SIGNED_HEADERS, contentful::TIMESTAMP);
            let fields =
                vec![(contentful::SIGNED_HEADERS, listed.clone()), (contentful::TIMESTAMP, time.clone())];
            let signed = format!("{}:{listed};{}:{time}", contentful::SIGNED_HEADERS, contentful::TIMESTAMP);
            (format!("POST\n/api/revalidate\n{signed}\n"), fields)
        }
    }
}

/// A delivery with this signature, in the words of a scheme.
fn request(scheme: &Scheme, mac: &[u8], fields: &[(&str, String)]) -> Parts {
    let is_pair = |name: &str| ["t", "env"].contains(&name);
    let pairs = fields.iter().filter(|(name, _)| is_pair(name));
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    let signature = match scheme.form {
        Form::Whole(prefix) | Form::Words(prefix) => format!("{prefix}{}", scheme.encoding.write(mac)),
        Form::Pairs(of) => format!("{of}={},{}", scheme.encoding.write(mac), pairs.join(",")),
    };
    let fields = fields.iter().filter(|(name, _)| !is_pair(name));
    let request = fields.fold(http::Request::post("/api/revalidate"), |r, (n, v)| r.header(*n, v));
    request.header(scheme.signature, signature).body(()).unwrap().into_parts().0
}

/// Every way to cut a text that somebody has signed into what a scheme takes: fields and a body.
fn cuts(scheme: &Scheme, text: &str) -> Vec<(Vec<(&'static str, String)>, String)> {
    let dots: Vec<usize> = text.match_indices('.').map(|(at, _)| at).collect();
    match &scheme.signed {
        Signed::Body => vec![(vec![], text.to_owned())],
        Signed::BodyTime => {
            let cut = |at: usize| (vec![("t", text[at..].to_owned())], text[..at].to_owned());
            text.char_indices().map(|(at, _)| cut(at)).collect()
        }
        Signed::Hygraph => {
            let read: Value = serde_json::from_str(text).unwrap_or_default();
            let field = |name: &str| read[name].as_str().map_or(read[name].to_string(), str::to_owned);
            vec![(vec![("env", field("EnvironmentName")), ("t", field("TimeStamp"))], field("Body"))]
        }
        Signed::TimeBody => {
            dots.iter().map(|&at| (vec![("t", text[..at].to_owned())], text[at + 1..].to_owned())).collect()
        }
        Signed::IdTimeBody(id) => {
            let Some((At::Field(time), ..)) = scheme.time else { panic!("the time has a field") };
            let pairs = dots.iter().flat_map(|&a| dots.iter().filter(move |&&b| a < b).map(move |&b| (a, b)));
            let cut = |(a, b): (usize, usize)| {
                let fields = vec![(*id, text[..a].to_owned()), (time, text[a + 1..b].to_owned())];
                (fields, text[b + 1..].to_owned())
            };
            pairs.map(cut).collect()
        }
        // Its fields are what the text says, or the text is none of Contentful's.
        Signed::Request => match text.strip_prefix(&before(scheme).0) {
            Some(body) => vec![(before(scheme).1, body.to_owned())],
            None => vec![(before(scheme).1, text.to_owned())],
        },
    }
}

/// Whether a text with this signature counts for a scheme, however it is cut.
fn counts(scheme: &Scheme, text: &str, mac: &[u8], keys: &[SigningKey]) -> bool {
    cuts(scheme, text).into_iter().any(|(fields, body)| {
        if fields.iter().any(|(_, value)| http::HeaderValue::try_from(value).is_err()) {
            return false;
        }
        let judged = verify(&request(scheme, mac, &fields), body.as_bytes(), keys, "", NOW);
        judged.expect("it is signed").is_ok()
    })
}

fn mac(scheme: &Scheme, secret: &str, text: &str) -> Vec<u8> {
    let key = SigningKey::of(&Secret::parse(secret).unwrap()).unwrap();
    let decoded = key.decoded.clone().filter(|_| scheme.provider == Provider::StandardWebhooks);
    scheme.hash.mac(&decoded.unwrap_or(secret.as_bytes().to_vec()), text, b"")
}

/// GitHub, Shopify, WooCommerce and Kontent.ai sign the same text with the same hash: with a secret that has no name, one's
/// delivery is the other's.
fn are_alike(one: &Scheme, other: &Scheme) -> bool {
    let alike = [Provider::GitHub, Provider::Shopify, Provider::WooCommerce, Provider::KontentAi];
    one.provider == other.provider || (alike.contains(&one.provider) && alike.contains(&other.provider))
}

#[test]
fn what_one_publisher_signs_is_no_delivery_of_another() {
    for secret in TEXTS {
        for from in &SCHEMES {
            if from.provider == Provider::StandardWebhooks && secret == TEXTS[0] {
                continue;
            }
            let name = from.provider.as_str();
            let text = signed_text(from, BODY);
            let signed = mac(from, secret, &text);
            let bare = keys(&[secret.to_owned()]);
            let named = keys(&[format!("{name}:{secret}")]);
            let beside = keys(&[format!("{name}:{secret}"), format!("secret:{secret}")]);
            assert!(counts(from, &text, &signed, &bare), "{name} by a secret without a name");
            assert!(counts(from, &text, &signed, &named), "{name} by its own secret");
            for to in &SCHEMES {
                let both =
                    format!("what {name} signs, shown as {}'s ({})", to.provider.as_str(), to.signature);
                assert_eq!(counts(to, &text, &signed, &bare), are_alike(from, to), "{both}");
                let is_own = from.provider == to.provider;
                assert_eq!(counts(to, &text, &signed, &named), is_own, "{both}, by a named secret");
                assert_eq!(counts(to, &text, &signed, &beside), is_own, "{both}, beside a password");
                let others = keys(&[format!("secret:{secret}"), "github:another one".to_owned()]);
                assert!(!counts(to, &text, &signed, &others), "{both}, by a secret for calls");
            }
        }
    }
}

#[test]
fn a_draft_cookie_is_no_delivery_and_a_delivery_no_draft_cookie() {
    let secret = TEXTS[0];
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
    for scheme in &SCHEMES {
        for text in [until_s.to_string(), text_before.clone(), format!("perennial draft cookie v2{until_s}")]
        {
            for mac in [&cookie, &cookie_before] {
                assert!(!counts(scheme, &text, mac, &bare), "{text} as {}", scheme.signature);
            }
        }
        if scheme.provider == Provider::StandardWebhooks {
            continue;
        }
        for text in [format!("{until_s}"), text_before.clone(), format!("{until_s}.{BODY}")] {
            let mut headers = HeaderMap::new();
            let forged = format!("{DRAFT_COOKIE}={until_s}.{}", hex(&mac(scheme, secret, &text)));
            headers.insert(COOKIE, forged.parse().unwrap());
            assert!(!drafts.admit(&headers, NOW), "{text} signed by {}", scheme.signature);
        }
    }
}

#[test]
fn a_right_signature_over_what_no_publisher_sends_is_refused() {
    let secret = TEXTS[0];
    let bare = keys(&[secret.to_owned()]);
    for scheme in SCHEMES.iter().filter(|scheme| scheme.signed.begins_with_body()) {
        let is_github = scheme.provider == Provider::GitHub;
        for (body, is_payload) in [
            (BODY, true),
            ("[]", true),
            (" \n{}\n", true),
            ("\u{feff}{}", true),
            ("", true),
            ("payload=%7B%22zen%22%3A%22a%26b%22%7D", is_github),
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
            let (_, _, fields) = around(scheme);
            let request = request(scheme, &mac(scheme, secret, &signed_text(scheme, body)), &fields);
            let judged = verify(&request, body.as_bytes(), &bare, "", NOW).unwrap();
            let name = scheme.provider.as_str();
            match is_payload {
                true => assert!(judged.is_ok(), "{name}: {body}"),
                false => assert_eq!(judged, Err(Refusal::NoPayload(name)), "{body}"),
            }
        }
    }
}

/// For as long as its time counts, and longer, a delivery with a signed time is known by what is signed; one without a time
/// for five minutes by its body, and one whose body may be the same at two events not at all.
#[test]
fn a_delivery_is_known_by_what_is_signed() {
    for scheme in &SCHEMES {
        let secret = if scheme.provider == Provider::StandardWebhooks { TEXTS[1] } else { TEXTS[0] };
        let (_, _, fields) = around(scheme);
        let fingerprint = |body: &str, id: &str| {
            let mut fields = fields.clone();
            if let At::Field(name) = scheme.id
                && !fields.iter().any(|(field, _)| *field == name)
            {
                fields.push((name, id.to_owned()));
            }
            let mac = mac(scheme, secret, &signed_text(scheme, body));
            let keys = keys(&[secret.to_owned()]);
            verify(&request(scheme, &mac, &fields), body.as_bytes(), &keys, "", NOW).unwrap().unwrap().signed
        };
        let one = fingerprint(BODY, "one");
        assert_eq!(one, fingerprint(BODY, "two"), "{}: an id that is not signed", scheme.signature);
        let Some(Fingerprint { digest, kept }) = one else {
            let unknown = [Provider::Storyblok, Provider::WooCommerce, Provider::KontentAi];
            assert!(unknown.contains(&scheme.provider));
            continue;
        };
        assert_ne!(Some(digest), fingerprint("{}", "one").map(|other| other.digest));
        match &scheme.time {
            Some((_, _, tolerance)) => assert!(kept > *tolerance * 2),
            None => assert_eq!(kept, SAME_BODY_KEPT),
        }
    }
}

#[test]
fn the_table_of_schemes_has_every_provider_that_signs() {
    for provider in Provider::ALL {
        let is_there = SCHEMES.iter().any(|scheme| scheme.provider == provider);
        assert_eq!(is_there, provider.signs(), "{provider:?}");
    }
}

/// The guide's table of keys has a row for each of them, and says of each how long it counts.
#[test]
fn the_guide_on_security_has_every_key() {
    let guide = include_str!("../../../../shared/site/content/guides/security.md");
    let (_, keys) = guide.split_once("## Keys").unwrap();
    let (keys, _) = keys.split_once("\n## ").unwrap();
    let rows: Vec<&str> = keys.lines().filter(|line| line.starts_with("| ")).collect();
    let row = |parts: &[String]| rows.iter().find(|row| parts.iter().all(|part| row.contains(&**part)));
    for purpose in Purpose::ALL {
        assert!(row(&[format!("label `{}`", purpose.label())]).is_some(), "{purpose:?}");
    }
    for scheme in &SCHEMES {
        let lasts = match &scheme.time {
            Some((_, _, tolerance)) => format!("| {} minutes |", tolerance.as_secs() / 60),
            None => "| ever |".to_owned(),
        };
        let parts = [format!("`{}`", scheme.signature), format!("`{}:`", scheme.provider.as_str()), lasts];
        let row = row(&parts).unwrap_or_else(|| panic!("no row with {parts:?}"));
        let is_known_for_minutes =
            scheme.fingerprint("", b"").is_some_and(|known| known.kept == SAME_BODY_KEPT);
        assert_eq!(row.contains("after five minutes"), is_known_for_minutes, "{row}");
    }
    assert_eq!(SAME_BODY_KEPT, Duration::from_secs(5 * 60));
}
