//! Drafts: a signed cookie with an expiry lets an editor see pages as they would be rendered now (the draft mode of Next.js).
//!
//! A request with this cookie neither reads nor writes the store, and its render is never shared. The cookie's value is
//! `<expiry, Unix seconds>.<HMAC-SHA256 of the expiry, hexadecimal>`. Every live secret that callers may send has its own
//! signing key ([`Purpose::DraftCookie`]). Removing a secret therefore ends its drafts, and a signature of a publisher is
//! never a valid cookie, or the other way round.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, header};
use sha2::Sha256;

use crate::base::clock::Millis;
use crate::key::encode::hex;
use crate::run::secrets::purpose::Purpose;
use crate::webhooks::secret::Secret;

/// The cookie's name. A shared cache must not answer requests with this cookie from its copies.
pub const DRAFT_COOKIE: &str = "__perennial_draft";

/// The longest lifetime of a draft cookie.
pub const DRAFT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether a request has a draft cookie, valid or not.
pub fn has_draft_cookie(headers: &HeaderMap) -> bool {
    values(headers).next().is_some()
}

/// The values of the draft cookies in a request. Other cookies in the same field may hold any bytes.
fn values(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(DRAFT_COOKIE.as_bytes())?.strip_prefix(b"=")?;
        str::from_utf8(value).ok()
    })
}

/// Signs and checks draft cookies.
pub struct Drafts(Vec<DraftKey>);

struct DraftKey {
    /// Of the secret it is derived from: [`crate::webhooks::secret::key_id`].
    id: String,
    mac: Hmac<Sha256>,
}

impl Drafts {
    /// With secrets as the settings hold them. Without a secret that callers may send, no cookie is valid.
    pub fn new(secrets: &[String]) -> Self {
        // Unreadable secrets are skipped here: the revalidate endpoint fails its start with them.
        let passwords =
            secrets.iter().filter_map(|written| Secret::parse(written).ok()).filter(Secret::is_password);
        let key = |secret: Secret| {
            let key = Purpose::DraftCookie.key(&secret);
            DraftKey { id: secret.id(), mac: Hmac::new_from_slice(&key).expect("a key of any length") }
        };
        Self(passwords.map(key).collect())
    }

    /// The cookie's value for a draft that the secret of this [`crate::webhooks::secret::key_id`] opens, and that ends then; `None`
    /// if there is no such secret.
    pub fn sign(&self, key_id: &str, until: Millis) -> Option<String> {
        let until_s = until.0 / 1000;
        let mut mac = self.0.iter().find(|key| key.id == key_id)?.mac.clone();
        mac.update(until_s.to_string().as_bytes());
        Some(format!("{until_s}.{}", hex(&mac.finalize().into_bytes())))
    }

    /// Whether a request has a valid cookie that has not expired.
    pub fn admit(&self, headers: &HeaderMap, now: Millis) -> bool {
        values(headers).any(|value| self.is_valid(value, now))
    }

    fn is_valid(&self, value: &str, now: Millis) -> bool {
        let Some((until, signature)) = value.split_once('.') else { return false };
        let Some(signature) = unhex(signature) else { return false };
        let is_signed = self.0.iter().any(|key| {
            let mut mac = key.mac.clone();
            mac.update(until.as_bytes());
            mac.verify_slice(&signature).is_ok()
        });
        // The expiry is parsed only after its signature was verified.
        is_signed && until.parse().is_ok_and(|until_s: u64| until_s.saturating_mul(1000) > now.0)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The cookie of a draft that this secret opens.
    fn sign(drafts: &Drafts, secret: &str, until: Millis) -> String {
        drafts.sign(&crate::webhooks::secret::key_id(secret), until).unwrap()
    }

    fn admits(drafts: &Drafts, cookies: &str, now: Millis) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::try_from(cookies).unwrap());
        drafts.admit(&headers, now)
    }

    #[test]
    fn only_a_valid_cookie_before_its_expiry_opens_drafts() {
        let [drafts, other_drafts] = ["one", "two"].map(|secret| Drafts::new(&[secret.to_owned()]));
        let value = sign(&drafts, "one", Millis(60_000));
        let cookie = format!("a=b; {DRAFT_COOKIE}={value}; c=d");
        assert!(admits(&drafts, &cookie, Millis(59_999)));
        assert!(
            admits(&drafts, &format!("name=\u{e9}; {cookie}"), Millis(0)),
            "next to a cookie with other bytes"
        );
        assert!(!admits(&drafts, &cookie, Millis(60_000)), "expired");
        assert!(!admits(&other_drafts, &cookie, Millis(0)), "another secret's");
        assert!(!admits(&Drafts::new(&[]), &cookie, Millis(0)));
        for forged in [
            value.replacen("60.", "61.", 1),
            value.replacen("60.", "060.", 1),
            value[..value.len() - 1].to_owned(),
            format!("{value}0"),
            "60.".to_owned(),
            "60".to_owned(),
            ".".to_owned(),
            String::new(),
        ] {
            assert!(!admits(&drafts, &format!("{DRAFT_COOKIE}={forged}"), Millis(0)), "{forged}");
        }
        assert!(!admits(&drafts, &format!("x{DRAFT_COOKIE}={value}"), Millis(0)), "another cookie");
    }

    #[test]
    fn a_second_live_secret_keeps_drafts_open_while_secrets_change() {
        let old = Drafts::new(&["old".to_owned()]);
        let both = Drafts::new(&["new".to_owned(), "old".to_owned()]);
        let new = Drafts::new(&["secret:new".to_owned()]);
        let cookie = |value: String| format!("{DRAFT_COOKIE}={value}");
        assert!(admits(&both, &cookie(sign(&old, "old", Millis(60_000))), Millis(0)));
        // A draft ends with its own secret, and with no other.
        let [by_old, by_new] = ["old", "new"].map(|by| cookie(sign(&both, by, Millis(60_000))));
        assert!(admits(&old, &by_old, Millis(0)) && !admits(&new, &by_old, Millis(0)));
        assert!(admits(&new, &by_new, Millis(0)) && !admits(&old, &by_new, Millis(0)));
    }

    #[test]
    fn a_publishers_signing_secret_opens_no_draft() {
        let signing = ["github:one", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret:"].map(str::to_owned);
        let drafts = Drafts::new(&signing);
        assert!(drafts.0.is_empty());
        assert_eq!(drafts.sign(&crate::webhooks::secret::key_id("one"), Millis(60_000)), None);
    }

    /// Up to version 0.1.0 the key was the secret itself.
    #[test]
    fn a_cookie_of_version_0_1_0_is_not_valid() {
        let mac = Hmac::<Sha256>::new_from_slice(b"one").unwrap().chain_update("perennial draft v1:60");
        let value = format!("60.{}", hex(&mac.finalize().into_bytes()));
        let drafts = Drafts::new(&["one".to_owned()]);
        assert!(!admits(&drafts, &format!("{DRAFT_COOKIE}={value}"), Millis(0)));
    }
}
