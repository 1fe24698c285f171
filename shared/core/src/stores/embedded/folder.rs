//! The permissions of the embedded store's files: its owner's alone, whatever the umask is.
//!
//! The store holds unpublished pages, the journal and a secret, and a process that can open a database can lock it. Folders are
//! therefore `0700` and files `0600`. A group has access only if the operator has made the folder `2770`
//! (`chgrp web .perennial && chmod 2770 .perennial`): then everything in the folder belongs to its group.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The users who may open a store's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Owner,
    /// The owner, and the group of the store's folder.
    Group,
}

/// The mode bits of a folder that was made for a group: set-group-id, and all permissions of the group.
const GROUP_FOLDER_MODE: u32 = 0o2070;

impl Access {
    /// The users who may open the store at `folder`.
    pub(crate) fn of(folder: &Path) -> Self {
        match fs::metadata(folder) {
            Ok(folder) if folder.permissions().mode() & GROUP_FOLDER_MODE == GROUP_FOLDER_MODE => Self::Group,
            _ => Self::Owner,
        }
    }

    fn folder_mode(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group => 0o2770,
        }
    }

    fn file_mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
        }
    }

    /// Makes a folder of the store, with its missing parents.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn make_folder(self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.make_folder(above)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            // Another process has made the folder meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Ok(()) if self == Self::Group => set_mode(folder, self.folder_mode()),
            made => made,
        }
    }

    /// Makes a new file of the store.
    ///
    /// # Errors
    /// The file exists, or cannot be made.
    pub(crate) fn create_new(self, path: &Path) -> io::Result<File> {
        let file = self.options().write(true).create_new(true).open(path)?;
        self.settle(&file)?;
        Ok(file)
    }

    /// Opens a file of the store for reading and writing, and makes it if it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened or made.
    pub(crate) fn open(self, path: &Path) -> io::Result<File> {
        match self.options().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = self.options().read(true).write(true).create(true).truncate(false).open(path)?;
                self.settle(&file)?;
                Ok(file)
            }
            opened => opened,
        }
    }

    fn options(self) -> OpenOptions {
        let mut options = File::options();
        // From the beginning no other user can open the file.
        options.mode(0o600);
        options
    }

    /// Gives the group its permissions, which the umask may have removed.
    fn settle(self, file: &File) -> io::Result<()> {
        match self {
            Self::Owner => Ok(()),
            Self::Group => file.set_permissions(Permissions::from_mode(self.file_mode())),
        }
    }

    /// Removes other users' permissions, which earlier versions left on a file of the store. `true` if there were any. A missing
    /// file, or one of another user, stays as it is.
    pub(crate) fn tighten_file(self, path: &Path) -> bool {
        tighten(path, self.file_mode()).unwrap_or(false)
    }
}

/// Makes the store's folder, or removes other users' permissions from an existing one. Then no other user can open the files
/// in the folder, whatever their modes are.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn prepare(folder: &Path) -> io::Result<Access> {
    let access = Access::of(folder);
    access.make_folder(folder)?;
    match tighten(folder, access.folder_mode()) {
        Ok(true) => {
            tracing::info!("others could open the store {}; now its owner alone can", folder.display())
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(
            "others can open the store {}, and that cannot be changed ({error}): give this user a folder of its own",
            folder.display()
        ),
    }
    Ok(access)
}

/// Removes all mode bits but `most`. `true` if there were others.
fn tighten(path: &Path, most: u32) -> io::Result<bool> {
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if mode & 0o077 & !most == 0 {
        return Ok(false);
    }
    set_mode(path, mode & (most | 0o700)).map(|()| true)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("above/store");
        let access = prepare(&folder).unwrap();
        assert_eq!(access, Access::Owner);
        access.make_folder(&folder.join("a/b")).unwrap();
        access.create_new(&folder.join("new")).unwrap();
        access.open(&folder.join("opened")).unwrap();
        for inside in ["../../above", "", "a", "a/b"] {
            assert_eq!(mode(&folder.join(inside)), 0o700, "{inside}");
        }
        for file in ["new", "opened"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
        assert!(access.create_new(&folder.join("new")).is_err());
    }

    #[test]
    fn what_an_earlier_version_made_is_taken_from_others() {
        let root = tempfile::tempdir().unwrap();
        let (folder, file) = (root.path().join("store"), root.path().join("store/pages.db"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "").unwrap();
        set_mode(&folder, 0o755).unwrap();
        set_mode(&file, 0o644).unwrap();
        let access = prepare(&folder).unwrap();
        assert!(access.tighten_file(&file) && !access.tighten_file(&file));
        assert!(!access.tighten_file(&folder.join("nowhere")));
        assert_eq!((access, mode(&folder), mode(&file)), (Access::Owner, 0o700, 0o600));
    }

    #[test]
    fn a_group_that_was_given_access_on_purpose_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("store");
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o2775).unwrap();
        let access = prepare(&folder).unwrap();
        access.make_folder(&folder.join("bodies")).unwrap();
        access.create_new(&folder.join("file")).unwrap();
        assert_eq!(access, Access::Group);
        let modes = ["", "bodies", "file"].map(|name| mode(&folder.join(name)));
        assert_eq!(modes, [0o2770, 0o2770, 0o660]);
    }
}
