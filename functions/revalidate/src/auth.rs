//! Who may call: secrets, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use perennial::Millis;
use perennial::draft::Drafts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::publisher::key_id;
use crate::webhook::{self, Delivery, Refusal, SIGNING_SECRET_PREFIX, SigningKey, Vouched};

/// The live secrets; any of them opens the door. At least one.
pub struct Secrets {
    passwords: Vec<Password>,
    signing: Vec<SigningKey>,
    drafts: Drafts,
}

struct Password {
    id: String,
    digest: [u8; 32],
}

impl Secrets {
    /// From settings.
    ///
    /// # Errors
    /// There is none, or an empty one: the endpoint is never open.
    pub fn new(secrets: &[String]) -> Result<Self, String> {
        if secrets.is_empty() || secrets.iter().any(String::is_empty) {
            return Err(
                "set PERENNIAL_REVALIDATE_SECRETS to one or more secrets, separated by commas: without one \
                        anybody could have pages rendered"
                    .into(),
            );
        }
        let signing = secrets.iter().map(|secret| SigningKey::parse(secret)).collect::<Result<_, _>>()?;
        // A secret for signing is not also a password: whoever sends it has given it away.
        let plain = secrets.iter().filter(|secret| !secret.starts_with(SIGNING_SECRET_PREFIX));
        let passwords = plain.map(|s| Password { id: key_id(s), digest: digest(s) }).collect();
        Ok(Self { passwords, signing, drafts: Drafts::new(secrets) })
    }

    /// Whether the request carries a right secret, and no wrong one beside it: in the `secret` query parameter, as
    /// `Authorization: Bearer`, as the password of `Authorization: Basic`, or in `x-revalidate-secret`.
    pub fn admit(&self, request: &Parts) -> bool {
        self.shown(request).is_some()
    }

    /// Judges a call: one that is signed must be signed right, any other must carry a right secret.
    ///
    /// # Errors
    /// It may not be carried out; the reason is for the log alone.
    pub fn verify(
        &self,
        request: &Parts,
        body: &[u8],
        base_path: &str,
        now: Millis,
    ) -> Result<Delivery, Refusal> {
        if let Some(judged) = webhook::verify(request, body, &self.signing, base_path, now) {
            return judged;
        }
        let key = self.shown(request).ok_or(Refusal::NoSecret)?.to_owned();
        let provider = webhook::provider(&request.headers);
        Ok(Delivery { provider, id: None, key, vouched: Vouched::Request })
    }

    /// What signs the cookies of drafts.
    pub fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// The name of the secret that a request carries.
    fn shown(&self, request: &Parts) -> Option<&str> {
        let query = form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes());
        let in_query = query.filter(|(name, _)| name == "secret").map(|(_, secret)| secret.into_owned());
        let values =
            |name| request.headers.get_all(name).iter().map(|v: &http::HeaderValue| v.to_str().unwrap_or(""));
        let credentials = values(AUTHORIZATION.as_str()).map(|value| credentials(value).unwrap_or_default());
        let field = values("x-revalidate-secret").map(str::to_owned);
        let sources: [Vec<String>; 3] = [in_query.collect(), credentials.collect(), field.collect()];
        if sources.iter().any(|given| given.len() > 1) {
            return None;
        }
        let mut known = sources.iter().flatten().map(|secret| self.knows(secret));
        let first = known.next()??;
        known.all(|other| other.is_some()).then_some(first)
    }

    fn knows(&self, given: &str) -> Option<&str> {
        let given_digest = digest(given);
        let known = self.passwords.iter().fold(None, |known, password| {
            if bool::from(password.digest.ct_eq(&given_digest)) { Some(&*password.id) } else { known }
        });
        known.filter(|_| !given.is_empty())
    }
}

/// The secret in `Bearer secret` or `Basic base64(anybody:secret)`.
fn credentials(value: &str) -> Option<String> {
    let (scheme, given) = value.split_once(' ')?;
    let given = given.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(given.to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(given).ok()?).ok()?;
        decoded.split_once(':').map(|(_, password)| password.to_owned())
    } else {
        None
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(uri: &str, fields: &[(&str, &str)]) -> bool {
        let secrets = Secrets::new(&["one".to_owned(), "t%o &".to_owned()]).unwrap();
        let request = fields.iter().fold(http::Request::get(uri), |r, (n, v)| r.header(*n, *v));
        secrets.admit(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_a_right_secret_opens() {
        for uri in ["/?secret=one", "/?x=1&secret=t%25o%20%26", "/?s%65cret=one"] {
            assert!(admits(uri, &[]), "{uri}");
        }
        for uri in
            ["/", "/?secret=", "/?secret=two", "/?secret=one&secret=one", "/?secret=ONE", "/?secret=one%00"]
        {
            assert!(!admits(uri, &[]), "{uri}");
        }
        assert!(admits("/", &[("authorization", "Bearer one")]));
        assert!(admits("/", &[("authorization", "bearer one")]));
        assert!(admits("/", &[("x-revalidate-secret", "one")]));
        // x:one, :t%o &, one, x:one in bytes that are not base64
        assert!(admits("/", &[("authorization", "Basic eDpvbmU=")]));
        assert!(admits("/", &[("authorization", "basic OnQlbyAm")]));
        for wrong in ["Basic one", "Basic b25l", "Basic eDpvbmU", "Basic eDo=", "Digest one", "one", ""] {
            assert!(!admits("/", &[("authorization", wrong)]), "{wrong}");
        }
        assert!(!admits("/?secret=one", &[("x-revalidate-secret", "two")]), "a wrong one beside it");
        assert!(!admits("/", &[("x-revalidate-secret", "one"), ("x-revalidate-secret", "one")]));
    }

    #[test]
    fn there_is_no_open_endpoint() {
        assert!(Secrets::new(&[]).is_err());
        assert!(Secrets::new(&[String::new()]).is_err());
    }
}
