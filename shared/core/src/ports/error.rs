//! The error of every port: what happened, and what its caller does about it.

use std::error::Error;
use std::sync::Arc;
#[cfg(feature = "aws")]
use std::time::Duration;
use std::{fmt, io};

/// A store that fails is reported this often, however many requests meet it.
#[cfg(feature = "aws")]
pub(crate) const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// A store that did not do what it was asked. The text is for the log: it says what could not be done, why, and what to do.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    text: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a caller does about a [`StoreError`]. Nothing was changed, unless the kind is [`Unsure`](StoreErrorKind::Unsure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached, or does not answer. Do without it, and leave it alone for a while.
    Unavailable,
    /// The store has too many calls. Do without it, and ask again later and less often.
    Throttled,
    /// The answer is lost: a write may have landed. Repeat the call, which is always safe.
    Unsure,
    /// Others use what the call needs: a lock, or one key that has too many readers. The store is well. Ask again in a
    /// moment.
    Busy,
    /// Keys, a role, or the permissions of a file do not allow it. Tell the operator: a repetition is denied as well.
    Denied,
    /// There is no room. Tell the operator, and serve what is stored.
    Full,
    /// The medium fails, or the system does not carry the call out. Tell the operator.
    Faulty,
    /// What is stored cannot be read. Render it again.
    Damaged,
    /// The table, bucket, queue or file is not there. Tell the operator.
    Gone,
    /// No, for another reason, which the text tells. Do without.
    Refused,
}

impl StoreErrorKind {
    /// Whether the store is in trouble, so that it is left alone after some of these in a row. Any other kind is an
    /// answer: the store is there.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled | Self::Unsure)
    }
}

impl StoreError {
    /// An error of this kind. `text` ends no sentence, and holds what its source says.
    pub fn new(kind: StoreErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into().into(), source: None }
    }

    /// [`StoreErrorKind::Unavailable`].
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unavailable, text)
    }

    /// [`StoreErrorKind::Unsure`].
    pub fn unsure(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unsure, text)
    }

    /// [`StoreErrorKind::Refused`].
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Refused, text)
    }

    /// The same error with the one that it was made of.
    #[must_use]
    pub fn caused_by(self, source: Arc<dyn Error + Send + Sync>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// What its caller does about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.kind {
            StoreErrorKind::Unsure => f.write_str(" (the write may have landed)"),
            _ => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<io::ErrorKind> for StoreErrorKind {
    fn from(kind: io::ErrorKind) -> Self {
        use io::ErrorKind;
        match kind {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full,
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Gone,
            ErrorKind::ResourceBusy | ErrorKind::WouldBlock => Self::Busy,
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Faulty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_its_text_once_and_keeps_its_source() {
        let lost = StoreError::unsure("cannot write x: lost").caused_by(Arc::new(io::Error::other("lost")));
        assert_eq!(lost.to_string(), "cannot write x: lost (the write may have landed)");
        assert_eq!(lost.source().expect("a source").to_string(), "lost");
        assert_eq!(lost.clone().kind(), StoreErrorKind::Unsure);
        let refused = StoreError::refused("no");
        assert_eq!((refused.to_string(), refused.source().is_none()), ("no".to_owned(), true));
    }

    #[test]
    fn only_a_store_in_trouble_is_left_alone() {
        use StoreErrorKind::*;
        for (kinds, expected) in [
            (&[Unavailable, Throttled, Unsure][..], true),
            (&[Busy, Denied, Full, Faulty, Damaged, Gone, Refused], false),
        ] {
            assert!(kinds.iter().all(|kind| kind.is_trouble() == expected), "{kinds:?}");
        }
    }

    #[test]
    fn an_error_of_the_system_asks_for_what_helps() {
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, StoreErrorKind::Denied),
            (io::ErrorKind::ReadOnlyFilesystem, StoreErrorKind::Denied),
            (io::ErrorKind::StorageFull, StoreErrorKind::Full),
            (io::ErrorKind::QuotaExceeded, StoreErrorKind::Full),
            (io::ErrorKind::NotFound, StoreErrorKind::Gone),
            (io::ErrorKind::ResourceBusy, StoreErrorKind::Busy),
            (io::ErrorKind::UnexpectedEof, StoreErrorKind::Damaged),
            (io::ErrorKind::Other, StoreErrorKind::Faulty),
        ] {
            assert_eq!(StoreErrorKind::from(kind), expected, "{kind:?}");
        }
        // EIO has no kind of its own.
        assert_eq!(StoreErrorKind::from(io::Error::from_raw_os_error(5).kind()), StoreErrorKind::Faulty);
    }
}
