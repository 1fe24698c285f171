//! The secret of a store whose settings name none.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::key::encode::hex;
use crate::stores::embedded::folder::Access;

/// The live secrets: the given ones, or else the store's own. On Lambda no store keeps a secret: there the settings must give
/// one.
///
/// # Errors
/// There is no secret. The message says what to do.
pub fn live_secrets(given: &[String], store: &Path, on_lambda: bool) -> io::Result<Vec<String>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let advice = "set PERENNIAL_REVALIDATE_SECRETS to one or more secrets, separated by commas";
    if on_lambda {
        return Err(io::Error::other(format!("nobody may call the revalidate endpoint yet: {advice}")));
    }
    let own = own_secret(store);
    own.map(|secret| vec![secret]).map_err(|e| io::Error::new(e.kind(), format!("{e}; {advice}")))
}

/// The file of a store's own secret.
pub fn secret_file(store: &Path) -> PathBuf {
    store.join("revalidate-secret")
}

/// The store's own secret. The first call makes it at random, readable by the store's owner alone. So a site without settings has
/// neither an open endpoint nor a default secret that others know.
///
/// # Errors
/// The file cannot be read or made.
fn own_secret(store: &Path) -> io::Result<String> {
    let path = secret_file(store);
    let wrong = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    match fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() >= 32 => return Ok(secret.trim().to_owned()),
        Ok(_) => fs::remove_file(&path).map_err(wrong)?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(wrong(e)),
    }
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    write_secret(store, hex(&random))
}

/// Writes the known secret into a store whose folder was removed under its processes. `true` if the store then has this secret.
/// `false` if another process has made a new one: the processes agree again after a restart.
///
/// # Errors
/// The file cannot be read or made.
pub fn keep_secret(store: &Path, secret: &str) -> io::Result<bool> {
    match fs::read_to_string(secret_file(store)) {
        Ok(there) => Ok(there.trim() == secret),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(write_secret(store, secret.to_owned())? == secret),
        Err(e) => Err(e),
    }
}

/// Writes a secret unless there is one. Returns the stored one.
fn write_secret(store: &Path, secret: String) -> io::Result<String> {
    let path = secret_file(store);
    let wrong = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    Access::of(store).make_folder(store).map_err(wrong)?;
    // The secret is written to a temporary file and then renamed: other processes find all of it or nothing. The file's name is
    // random, and the file is opened with `O_EXCL`: an attacker cannot have put a file or a link there.
    let mut part = NamedTempFile::with_prefix_in(".revalidate-secret-", store).map_err(wrong)?;
    part.write_all(secret.as_bytes()).map_err(wrong)?;
    match part.persist_noclobber(&path) {
        Ok(_) => Ok(secret),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => {
            Ok(fs::read_to_string(&path).map_err(wrong)?.trim().to_owned())
        }
        Err(e) => Err(wrong(e.error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_function_on_aws_needs_secrets_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let error = live_secrets(&[], folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("PERENNIAL_REVALIDATE_SECRETS"), "{error}");
        let given = ["a", "b"].map(str::to_owned);
        assert_eq!(live_secrets(&given, folder.path(), true).unwrap(), given);
        assert_eq!(live_secrets(&[], folder.path(), false).unwrap(), [own_secret(folder.path()).unwrap()]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_link_in_the_place_of_the_temporary_file_is_not_followed() {
        let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("target");
        // The temporary name of earlier versions, which an attacker could guess.
        let known = folder.path().join(format!(".revalidate-secret-{}", std::process::id()));
        std::os::unix::fs::symlink(&target, known).unwrap();
        assert_eq!(own_secret(folder.path()).unwrap().len(), 48);
        assert!(!target.exists());
        // A link in the place of the secret itself is read and never written: volumes of secrets consist of links.
        let volume = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&target, secret_file(volume.path())).unwrap();
        assert!(own_secret(volume.path()).is_err() && !target.exists());
        fs::write(&target, "s".repeat(32)).unwrap();
        assert_eq!(own_secret(volume.path()).unwrap(), "s".repeat(32));
    }

    #[test]
    fn a_store_keeps_its_own_secret_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let secret = own_secret(folder.path()).unwrap();
        assert_eq!(secret.len(), 48);
        assert_eq!(own_secret(folder.path()).unwrap(), secret);
        let mode = fs::metadata(secret_file(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["revalidate-secret"], "nothing is left beside it");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(own_secret(other.path()).unwrap(), secret);
        fs::write(secret_file(folder.path()), "short").unwrap();
        assert_eq!(own_secret(folder.path()).unwrap().len(), 48, "a damaged one is replaced");
    }

    #[test]
    fn a_removed_secret_comes_back_unless_there_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let secret = own_secret(&store).unwrap();
        assert!(keep_secret(&store, &secret).unwrap());
        fs::remove_dir_all(&store).unwrap();
        assert!(keep_secret(&store, &secret).unwrap());
        assert_eq!(own_secret(&store).unwrap(), secret);
        fs::remove_dir_all(&store).unwrap();
        let other = own_secret(&store).unwrap();
        assert!(!keep_secret(&store, &secret).unwrap());
        assert_eq!(own_secret(&store).unwrap(), other);
    }
}
