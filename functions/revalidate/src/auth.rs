//! Lets calls in: by a secret that they show, compared in constant time, or by a signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use perennial_core::base::clock::Millis;
use perennial_core::base::log_limits::Line;
use perennial_core::run::preview::Drafts;
use perennial_core::webhooks::secret::{SECRET_BYTES_ADVISED, Secret};
use perennial_core::webhooks::verify::SigningKey;
use perennial_core::webhooks::{providers, verify};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::delivery::Delivery;

/// The live secrets; any of them opens the door. At least one.
pub struct Secrets {
    passwords: Vec<Password>,
    signing: Vec<SigningKey>,
    drafts: Drafts,
    advice: Vec<String>,
}

struct Password {
    id: String,
    digest: [u8; 32],
}

/// Why a call is not carried out. The reason is for the log: the caller is not told, because the reason would help an
/// attacker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The call shows no secret, or a wrong one, and is not signed.
    #[error("it carries no live secret, and no signature that is known here")]
    NoSecret,
    /// The call is signed, and its signature is not right.
    #[error(transparent)]
    Signature(#[from] verify::Refusal),
}

impl Refusal {
    /// The kind of its line in the log.
    pub fn line(&self) -> Line {
        use verify::Refusal::{Ambiguous, Malformed, NoPayload, Untimely, Wrong};
        match self {
            Self::NoSecret => Line::RefusedCall,
            Self::Signature(Ambiguous | Malformed(..)) => Line::BadSignature,
            Self::Signature(Untimely(..)) => Line::UntimelySignature,
            Self::Signature(Wrong(_) | NoPayload(_)) => Line::WrongSignature,
        }
    }
}

impl Secrets {
    /// From settings: each as [`Secret::parse`] reads it.
    ///
    /// # Errors
    /// There is none, or an empty one: the endpoint is never open. Or one cannot sign as its name or its beginning says.
    pub fn new(written: &[String]) -> Result<Self, String> {
        let none = "set PERENNIAL_REVALIDATE_SECRETS to one or more secrets, separated by commas: without one anybody could \
                    have pages rendered";
        if written.is_empty() {
            return Err(none.into());
        }
        let secrets: Vec<_> = written.iter().map(|secret| Secret::parse(secret)).collect::<Result<_, _>>()?;
        let signs = |secret: &&Secret| providers::all().any(|provider| secret.signs_for(provider));
        let signing = secrets.iter().filter(signs).map(SigningKey::of).collect::<Result<_, _>>()?;
        let shown = secrets.iter().filter(|secret| secret.is_password());
        let passwords = shown.map(|s| Password { id: s.id(), digest: digest(s.text()) }).collect();
        Ok(Self { passwords, signing, drafts: Drafts::new(written), advice: advice(&secrets) })
    }

    /// Tells in the log which secrets had better be changed or named, by their key ids: once, at the start.
    pub fn warn(&self) {
        for line in &self.advice {
            tracing::warn!("{line}");
        }
    }

    /// Whether the request carries a right secret, and no wrong one beside it: in the `secret` query parameter, as
    /// `Authorization: Bearer`, as the password of `Authorization: Basic`, or in `x-revalidate-secret`.
    pub fn admit(&self, request: &Parts) -> bool {
        self.shown(request).is_some()
    }

    /// Judges a call: one that is signed must be signed right, any other must carry a right secret.
    ///
    /// # Errors
    /// The call must not be carried out.
    pub fn verify(
        &self,
        request: &Parts,
        body: &[u8],
        base_path: &str,
        now: Millis,
    ) -> Result<Delivery, Refusal> {
        if let Some(judged) = verify::verify(request, body, &self.signing, base_path, now) {
            return Ok(judged?.into());
        }
        let key_id = self.shown(request).ok_or(Refusal::NoSecret)?;
        Ok(Delivery::with_secret(&request.headers, key_id))
    }

    /// Whether a request is signed at all, rightly or not.
    pub fn is_signed(request: &Parts) -> bool {
        providers::is_signed(&request.headers)
    }

    /// Whether a signed request is right but for its body.
    pub fn depends_on_body(&self, request: &Parts, base_path: &str, now: Millis) -> bool {
        verify::depends_on_body(request, &self.signing, base_path, now)
    }

    /// What signs the cookies of drafts.
    pub fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// The name of the secret that a request carries: [`perennial_core::webhooks::secret::key_id`] of it.
    pub(crate) fn shown(&self, request: &Parts) -> Option<&str> {
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
pub(crate) fn credentials(value: &str) -> Option<String> {
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

/// Secrets that had better be changed or named, by their key ids, as in the journal.
fn advice(secrets: &[Secret]) -> Vec<String> {
    let ids = |which: &dyn Fn(&Secret) -> bool| -> String {
        secrets.iter().filter(|secret| which(secret)).map(Secret::id).collect::<Vec<_>>().join(", ")
    };
    let short = ids(&|secret| secret.text().len() < SECRET_BYTES_ADVISED);
    let unnamed = ids(&|secret| secret.provider().is_none());
    let mut advice = Vec::new();
    if !short.is_empty() {
        advice.push(format!(
            "secrets of fewer than {SECRET_BYTES_ADVISED} bytes can be guessed: replace {short} in \
             PERENNIAL_REVALIDATE_SECRETS by one of `openssl rand -hex 32`"
        ));
    }
    if !unnamed.is_empty() {
        let signers = providers::all().filter(|provider| provider.signs());
        let names: Vec<_> = signers.map(|provider| format!("`{}:…`", provider.name)).collect();
        advice.push(format!(
            "secrets without a name count for every publisher: write {unnamed} in PERENNIAL_REVALIDATE_SECRETS as `secret:…` \
             if calls show it, or with the name of the one publisher that signs with it ({})",
            names.join(", ")
        ));
    }
    advice
}

pub(crate) fn digest(secret: &str) -> [u8; 32] {
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
        for empty in ["", "secret:", "github:"] {
            assert!(Secrets::new(&[empty.to_owned()]).is_err(), "{empty}");
        }
    }

    #[test]
    fn a_secret_that_signs_is_no_password_and_a_name_is_no_part_of_one() {
        let written = ["github:of-github", "secret:for-calls", "strapi:of-strapi"].map(str::to_owned);
        let secrets = Secrets::new(&written).unwrap();
        let admits = |secret: &str| {
            let request = http::Request::get("/").header("x-revalidate-secret", secret).body(()).unwrap();
            secrets.admit(&request.into_parts().0)
        };
        assert!(admits("for-calls") && admits("of-strapi"));
        for wrong in ["of-github", "github:of-github", "secret:for-calls", "strapi:of-strapi"] {
            assert!(!admits(wrong), "{wrong}");
        }
    }

    #[test]
    fn short_and_nameless_secrets_are_told_by_their_key_ids() {
        let advice = |written: &[&str]| {
            let written: Vec<_> = written.iter().map(|&secret| secret.to_owned()).collect();
            Secrets::new(&written).unwrap().advice
        };
        // 7692c3ad: the SHA-256 of `one`.
        let both = advice(&["one", "secret:of-sixteen-bytes", "github:0123456789abcde"]);
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(both[0].contains("fewer than 16 bytes") && both[0].contains("7692c3ad, "), "{both:?}");
        assert!(both[1].contains("write 7692c3ad in") && both[1].contains("`github:…`"), "{both:?}");
        assert!(!both.concat().contains("one,") && !both.concat().contains("0123456789"));
        assert!(advice(&["secret:0123456789abcdef", "github:0123456789abcdef"]).is_empty());
    }
}
