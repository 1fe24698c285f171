//! A reader of settings: values by name, and one line of text for every mistake.

use std::str::FromStr;
use std::time::Duration;

use crate::base::text::{Written, nearest, read, read_own};

/// The prefix of every setting's name.
const PREFIX: &str = "PERENNIAL_";

/// Reads settings from environment variables, and collects mistakes instead of stopping at the first.
pub(crate) struct Reader {
    given: Vec<(String, String)>,
    /// Names that were read: every other name with the prefix is a mistake.
    names: Vec<&'static str>,
    /// One line per mistake, which says what to do.
    pub(crate) errors: Vec<String>,
}

impl Reader {
    pub(crate) fn new(given: Vec<(String, String)>) -> Self {
        Self { given, names: Vec::new(), errors: Vec::new() }
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.names.push(name);
        // Templates and compose files pass an unused setting as an empty text.
        let (_, value) = self.given.iter().find(|(n, v)| n == name && !v.is_empty())?;
        Some(value.clone())
    }

    pub(crate) fn optional<T: Written>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        read(name, &text).map_err(|error| self.errors.push(error)).ok()
    }

    pub(crate) fn or<T: Written>(&mut self, name: &'static str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    pub(crate) fn above_zero<T: Written + Default + PartialEq>(
        &mut self,
        name: &'static str,
        default: T,
    ) -> T {
        let value = self.or(name, default);
        if value == T::default() {
            self.errors.push(format!("{name} is `0`: give 1 or more"));
        }
        value
    }

    pub(crate) fn millis(&mut self, name: &'static str, default: u64) -> Duration {
        Duration::from_millis(self.above_zero(name, default))
    }

    /// Ends reading.
    ///
    /// # Errors
    /// All mistakes, including settings whose name nobody has read.
    pub(crate) fn end(mut self) -> Result<(), Vec<String>> {
        for (name, _) in &self.given {
            if name.starts_with(PREFIX)
                && !name.starts_with("PERENNIAL_SITE_")
                && !self.names.contains(&&**name)
            {
                let without_prefix = |name: &&'static str| name.strip_prefix(PREFIX);
                let names = self.names.iter().filter_map(without_prefix);
                let hint = match nearest(&name[PREFIX.len()..], names, 1)[..] {
                    [closest] => format!("did you mean {PREFIX}{closest}?"),
                    _ => "the guide on settings lists all".to_owned(),
                };
                self.errors.push(format!("{} is no setting; {hint}", name.escape_debug()));
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

/// A size in bytes above which something is done; `off` is `None`: never.
pub(crate) struct ByteThreshold(pub(crate) Option<u64>);

impl FromStr for ByteThreshold {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|bytes| Self(Some(bytes))).map_err(|_| "must be a whole number of bytes, or `off`")
    }
}

impl Written for ByteThreshold {
    fn read(text: &str) -> Result<Self, String> {
        read_own(text)
    }
}
