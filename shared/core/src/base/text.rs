//! Values as text, in settings, on the command line and in queries: parsed, or refused with a message that says what is
//! expected.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// A value that people write as text.
pub trait Written: Sized {
    /// Parses the text.
    ///
    /// # Errors
    /// The expectation, as the end of a sentence: `must be a whole number`.
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! whole_numbers {
    ($($number:ty),*) => { $(
        impl Written for $number {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
                    std::num::IntErrorKind::PosOverflow => format!("must be a whole number, at most {}", Self::MAX),
                    _ => "must be a whole number".to_owned(),
                })
            }
        }
    )* };
}

whole_numbers!(u8, u16, u32, u64, usize);

impl Written for bool {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be `true` or `false`".to_owned())
    }
}

/// Where a server listens. A port alone is a port of this machine (`3000`); without an address before the colon, of all
/// its addresses (`:3000`).
impl Written for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse::<u16>().ok();
        let address = match text.rsplit_once(':') {
            None => port(text).map(|port| (Ipv4Addr::LOCALHOST, port).into()),
            Some(("", text)) => port(text).map(|port| (Ipv4Addr::UNSPECIFIED, port).into()),
            Some(("localhost", text)) => port(text).map(|port| (Ipv4Addr::LOCALHOST, port).into()),
            Some(_) => text.parse().ok(),
        };
        address.ok_or_else(|| {
            "must be a port, or an IP address and a port, like 3000, localhost:3000, 0.0.0.0:8080 or [::1]:3000"
                .to_owned()
        })
    }
}

/// Parses a value of a type whose own error states the expectation.
pub(crate) fn read_own<T: FromStr<Err = &'static str>>(text: &str) -> Result<T, String> {
    text.parse().map_err(str::to_owned)
}

/// Parses the value with this name.
///
/// # Errors
/// A sentence with the name, the text and the expectation: ``limit is `x`: it must be a whole number``.
pub fn read<T: Written>(name: &str, text: &str) -> Result<T, String> {
    T::read(text).map_err(|expectation| format!("{name} is `{}`: it {expectation}", text.escape_debug()))
}

/// A number with its noun: `1 page`, `2 pages`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A frequency: `once`, `2 times`.
pub fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// A suggestion has at least this similarity to the unknown name, on a scale from 0 to 1.
const SIMILARITY_MIN: f64 = 0.6;

/// A further suggestion is at most this much less similar than the best one.
const SIMILARITY_MARGIN: f64 = 0.08;

/// Suggestions for an unknown name: at most `count_max` known names, the most similar first.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, count_max: usize) -> Vec<&'a str> {
    let mut similar: Vec<_> = known
        .into_iter()
        .map(|known| (similarity(name, known), known))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    similar.dedup_by_key(|(_, known)| *known);
    let least = similar.first().map_or(0.0, |(best, _)| best - SIMILARITY_MARGIN);
    let similar = similar.into_iter().filter(|(similarity, _)| *similarity >= least);
    similar.take(count_max).map(|(_, known)| known).collect()
}

/// The similarity of two names, from 0 to 1: of the whole texts or of their words, whichever is higher. One name may
/// lack some words of the other.
fn similarity(a: &str, b: &str) -> f64 {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (a_words, b_words) = (words(&a), words(&b));
    let coverage = |words: &[String], others: &[String]| {
        let best = |word: &String| {
            others.iter().map(|other| strsim::normalized_damerau_levenshtein(word, other)).fold(0.0, f64::max)
        };
        words.iter().map(best).sum::<f64>() / words.len().max(1) as f64
    };
    // A wrong word weighs more than a missing one.
    let by_words = (3.0 * coverage(&a_words, &b_words) + coverage(&b_words, &a_words)) / 4.0;
    by_words.max(strsim::normalized_damerau_levenshtein(&a, &b))
}

/// Whether a text may name a build: it becomes a part of the names of folders and objects.
pub(crate) fn is_build_id(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    !text.is_empty() && text.len() <= 64 && !text.starts_with('.') && plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_states_the_expectation() {
        assert_eq!(read::<u16>("n", "7"), Ok(7));
        for text in ["x", "", "-1", "1.5", " 1", "1e3"] {
            assert_eq!(u64::read(text), Err("must be a whole number".to_owned()), "{text}");
        }
        assert_eq!(
            read::<u16>("n", "65536").unwrap_err(),
            "n is `65536`: it must be a whole number, at most 65535"
        );
        assert_eq!(read::<bool>("b", "yes").unwrap_err(), "b is `yes`: it must be `true` or `false`");
        for text in ["localhost", "", ":", "web:3000", "127.0.0.1", "1.2.3.4:65536", "::1:3000"] {
            assert!(SocketAddr::read(text).unwrap_err().contains("like 3000, localhost:3000,"), "{text}");
        }
        assert_eq!(read::<u32>("n", "a\nb").unwrap_err(), r"n is `a\nb`: it must be a whole number");
    }

    #[test]
    fn an_address_may_be_short() {
        for (text, address) in [
            ("3000", "127.0.0.1:3000"),
            ("localhost:3000", "127.0.0.1:3000"),
            (":3000", "0.0.0.0:3000"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::1]:3000", "[::1]:3000"),
        ] {
            assert_eq!(SocketAddr::read(text).unwrap().to_string(), address, "{text}");
        }
    }

    #[test]
    fn the_noun_of_one_is_singular() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "page")), ["0 pages", "1 page", "2 pages"]);
        assert_eq!([1, 2].map(times), ["once", "2 times"]);
    }

    #[test]
    fn suggestions_allow_for_typos_and_missing_words() {
        let settings = [
            "STORE",
            "REVALIDATE_SECRETS",
            "REVALIDATE_SECRETS_FROM",
            "MEMORY_CACHE_BYTES",
            "MAX_TAGS",
            "MAX_TAG_BYTES",
        ];
        let best = |name: &str| nearest(name, settings, 1).first().copied();
        assert_eq!(best("SECRET"), Some("REVALIDATE_SECRETS"));
        assert_eq!(best("SECRETS_FROM"), Some("REVALIDATE_SECRETS_FROM"));
        assert_eq!(best("CASH_BYTES"), Some("MEMORY_CACHE_BYTES"));
        assert_eq!(best("MAXTAGS"), Some("MAX_TAGS"));
        assert_eq!(best("TAG_MAX_BYTES"), Some("MAX_TAG_BYTES"));
        assert_eq!(best("COLOUR"), None);
        let tags = ["posts", "post:1", "author:ada", "guides"];
        assert_eq!(nearest("psots", tags, 3), ["posts"]);
        assert_eq!(nearest("Post", tags, 3), ["post:1", "posts"]);
        assert!(nearest("x", tags, 3).is_empty());
        assert_eq!(nearest("guids", ["guides", "guide:security", "guide:webhooks"], 3), ["guides"]);
    }
}
