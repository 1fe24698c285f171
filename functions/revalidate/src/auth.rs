//! Who may call: secrets, compared in constant time.

use http::header::AUTHORIZATION;
use http::request::Parts;
use perennial::Millis;
use perennial::draft::Drafts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::publisher::{Publisher, key_id};
use crate::webhook::{self, SIGNING_SECRET_PREFIX, SigningKey};

/// A secret that is shown as it is.
struct Plain {
    digest: [u8; 32],
    key_id: String,
}

/// The live secrets; any of them opens the door. At least one.
pub struct Secrets {
    plain: Vec<Plain>,
    signing: Vec<SigningKey>,
    drafts: Drafts,
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
        // A secret for signing is not also a password: whoever sends it has given it away.
        let (signing, plain): (Vec<_>, Vec<_>) =
            secrets.iter().partition(|s| s.starts_with(SIGNING_SECRET_PREFIX));
        let signing = signing.into_iter().map(|s| SigningKey::parse(s)).collect::<Result<_, _>>()?;
        let plain = plain.into_iter().map(|secret| Plain { digest: digest(secret), key_id: key_id(secret) });
        Ok(Self { plain: plain.collect(), signing, drafts: Drafts::new(secrets) })
    }

    /// Whether the request carries a right secret, and no wrong one beside it: in the `secret` query parameter, as
    /// `Authorization: Bearer`, or in `x-revalidate-secret`.
    pub fn admit(&self, request: &Parts) -> bool {
        self.shown(request).is_some()
    }

    /// The name of the right secret that a request carries; none if it carries none, or a wrong one.
    fn shown(&self, request: &Parts) -> Option<&str> {
        let query = form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes());
        let in_query = query.filter(|(name, _)| name == "secret").map(|(_, secret)| secret.into_owned());
        let values =
            |name| request.headers.get_all(name).iter().map(|v: &http::HeaderValue| v.to_str().unwrap_or(""));
        let bearer = values(AUTHORIZATION.as_str()).map(|value| match value.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim().to_owned(),
            _ => String::new(),
        });
        let field = values("x-revalidate-secret").map(str::to_owned);
        let in_query: Vec<_> = in_query.collect();
        let bearer: Vec<_> = bearer.collect();
        let field: Vec<_> = field.collect();
        let sources = [in_query, bearer, field];
        let repeated = sources.iter().any(|given| given.len() > 1);
        let known: Option<Vec<_>> = sources.iter().flatten().map(|secret| self.known(secret)).collect();
        known.filter(|_| !repeated)?.first().copied()
    }

    /// Who calls, if the call may be carried out: one that is signed must be signed right, any other must carry a right
    /// secret.
    pub fn admit_call(&self, request: &Parts, body: &[u8], now: Millis) -> Option<Publisher> {
        if webhook::is_signed(&request.headers) {
            return webhook::signed_by(&request.headers, body, &self.signing, now);
        }
        let key_id = self.shown(request)?.to_owned();
        Some(Publisher { key_id, ..Publisher::default() })
    }

    /// Whether one of the secrets is for signing.
    pub fn has_signing(&self) -> bool {
        !self.signing.is_empty()
    }

    /// What signs the cookies of drafts.
    pub fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// The name of the secret that was given, if it is one. All are compared, whichever it is.
    fn known(&self, given: &str) -> Option<&str> {
        let given_digest = digest(given);
        let mut known = None;
        for secret in &self.plain {
            if bool::from(secret.digest.ct_eq(&given_digest)) {
                known = Some(&*secret.key_id);
            }
        }
        known.filter(|_| !given.is_empty())
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
        assert!(!admits("/", &[("authorization", "Basic one")]));
        assert!(!admits("/?secret=one", &[("x-revalidate-secret", "two")]), "a wrong one beside it");
        assert!(!admits("/", &[("x-revalidate-secret", "one"), ("x-revalidate-secret", "one")]));
    }

    #[test]
    fn there_is_no_open_endpoint() {
        assert!(Secrets::new(&[]).is_err());
        assert!(Secrets::new(&[String::new()]).is_err());
    }
}
