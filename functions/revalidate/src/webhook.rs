//! Signed webhooks: Standard Webhooks (<https://www.standardwebhooks.com>), symmetric signatures `v1`. Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use perennial::Millis;
use sha2::Sha256;

use crate::publisher::{Publisher, key_id};

/// What a secret for signing begins with; base64 of 24 to 64 bytes follows.
pub const SIGNING_SECRET_PREFIX: &str = "whsec_";

/// How far a delivery's time may be from ours, in both directions: the specification's recommendation.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A key that deliveries are signed with.
pub struct SigningKey {
    mac: Hmac<Sha256>,
    key_id: String,
}

impl SigningKey {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// It is not base64 of 24 to 64 bytes. The message does not hold the secret.
    pub fn parse(secret: &str) -> Result<Self, String> {
        let encoded = secret.strip_prefix(SIGNING_SECRET_PREFIX).unwrap_or(secret);
        match STANDARD.decode(encoded) {
            Ok(bytes) if (24..=64).contains(&bytes.len()) => {
                let mac = Hmac::new_from_slice(&bytes).expect("a key of any length");
                Ok(Self { mac, key_id: key_id(secret) })
            }
            _ => Err("a secret that begins with `whsec_` in PERENNIAL_REVALIDATE_SECRETS is not base64 of 24 to 64 bytes".into()),
        }
    }

    fn signs(&self, id: &str, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.verify_slice(signature).is_ok()
    }
}

/// Whether a request is signed at all.
pub fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key("webhook-signature")
}

/// Who signed a delivery, raw body and all, with one of the keys, and not too long ago. Several signatures, as a sender
/// gives while its secret changes, may each be the right one. Compared in constant time.
pub fn signed_by(headers: &HeaderMap, body: &[u8], keys: &[SigningKey], now: Millis) -> Option<Publisher> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let (id, timestamp) = (only("webhook-id")?, only("webhook-timestamp")?);
    let signatures = only("webhook-signature")?;
    let seconds = timestamp.parse::<u64>().ok()?;
    let sent = Millis(seconds.saturating_mul(1000));
    if sent.since(now) > TOLERANCE || now.since(sent) > TOLERANCE {
        return None;
    }
    let mut given = signatures.split(' ').filter_map(|s| STANDARD.decode(s.strip_prefix("v1,")?).ok());
    let key =
        given.find_map(|signature| keys.iter().find(|key| key.signs(id, timestamp, body, &signature)))?;
    Some(Publisher {
        key_id: key.key_id.clone(),
        provider: Some("standard-webhooks".to_owned()),
        delivery_id: Some(id.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const SENT_S: u64 = 1_614_265_330;

    fn check(fields: &[(&'static str, &str)], body: &[u8], now_s: u64) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let keys = ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SECRET].map(|s| SigningKey::parse(s).unwrap());
        let publisher = signed_by(&headers, body, &keys, Millis(now_s * 1000));
        if let Some(publisher) = &publisher {
            let named = (&*publisher.key_id, publisher.delivery_id.as_deref());
            assert_eq!(named, (&*key_id(SECRET), Some(ID)));
        }
        publisher.is_some()
    }

    fn fields<'a>(id: &'a str, time: &'a str, signature: &'a str) -> [(&'static str, &'a str); 3] {
        [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]
    }

    #[test]
    fn the_published_vector_is_right_within_five_minutes() {
        let right = fields(ID, "1614265330", SIGNATURE);
        for now in [SENT_S, SENT_S + 300, SENT_S - 300] {
            assert!(check(&right, BODY, now));
        }
        assert!(!check(&right, BODY, SENT_S + 301) && !check(&right, BODY, SENT_S - 301));
        let rotated = format!("v1,AAAA v1a,xyz {SIGNATURE}");
        assert!(check(&fields(ID, "1614265330", &rotated), BODY, SENT_S));
    }

    #[test]
    fn anything_else_is_wrong() {
        assert!(!check(&fields(ID, "1614265330", SIGNATURE), b"{\"test\": 2432232315}", SENT_S));
        for (id, time, signature) in [
            ("msg_other", "1614265330", SIGNATURE),
            (ID, "1614265331", SIGNATURE),
            (ID, "soon", SIGNATURE),
            (ID, "1614265330", "v1,"),
            (ID, "1614265330", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            (ID, "1614265330", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            (ID, "1614265330", ""),
        ] {
            assert!(!check(&fields(id, time, signature), BODY, SENT_S), "{id} {time} {signature}");
        }
        let right = fields(ID, "1614265330", SIGNATURE);
        assert!(!check(&right[1..], BODY, SENT_S), "a field is missing");
        let twice = [&right[..], &right[2..]].concat();
        assert!(!check(&twice, BODY, SENT_S), "a field is repeated");
    }

    #[test]
    fn a_secret_that_cannot_sign_is_refused_without_being_told() {
        for bad in ["whsec_", "whsec_short", "whsec_!!!!", "whsec_AAAA"] {
            let error = SigningKey::parse(bad).map(|_| ()).unwrap_err();
            assert!(error.contains("whsec_") && !error.contains(&bad[6..]) | bad[6..].is_empty());
        }
    }
}
