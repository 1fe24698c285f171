//! The kinds of SQLite's errors (<https://sqlite.org/rescode.html>).

use rusqlite::{Error, ErrorCode};

use crate::ports::error::StoreErrorKind;

/// Whether an error means that another process holds a lock.
pub(super) fn is_locked(error: &Error) -> bool {
    kind_of(error) == StoreErrorKind::Busy
}

/// The kind of the error of a call that was not carried out.
pub(super) fn kind_of(error: &Error) -> StoreErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreErrorKind::Busy
        }
        Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreErrorKind::Denied,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreErrorKind::Damaged,
        Some(ErrorCode::CannotOpen) => StoreErrorKind::Gone,
        Some(ErrorCode::SystemIoFailure) => StoreErrorKind::Faulty,
        _ => StoreErrorKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_asks_for_what_helps() {
        use rusqlite::ffi;
        for (code, expected) in [
            (ffi::SQLITE_BUSY, StoreErrorKind::Busy),
            (ffi::SQLITE_BUSY_SNAPSHOT, StoreErrorKind::Busy),
            (ffi::SQLITE_LOCKED, StoreErrorKind::Busy),
            (ffi::SQLITE_FULL, StoreErrorKind::Full),
            (ffi::SQLITE_READONLY, StoreErrorKind::Denied),
            (ffi::SQLITE_READONLY_CANTLOCK, StoreErrorKind::Denied),
            (ffi::SQLITE_PERM, StoreErrorKind::Denied),
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Damaged),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Damaged),
            (ffi::SQLITE_CANTOPEN, StoreErrorKind::Gone),
            (ffi::SQLITE_IOERR, StoreErrorKind::Faulty),
            (ffi::SQLITE_IOERR_READ, StoreErrorKind::Faulty),
            (ffi::SQLITE_CONSTRAINT, StoreErrorKind::Refused),
        ] {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(kind_of(&error), expected, "{error}");
            assert!(!kind_of(&error).is_trouble(), "a store on this machine is not left alone: {error}");
        }
        assert_eq!(kind_of(&Error::QueryReturnedNoRows), StoreErrorKind::Refused);
    }
}
