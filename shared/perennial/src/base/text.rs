//! Values as people write them, in settings, on the command line and in queries: read, or refused with what is wanted.

use std::net::SocketAddr;
use std::str::FromStr;

/// A value that is written as text.
pub trait Written: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What is wanted, as the end of a sentence: `must be a whole number`.
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

impl Written for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an IP address and a port, like 127.0.0.1:3000".to_owned())
    }
}

/// Reads a value of a type that says itself what is wanted.
pub(crate) fn read_own<T: FromStr<Err = &'static str>>(text: &str) -> Result<T, String> {
    text.parse().map_err(str::to_owned)
}

/// Reads one of several values by its name.
///
/// # Errors
/// Names what was given, and says what is wanted: ``limit is `x`: it must be a whole number``.
pub fn read<T: Written>(name: &str, text: &str) -> Result<T, String> {
    T::read(text).map_err(|wanted| format!("{name} is `{}`: it {wanted}", text.escape_debug()))
}

/// A number of things: `1 page`, `2 pages`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// How often: `once`, `2 times`.
pub fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Names alike below this are no suggestion, on a scale from 0 to 1.
const ALIKE_MIN: f64 = 0.6;

/// Names that are less alike than the best one by more than this are no suggestion beside it.
const ALIKE_MARGIN: f64 = 0.08;

/// The known names that are most like one that is not known, the most alike first.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut alike: Vec<_> = known
        .into_iter()
        .map(|known| (likeness(name, known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE_MIN)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    alike.dedup_by_key(|(_, known)| *known);
    let least = alike.first().map_or(0.0, |(best, _)| best - ALIKE_MARGIN);
    let alike = alike.into_iter().filter(|(likeness, _)| *likeness >= least);
    alike.take(most).map(|(_, known)| known).collect()
}

/// How alike two names are, from 0 to 1: as a whole, or by their words, some of which one of them may lack.
fn likeness(a: &str, b: &str) -> f64 {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (a_words, b_words) = (words(&a), words(&b));
    let covered = |of: &[String], by: &[String]| {
        let best = |word: &String| {
            by.iter().map(|other| strsim::normalized_damerau_levenshtein(word, other)).fold(0.0, f64::max)
        };
        of.iter().map(best).sum::<f64>() / of.len().max(1) as f64
    };
    // What was written counts more than what was left out.
    let by_words = (3.0 * covered(&a_words, &b_words) + covered(&b_words, &a_words)) / 4.0;
    by_words.max(strsim::normalized_damerau_levenshtein(&a, &b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_refused_is_told_what_is_wanted() {
        assert_eq!(read::<u16>("n", "7"), Ok(7));
        for text in ["x", "", "-1", "1.5", " 1", "1e3"] {
            assert_eq!(u64::read(text), Err("must be a whole number".to_owned()), "{text}");
        }
        assert_eq!(
            read::<u16>("n", "65536").unwrap_err(),
            "n is `65536`: it must be a whole number, at most 65535"
        );
        assert_eq!(read::<bool>("b", "yes").unwrap_err(), "b is `yes`: it must be `true` or `false`");
        assert!(read::<SocketAddr>("a", "localhost").unwrap_err().contains("like 127.0.0.1:3000"));
        assert_eq!(read::<u32>("n", "a\nb").unwrap_err(), r"n is `a\nb`: it must be a whole number");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "page")), ["0 pages", "1 page", "2 pages"]);
        assert_eq!([1, 2].map(times), ["once", "2 times"]);
    }

    #[test]
    fn the_nearest_names_know_words_and_slips() {
        let settings = [
            "STORE",
            "REVALIDATE_SECRETS",
            "REVALIDATE_SECRETS_FROM",
            "MEMORY_CACHE_BYTES",
            "MAX_TAGS",
            "MAX_TAG_BYTES",
        ];
        let first = |name: &str| nearest(name, settings, 1).first().copied();
        assert_eq!(first("SECRET"), Some("REVALIDATE_SECRETS"));
        assert_eq!(first("SECRETS_FROM"), Some("REVALIDATE_SECRETS_FROM"));
        assert_eq!(first("CASH_BYTES"), Some("MEMORY_CACHE_BYTES"));
        assert_eq!(first("MAXTAGS"), Some("MAX_TAGS"));
        assert_eq!(first("TAG_MAX_BYTES"), Some("MAX_TAG_BYTES"));
        assert_eq!(first("COLOUR"), None);
        let tags = ["posts", "post:1", "author:ada", "guides"];
        assert_eq!(nearest("psots", tags, 3), ["posts"]);
        assert_eq!(nearest("Post", tags, 3), ["post:1", "posts"]);
        assert!(nearest("x", tags, 3).is_empty());
        assert_eq!(nearest("guids", ["guides", "guide:security", "guide:webhooks"], 3), ["guides"]);
    }
}
