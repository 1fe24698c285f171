//! Bodies as files: `<folder>/bodies/<build>/<page hash>/<sha256>`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::base::clock::Millis;
use crate::key::encode::hex;
use crate::key::page_key::PageKey;
use crate::ports::bodies::{Bodies, Chunks, Opened};
use crate::ports::error::StoreError;
use crate::stores::embedded::folder::Access;

/// As much of an open file is read at a time.
const CHUNK_BYTES: u64 = 64 << 10;

/// The [`Bodies`] of one machine.
#[derive(Clone)]
pub struct FileBodies {
    store: Arc<Path>,
    folder: Arc<Path>,
}

impl FileBodies {
    /// The bodies of `build` in the store at `folder`. The build's name must be one that
    /// [`Settings`](crate::run::settings::Settings) accepts: it becomes a folder's.
    pub fn open(folder: &Path, build: &str) -> Self {
        Self { store: folder.into(), folder: folder.join("bodies").join(build).into() }
    }

    fn path(&self, page: &PageKey, sha256: &str) -> PathBuf {
        self.folder.join(page.hash()).join(sha256)
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    verb: &'static str,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let shown = path.display().to_string();
    let result = tokio::task::spawn_blocking(move || work(&path)).await.map_err(io::Error::other).flatten();
    result.map_err(|e| {
        let text = format!("cannot {verb} {shown}: {e}");
        StoreError::new(e.kind().into(), text).caused_by(Arc::new(e))
    })
}

/// Writes beside the final name and renames: readers see the whole file or none.
fn put(store: &Path, path: &Path, bytes: &[u8], now: Millis) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if path.metadata().is_ok_and(|m| m.len() == bytes.len() as u64) && fs::read(path)? == bytes {
        return File::options().append(true).open(path)?.set_modified(now.to_system());
    }
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let access = Access::of(store);
    access.make_folder(folder)?;
    let part = folder.join(format!(".{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let written = access.open(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_modified(now.to_system())?;
        file.sync_data()?;
        fs::rename(&part, path)
    });
    if written.is_err() {
        // What is left of a full disk's file only takes space.
        let _ = fs::remove_file(&part);
    }
    written
}

fn get(path: &Path) -> io::Result<Option<Bytes>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => return Ok(None),
        Err(e) => return Err(e),
    };
    let name = path.file_name().unwrap_or_default();
    if hex(&Sha256::digest(&bytes)).as_str() != name {
        return Ok(None);
    }
    Ok(Some(bytes.into()))
}

fn open(path: &Path) -> io::Result<Option<Opened<FileChunks>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    let chunks = FileChunks { file: Some(file), path: path.to_owned() };
    Ok(metadata.is_file().then(|| Opened { bytes: metadata.len(), chunks }))
}

/// A file that is read chunk by chunk.
#[derive(Debug)]
pub struct FileChunks {
    /// None at its end.
    file: Option<File>,
    path: PathBuf,
}

impl Chunks for FileChunks {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(mut file) = self.file.take() else { return Ok(None) };
        let (file, bytes) = blocking(self.path.clone(), "read", move |_| {
            let mut bytes = Vec::new();
            (&mut file).take(CHUNK_BYTES).read_to_end(&mut bytes)?;
            Ok((file, bytes))
        })
        .await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.file = Some(file);
        Ok(Some(bytes.into()))
    }
}

fn remove(path: &Path, unused_since: Millis) -> io::Result<()> {
    let removed = path.metadata().and_then(|metadata| {
        if Millis::from(metadata.modified()?) > unused_since { Ok(()) } else { fs::remove_file(path) }
    });
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => {
            // The page's folder goes with its last body; otherwise it is not empty and stays.
            let _ = path.parent().map(fs::remove_dir);
            Ok(())
        }
    }
}

impl Bodies for FileBodies {
    type Chunks = FileChunks;

    fn of_build(&self, build: &Arc<str>) -> Self {
        Self { store: self.store.clone(), folder: self.folder.with_file_name(&**build).into() }
    }

    async fn put(&self, page: &PageKey, sha256: &str, bytes: Bytes, now: Millis) -> Result<(), StoreError> {
        let store = self.store.clone();
        blocking(self.path(page, sha256), "write", move |path| put(&store, path, &bytes, now)).await
    }

    async fn get(&self, page: &PageKey, sha256: &str) -> Result<Option<Bytes>, StoreError> {
        blocking(self.path(page, sha256), "read", get).await
    }

    async fn open(&self, page: &PageKey, sha256: &str) -> Result<Option<Opened<FileChunks>>, StoreError> {
        blocking(self.path(page, sha256), "read", open).await
    }

    async fn remove(&self, page: &PageKey, sha256: &str, unused_since: Millis) -> Result<(), StoreError> {
        // The name comes out of a queue, and nothing of a body's must reach another folder.
        if sha256.is_empty() || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        blocking(self.path(page, sha256), "remove", move |path| remove(path, unused_since)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        crate::ports::suite::bodies::run(|build| FileBodies::open(folder.path(), build)).await;
    }

    #[tokio::test]
    async fn damage_is_missing_and_heals() {
        let folder = tempfile::tempdir().unwrap();
        let bodies = FileBodies::open(folder.path(), "b");
        let page = crate::ports::suite::pages::kit::page("a");
        let bytes = Bytes::from_static(b"content");
        let name = hex(&Sha256::digest(&bytes));
        bodies.put(&page, &name, bytes.clone(), Millis(5)).await.unwrap();
        for damage in [&b""[..], b"conten", b"CONTENT"] {
            fs::write(bodies.path(&page, &name), damage).unwrap();
            assert_eq!(bodies.get(&page, &name).await.unwrap(), None);
            bodies.put(&page, &name, bytes.clone(), Millis(5)).await.unwrap();
            assert_eq!(bodies.get(&page, &name).await.unwrap().unwrap(), bytes);
        }
    }

    #[tokio::test]
    async fn no_name_reaches_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let bodies = FileBodies::open(folder.path(), "b");
        let (page, other) =
            (crate::ports::suite::pages::kit::page("a"), crate::ports::suite::pages::kit::page("b"));
        let bytes = Bytes::from_static(b"content");
        let name = hex(&Sha256::digest(&bytes));
        for page in [&page, &other] {
            bodies.put(page, &name, bytes.clone(), Millis(5)).await.unwrap();
        }
        let path = bodies.path(&other, &name);
        for foreign in
            [format!("../{}/{name}", other.hash()), path.display().to_string(), "..".into(), String::new()]
        {
            bodies.remove(&page, &foreign, Millis(u64::MAX / 2)).await.unwrap();
        }
        assert_eq!(bodies.get(&other, &name).await.unwrap().unwrap(), bytes);
        assert_eq!(bodies.get(&page, &name).await.unwrap().unwrap(), bytes);
    }
}
