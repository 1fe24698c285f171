//! B4 on the demo site: `/posts` outlives whatever its upstream does.

use perennial::Site;
use site::Options;
use tests::{Answer, Asks as _, Reply};

use crate::world::{World, s};

/// The demo site with its posts behind the world's upstream, which knows its calls by no path.
async fn demo() -> World {
    World::of(|_, url| demo_site(url)).await
}

fn demo_site(upstream: &str) -> Site {
    site::with(Options { content: None, posts_url: Some(format!("{upstream}/list")) })
}

fn posts(titles: &[&str]) -> Reply {
    let post = |title: &&str| serde_json::json!({ "id": *title, "title": *title, "body": "Text." });
    serde_json::Value::from_iter(titles.iter().map(post)).into()
}

fn shows(answer: &Answer, title: &str) -> bool {
    answer.text().contains(&format!("<h2>{title}</h2>"))
}

/// B4.57, B4.59, B4.65: an upstream that answers an error, or nonsense, or hangs up, is a render that fails; the last
/// good page stays, byte for byte, until the upstream answers posts again.
#[tokio::test]
async fn posts_outlive_their_upstream() {
    for failure in [
        Reply::status(500),
        Reply::status(404),
        Reply::status(304),
        Reply::raw("[{\"id\":1,"),
        Reply::raw("{\"error\":\"no\"}"),
        Reply::raw("[{\"id\":1,\"title\":null,\"body\":\"\"}]"),
        Reply::hang_up(),
    ] {
        let w = demo().await;
        w.up.on("", posts(&["First"]));
        let good = w.get("/posts").await.expect(200, "MISS").cc(60);
        assert!(shows(&good, "First") && !shows(&good, "Second"));

        w.up.on("", failure.clone());
        w.advance(s(61));
        for _ in 0..3 {
            let kept = w.get("/posts").await.expect(200, "STALE");
            assert_eq!((&kept.body, kept.etag()), (&good.body, good.etag()), "{failure:?}");
            w.settle().await;
        }
        assert_eq!(w.up.count(""), 2, "one try, and then a pause: {failure:?}");
        // However long it lasts.
        w.advance(s(3600));
        assert_eq!(w.get("/posts").await.expect(200, "STALE").body, good.body);
        w.settle().await;
        assert_eq!(w.up.count(""), 3);
        assert_eq!(w.get("/posts").await.expect(200, "STALE").body, good.body);

        w.up.on("", posts(&["Second"]));
        w.advance(s(60));
        assert_eq!(w.get("/posts").await.expect(200, "STALE").body, good.body);
        w.settle().await;
        let new = w.get("/posts").await.expect(200, "HIT").cc(60);
        assert!(shows(&new, "Second") && !shows(&new, "First"), "{failure:?}");
    }
}

/// B4.63: without a page that was ever good the error is the visitor's, and is not kept.
#[tokio::test]
async fn posts_that_were_never_there_are_an_error() {
    let w = demo().await;
    w.up.on("", Reply::status(500));
    let error = w.get("/posts").await;
    assert_eq!(error.status, 500);
    error.nostore();
    w.up.on("", posts(&["First"]));
    w.advance(s(60));
    assert!(shows(&w.get("/posts").await.expect(200, "MISS"), "First"));
}
