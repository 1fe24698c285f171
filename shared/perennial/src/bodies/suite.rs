//! What every implementation of [`Bodies`] must do: one entry, [`run`].

use sha2::{Digest, Sha256};

use super::*;
use crate::key::hex;
use crate::pages::suite::page;

/// Runs every check against stores that `open` opens on one place, for the named build.
pub async fn run<B: Bodies>(open: impl Fn(&str) -> B) {
    let (bodies, other) = (open("b"), open("c"));
    let (one, two) = (page("one"), page("two"));
    let content = Bytes::from(vec![0xA5; 3 << 20]);
    let name = hex(&Sha256::digest(&content));
    assert_eq!(bodies.get(&one, &name).await.expect("get"), None);
    for _ in 0..2 {
        bodies.put(&one, &name, content.clone(), Millis(1_000)).await.expect("put");
        assert_eq!(bodies.get(&one, &name).await.expect("get").expect("stored"), content);
    }
    assert_eq!(open("b").get(&one, &name).await.expect("get").expect("for all"), content);
    assert_eq!(bodies.get(&two, &name).await.expect("get"), None, "a body belongs to one page");
    assert_eq!(other.get(&one, &name).await.expect("get"), None, "and to one build");

    bodies.put(&one, &name, content.clone(), Millis(2_000)).await.expect("put");
    bodies.remove(&one, &name, Millis(1_999)).await.expect("remove");
    assert!(bodies.get(&one, &name).await.expect("get").is_some(), "it was wanted again since");
    bodies.remove(&one, &name, Millis(2_000)).await.expect("remove");
    assert_eq!(bodies.get(&one, &name).await.expect("get"), None);
    bodies.remove(&one, &name, Millis(2_000)).await.expect("removing what is gone");

    let empty = hex(&Sha256::digest(b""));
    bodies.put(&two, &empty, Bytes::new(), Millis(1)).await.expect("put");
    assert_eq!(bodies.get(&two, &empty).await.expect("get").expect("stored").len(), 0);
}
