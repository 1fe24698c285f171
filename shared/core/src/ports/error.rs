//! The error of every port. Its kind tells the caller how to react.

use std::error::Error;
use std::sync::Arc;
#[cfg(feature = "aws")]
use std::time::Duration;
use std::{fmt, io};

/// The shortest pause between two log lines about a failing store, whatever number of requests meet it.
#[cfg(feature = "aws")]
pub(crate) const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// A failed call of a store. The text is for the log: it says what failed, why, and what to do.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    text: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kind of a [`StoreError`], which tells the caller how to react. The failed call has changed nothing, unless the kind is
/// [`Unsure`](StoreErrorKind::Unsure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached, or does not answer. Go on without the store, and do not call it for a while.
    Unavailable,
    /// The store gets too many calls. Go on without the store; call later, and less often.
    Throttled,
    /// The answer is lost, so that the write may have landed. Repeat the call: every call may be repeated.
    Unsure,
    /// Other callers hold a lock, or read one key too often. The store itself works. Call again in a moment.
    Busy,
    /// Credentials, a role, or file permissions do not allow the call. Tell the operator: a repetition would be denied, too.
    Denied,
    /// The disk or a quota is full. Tell the operator, and serve the stored pages.
    Full,
    /// The disk or the operating system fails. Tell the operator.
    Faulty,
    /// The stored data cannot be read. Render the page again.
    Damaged,
    /// The table, bucket, queue or file does not exist. Tell the operator.
    Gone,
    /// The store refuses for another reason, which the text tells. Go on without the store.
    Refused,
}

impl StoreErrorKind {
    /// Whether errors of this kind count as failures of the store, so that the breaker opens after some in a row. With any
    /// other kind the store has answered.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled | Self::Unsure)
    }
}

impl StoreError {
    /// An error of this kind. `text` has no full stop at its end, and includes the text of its source.
    pub fn new(kind: StoreErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into().into(), source: None }
    }

    /// An error of the kind [`StoreErrorKind::Unavailable`].
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unavailable, text)
    }

    /// An error of the kind [`StoreErrorKind::Unsure`].
    pub fn unsure(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unsure, text)
    }

    /// An error of the kind [`StoreErrorKind::Refused`].
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Refused, text)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(self, source: Arc<dyn Error + Send + Sync>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The error's kind.
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
