//! The contract of [`Bodies`] as tests; the entry is [`run`].

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::base::clock::Millis;
use crate::key::encode::hex;
use crate::key::page_key::PageKey;
use crate::ports::bodies::*;
use crate::ports::suite::pages::kit::page;

/// The largest chunk of an open body.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Runs every check. `open` opens the same storage for the build with the given id.
pub async fn run<B: Bodies>(open: impl Fn(&str) -> B) {
    let (bodies, other_build) = (open("b"), open("c"));
    let (one, two) = (page("one"), page("two"));
    let content = Bytes::from(vec![0xA5; 3 << 20]);
    let name = hex(&Sha256::digest(&content));
    assert_eq!(bodies.get(&one, &name).await.expect("get"), None);
    for _ in 0..2 {
        bodies.put(&one, &name, content.clone(), Millis(1_000)).await.expect("put");
        assert_eq!(bodies.get(&one, &name).await.expect("get").expect("stored"), content);
    }
    assert_eq!(open("b").get(&one, &name).await.expect("get").expect("every process sees it"), content);
    assert_eq!(read_chunks(&bodies, &one, &name).await.expect("stored"), content);
    assert_eq!(read_chunks(&bodies, &two, &name).await, None);
    assert_eq!(bodies.get(&two, &name).await.expect("get"), None, "a body belongs to one page");
    assert_eq!(other_build.get(&one, &name).await.expect("get"), None, "and to one build");
    let of_b = other_build.of_build(&"b".into());
    assert_eq!(of_b.get(&one, &name).await.expect("get").expect("that build's"), content);

    bodies.put(&one, &name, content.clone(), Millis(2_000)).await.expect("put");
    bodies.remove(&one, &name, Millis(1_999)).await.expect("remove");
    assert!(bodies.get(&one, &name).await.expect("get").is_some(), "stored again since: not removed");
    bodies.remove(&one, &name, Millis(2_000)).await.expect("remove");
    assert_eq!(bodies.get(&one, &name).await.expect("get"), None);
    assert_eq!(read_chunks(&bodies, &one, &name).await, None);
    bodies.remove(&one, &name, Millis(2_000)).await.expect("removing twice is harmless");

    let empty = hex(&Sha256::digest(b""));
    bodies.put(&two, &empty, Bytes::new(), Millis(1)).await.expect("put");
    assert_eq!(bodies.get(&two, &empty).await.expect("get").expect("stored").len(), 0);
    assert_eq!(read_chunks(&bodies, &two, &empty).await.expect("stored").len(), 0);
}

/// Reads all chunks of an open body; `None` if nothing is stored.
async fn read_chunks<B: Bodies>(bodies: &B, page: &PageKey, name: &str) -> Option<Bytes> {
    let Opened { bytes, mut chunks } = bodies.open(page, name).await.expect("open")?;
    let mut content = Vec::new();
    while let Some(chunk) = chunks.next().await.expect("a chunk") {
        assert!((1..=CHUNK_BYTES_MAX).contains(&chunk.len()), "{} bytes at once", chunk.len());
        content.extend(chunk);
    }
    assert_eq!(content.len() as u64, bytes);
    assert!(chunks.next().await.expect("no chunk").is_none(), "nothing comes after the end");
    Some(content.into())
}
