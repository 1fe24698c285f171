//! Deliveries that the publishers' own code has signed: right as they are, and wrong as soon as a byte differs.
//!
//! They are in `providers/*/signed.json`: from the specification of Standard Webhooks; from the publishers' own packages for
//! Node (`@contentful/node-apps-toolkit` 3.16, `@sanity/webhook` 4.0, `stripe` 23.1, `@kontent-ai/webhook-helper` 3.0,
//! `@hygraph/utils` 1.2, but for `&`, `<` and `>` as its source has it since); and from `node:crypto` and `hmac` of Python, as
//! GitHub, Shopify, Storyblok, Ghost and WooCommerce describe it.

use serde_json::Value;

use super::*;
use crate::webhooks::providers::{github, shopify};
use crate::webhooks::secret::key_id;

/// A signed delivery, and the time and the id that it has.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) provider: &'static Provider,
    pub(crate) secret: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) sent_ms: u64,
    pub(crate) tolerance_s: u64,
    pub(crate) id: Option<String>,
}

/// The deliveries in a provider's folder.
pub(crate) fn of(provider: &'static Provider) -> Vec<Vector> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/webhooks/providers");
    let path = format!("{folder}/{}/signed.json", provider.name.replace('-', "_"));
    let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let file: Value = serde_json::from_slice(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let vector = |one: &Value| Vector {
        provider,
        secret: text(&one["secret"]),
        target: text(&one["target"]),
        headers: one["headers"]
            .as_object()
            .expect("fields")
            .iter()
            .map(|(n, v)| (n.clone(), text(v)))
            .collect(),
        body: text(&one["body"]),
        sent_ms: one["sent_ms"].as_u64().unwrap_or_default(),
        tolerance_s: file["tolerance_s"].as_u64().unwrap_or_default(),
        id: one["id"].as_str().map(str::to_owned),
    };
    file["deliveries"].as_array().expect("a list").iter().map(vector).collect()
}

fn all() -> Vec<Vector> {
    providers::all().filter(|provider| provider.signs()).flat_map(of).collect()
}

impl Vector {
    fn judge(&self, secrets: &[&str], base_path: &str, now: u64) -> Option<Result<Verified, Refusal>> {
        let request = http::Request::post(&self.target);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let key = |secret: &&str| SigningKey::of(&Secret::parse(secret).unwrap()).unwrap();
        let keys: Vec<_> = secrets.iter().map(key).collect();
        let parts = request.body(()).unwrap().into_parts().0;
        verify(&parts, self.body.as_bytes(), &keys, base_path, Millis(now))
    }

    /// Judged when it was sent, behind this base path.
    pub(crate) fn judged_behind(&self, base_path: &str) -> Result<Verified, Refusal> {
        self.judge(&["other", &self.secret], base_path, self.sent_ms).expect("it is signed")
    }

    pub(crate) fn judged(&self) -> Result<Verified, Refusal> {
        self.judged_behind("")
    }

    fn with_header(&self, at: usize, value: &str) -> Self {
        let mut changed = self.clone();
        value.clone_into(&mut changed.headers[at].1);
        changed
    }
}

/// A text with its last letter changed.
fn with_another_end(text: &str) -> String {
    let last = if text.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &text[..text.len() - 1])
}

#[test]
fn every_publishers_own_signature_is_right() {
    for provider in providers::all().filter(|provider| provider.signs()) {
        for scheme in provider.schemes {
            let is_there = |vector: &Vector| vector.headers.iter().any(|(name, _)| name == scheme.header);
            assert!(of(provider).iter().any(is_there), "{provider:?} has no vector with `{}`", scheme.header);
        }
    }
    for vector in all() {
        // Every live secret opens, wherever it stands.
        let own = &*vector.secret;
        for secrets in [&["other", own][..], &[own, "other"], &[own]] {
            let verified = vector.judge(secrets, "", vector.sent_ms).unwrap().unwrap();
            assert_eq!(verified.provider, vector.provider);
            assert_eq!(verified.id, vector.id, "{:?}", vector.provider);
            assert_eq!(verified.key_id, key_id(own));
        }
        assert!(matches!(vector.judge(&["other"], "", vector.sent_ms), Some(Err(Refusal::Wrong(_)))));
    }
}

#[test]
fn whatever_is_changed_makes_it_wrong() {
    for vector in all() {
        assert!(Vector { body: String::new(), ..vector.clone() }.judged().is_err());
        for at in vector.body.char_indices().map(|(at, _)| at) {
            let (before, after) = vector.body.split_at(at);
            let without = after.chars().skip(1).collect::<String>();
            let changed = format!("{before}{}{without}", if after.starts_with('0') { '1' } else { '0' });
            for body in [changed, format!("{before}{without}"), format!("{before} {after}")] {
                assert!(Vector { body: body.clone(), ..vector.clone() }.judged().is_err(), "{body}");
            }
        }
        for (at, (name, value)) in vector.headers.iter().enumerate() {
            let is_signed_id = vector.provider.key == KeyEncoding::Base64;
            if Some(value) == vector.id.as_ref() && !is_signed_id {
                continue;
            }
            assert!(vector.with_header(at, "").judged().is_err(), "{name} is empty");
            let other = with_another_end(value);
            assert!(vector.with_header(at, &other).judged().is_err(), "{name} is {other}");
            let mut twice = vector.clone();
            twice.headers.push((name.clone(), value.clone()));
            assert!(twice.judged().is_err(), "{name} is there twice");
            let mut without = vector.clone();
            without.headers.remove(at);
            let judged = without.judge(&[&vector.secret], "", vector.sent_ms);
            assert!(!matches!(judged, Some(Ok(_))), "{name} is missing");
        }
    }
}

#[test]
fn a_delivery_of_another_time_is_refused_where_the_time_is_signed() {
    for vector in all().iter().filter(|vector| vector.sent_ms > 0) {
        let tolerance = vector.tolerance_s * 1000;
        assert!(tolerance > 0, "{:?}", vector.provider);
        for (distance, is_right) in [(tolerance, true), (tolerance + 1000, false)] {
            for now in [vector.sent_ms + distance, vector.sent_ms - distance] {
                let judged = vector.judge(&[&vector.secret], "", now).unwrap();
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
        let at = |vector: &Vector| vector.headers.iter().position(|(name, _)| name == field);
        let (vector, at) = all().into_iter().find_map(|v| at(&v).map(|at| (v, at))).unwrap();
        vector.with_header(at, several).judged().unwrap();
        assert!(vector.with_header(at, &several.replace("v1", "v2")).judged().is_err());
    }
}

/// A payload that is signed in two ways could be told apart by neither rule nor log.
#[test]
fn one_signature_is_enough() {
    let mut vector = of(&github::PROVIDER).remove(0);
    vector.headers.extend(of(&shopify::PROVIDER).remove(0).headers);
    assert_eq!(vector.judged(), Err(Refusal::Ambiguous));
    vector.headers.clear();
    assert_eq!(vector.judge(&["other"], "", 0), None, "not signed at all");
}
