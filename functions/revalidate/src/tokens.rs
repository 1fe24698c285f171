//! Tokens that may read the metrics, and open nothing else.

use http::header::AUTHORIZATION;
use http::request::Parts;
use perennial_core::webhooks::secret::SECRET_BYTES_ADVISED;
use subtle::ConstantTimeEq as _;

use crate::auth::{credentials, digest};

/// The live tokens, which may be none.
pub struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// From settings. A token that can be guessed is told in the log.
    pub fn new(written: &[String]) -> Self {
        if written.iter().any(|token| token.len() < SECRET_BYTES_ADVISED) {
            tracing::warn!(
                "a token of fewer than {SECRET_BYTES_ADVISED} bytes can be guessed: replace it in PERENNIAL_METRICS_TOKENS by \
                 one of `openssl rand -hex 32`"
            );
        }
        Self(written.iter().map(|token| digest(token)).collect())
    }

    /// Whether a request has one of the tokens: as `Authorization: Bearer`, or as the password of `Authorization: Basic`.
    pub fn admit(&self, request: &Parts) -> bool {
        let mut given = request.headers.get_all(AUTHORIZATION).iter();
        let (Some(only), None) = (given.next(), given.next()) else { return false };
        let Some(token) = only.to_str().ok().and_then(credentials).filter(|token| !token.is_empty()) else {
            return false;
        };
        let given = digest(&token);
        self.0.iter().fold(false, |known, token| known | bool::from(token.ct_eq(&given)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_right_token_admits() {
        let admits = |tokens: &[&str], fields: &[&str]| {
            let written: Vec<_> = tokens.iter().map(|&token| token.to_owned()).collect();
            let request =
                fields.iter().fold(http::Request::get("/?secret=one"), |r, v| r.header("authorization", *v));
            Tokens::new(&written).admit(&request.body(()).unwrap().into_parts().0)
        };
        // The last is x:two.
        for right in ["Bearer one", "bearer two", "Basic eDp0d28="] {
            assert!(admits(&["one", "two"], &[right]), "{right}");
            assert!(!admits(&[], &[right]), "{right}");
        }
        for wrong in ["Bearer", "Bearer ", "Bearer three", "Bearer ONE", "Basic eDo=", "one", ""] {
            assert!(!admits(&["one", "two"], &[wrong]), "{wrong}");
        }
        assert!(!admits(&["one"], &[]) && !admits(&["one"], &["Bearer one", "Bearer one"]));
    }
}
