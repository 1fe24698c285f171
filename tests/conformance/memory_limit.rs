//! B11. The memory cache is an accelerator: its limit changes no answer.

use serde_json::json;
use tests::Asks as _;

use crate::Fixture;

/// B11.152, B11.153, B11.156: whatever the limit, every entry is there, by one call each.
#[tokio::test]
async fn every_limit_gives_the_same_answers() {
    for limit in ["0", "1", "3000", "50000000"] {
        let f = Fixture::with(&[("PERENNIAL_MEMORY_CACHE_BYTES", limit)]).await;
        f.up.otherwise(|_| json!({ "revalidate": false, "pad_bytes": 1500 }).into());
        f.up.on("/blog/gone", json!({ "not_found": true, "revalidate": false }));
        f.up.on(
            "/blog/moved",
            json!({ "redirect": { "destination": "/", "permanent": true }, "revalidate": false }),
        );
        let mut ids = Vec::new();
        for i in 0..4 {
            ids.push(f.get(&format!("/blog/p{i}")).await.expect(200, "MISS").id());
        }
        f.get("/blog/gone").await.expect(404, "MISS");
        f.get("/blog/moved").await.expect(308, "MISS");
        for _ in 0..2 {
            for (i, id) in ids.iter().enumerate() {
                assert_eq!(f.get(&format!("/blog/p{i}")).await.expect(200, "HIT").id(), *id, "limit {limit}");
                assert_eq!(
                    f.data(&format!("/blog/p{i}")).await.expect(200, "HIT").id(),
                    *id,
                    "limit {limit}"
                );
            }
            f.get("/blog/gone").await.expect(404, "HIT");
            f.get("/blog/moved").await.expect(308, "HIT");
        }
        assert_eq!(f.up.count_all(), 6, "limit {limit}");
    }
}

/// B11.154: a page larger than the limit is served like any other.
#[tokio::test]
async fn a_page_larger_than_the_limit() {
    let f = Fixture::with(&[("PERENNIAL_MEMORY_CACHE_BYTES", "100000")]).await;
    f.up.otherwise(|_| json!({ "revalidate": false }).into());
    f.up.on("/blog/huge", json!({ "revalidate": false, "pad_bytes": 3_000_000 }));
    let small = f.get("/blog/small").await.expect(200, "MISS");
    let huge = f.get("/blog/huge").await.expect(200, "MISS");
    assert!(huge.body.len() > 3_000_000);
    for _ in 0..3 {
        assert_eq!(f.get("/blog/huge").await.expect(200, "HIT").body, huge.body);
        assert_eq!(f.get("/blog/small").await.expect(200, "HIT").id(), small.id());
    }
    assert_eq!(f.up.count_all(), 2);
}
