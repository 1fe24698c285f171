//! Who may call: secrets, compared in constant time.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The live secrets; any of them opens the door. At least one.
pub struct Secrets(Vec<[u8; 32]>);

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
        Ok(Self(secrets.iter().map(|secret| digest(secret)).collect()))
    }

    /// Whether the request carries a right secret, and no wrong one beside it: in the `secret` query parameter, as
    /// `Authorization: Bearer`, or in `x-revalidate-secret`.
    pub fn admit(&self, request: &Parts) -> bool {
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
        let mut given = sources.iter().flatten().peekable();
        !repeated && given.peek().is_some() && given.all(|secret| self.knows(secret))
    }

    fn knows(&self, given: &str) -> bool {
        let given_digest = digest(given);
        let known =
            self.0.iter().map(|secret| secret.ct_eq(&given_digest)).fold(Choice::from(0), |a, b| a | b);
        bool::from(known) && !given.is_empty()
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The file of a store's own secret.
pub fn secret_file(store: &Path) -> PathBuf {
    store.join("revalidate-secret")
}

/// The store's own secret, made at random if there is none yet and readable by its owner alone: so that the endpoint
/// of a site without settings is neither open nor has a secret that others know.
///
/// # Errors
/// The file cannot be read or made.
pub fn own_secret(store: &Path) -> io::Result<String> {
    let path = secret_file(store);
    let wrong = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    match fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() >= 32 => return Ok(secret.trim().to_owned()),
        Ok(_) => fs::remove_file(&path).map_err(wrong)?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(wrong(e)),
    }
    fs::create_dir_all(store).map_err(wrong)?;
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written whole beside its place: another process that starts now finds all of it or nothing.
    let part = store.join(format!(".revalidate-secret-{}", std::process::id()));
    let mut file =
        fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(wrong)?;
    file.write_all(secret.as_bytes()).map_err(wrong)?;
    let linked = fs::hard_link(&part, &path);
    fs::remove_file(&part).map_err(wrong)?;
    match linked {
        Ok(()) => Ok(secret),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Ok(fs::read_to_string(&path).map_err(wrong)?.trim().to_owned())
        }
        Err(e) => Err(wrong(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn a_store_keeps_its_own_secret_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let secret = own_secret(folder.path()).unwrap();
        assert_eq!(secret.len(), 48);
        assert_eq!(own_secret(folder.path()).unwrap(), secret);
        let mode = fs::metadata(secret_file(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(own_secret(other.path()).unwrap(), secret);
        fs::write(secret_file(folder.path()), "short").unwrap();
        assert_eq!(own_secret(folder.path()).unwrap().len(), 48, "a damaged one is replaced");
    }
}
