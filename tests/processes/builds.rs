//! B15. Build.

use std::time::Duration;

use serde_json::{Value, json};
use tests::until::pass;
use tests::{Asks as _, Reply};

use crate::{Host, until_new};

/// B15.190: one failing path fails the build, by name, and what was live stays as it was.
#[tokio::test]
async fn a_failing_path_fails_the_build() {
    let h = Host::new().await;
    h.up.list("/blog/{slug}", json!([{ "slug": "good" }, { "slug": "bad" }]));
    h.up.otherwise(|_| json!({ "revalidate": false }).into());
    h.launch.run(&["build"]).await.success();
    let site = h.launch.start().await;
    let live = site.get("/blog/good").await.expect(200, "HIT");
    h.up.on("/blog/bad", Reply::throw("the-cause"));
    h.launch.run(&["build"]).await.failure(&["/blog/bad", "the-cause"]);
    assert_eq!(
        site.get("/blog/good").await.expect(200, "HIT").id(),
        live.id(),
        "a failed build changed a live page"
    );
    site.get("/blog/bad").await.expect(200, "HIT");
    site.stop().await.success();
    let site = h.launch.start().await;
    assert_eq!(site.get("/blog/good").await.expect(200, "HIT").id(), live.id());
}

/// B15.191: what a build refuses, each with its own message.
#[tokio::test]
async fn what_a_build_refuses() {
    let h = Host::new().await;
    let renders: [(&str, Value); 6] = [
        ("redirect", json!({ "redirect": { "destination": "/", "permanent": false } })),
        ("keep", json!({ "keep_stale": true })),
        ("0", json!({ "revalidate": 0 })),
        ("-1", json!({ "revalidate": -1 })),
        ("418", json!({ "redirect": { "destination": "/", "status": 418 } })),
        ("template", json!({ "render_throw": true })),
    ];
    for (part, render) in renders {
        h.up.on("/never", render);
        h.launch.run(&["build"]).await.failure(&["/never", part]);
    }
    h.up.on("/never", json!({}));
    let lists: [(&str, Reply); 8] = [
        ("slug", json!({ "params": [{ "slug": 5 }] }).into()),
        ("nope", json!({ "params": [{ "slug": "a", "nope": "b" }] }).into()),
        ("slug", json!({ "params": [{}] }).into()),
        ("slug", json!({ "params": [{ "slug": "" }] }).into()),
        ("slug", json!({ "params": [{ "slug": ["a", "b"] }] }).into()),
        ("params", json!({ "paths": [] }).into()),
        ("object", json!({ "params": ["/blog/a"] }).into()),
        ("500", Reply::status(500)),
    ];
    for (part, list) in lists {
        h.up.list_reply("/blog/{slug}", list);
        h.launch.run(&["build"]).await.failure(&["/blog/{slug}", part]);
    }
    // It would be stored, and no URL would lead to it.
    h.up.list("/blog/{slug}", json!([{ "slug": "x".repeat(4096) }]));
    h.launch.run(&["build"]).await.failure(&["no visitor can reach", "PERENNIAL_MAX_PATH_BYTES"]);
    h.up.list("/blog/{slug}", json!([]));
    h.launch.run(&["build"]).await.success();
}

/// B15.192, B5.79: repetitions are rendered once; a page that does not exist yet is an entry that comes to life.
#[tokio::test]
async fn listed_twice_and_listed_but_missing() {
    let h = Host::new().await;
    h.up.list(
        "/blog/{slug}",
        json!([{ "slug": "a" }, { "slug": "a" }, { "slug": "gone" }, { "slug": "caf\u{e9}" }]),
    );
    h.up.list("/catch/{*all}", json!([{ "all": ["x", "y/z"] }]));
    h.up.on("/blog/gone", json!({ "not_found": true, "revalidate": 1 }));
    h.up.on("/blog/caf\u{e9}", json!({ "revalidate": false }));
    h.up.on("/catch/x/y/z", json!({ "revalidate": false }));
    let built = h.launch.run(&["build"]).await.success();
    assert_eq!(h.up.count("/blog/a"), 1, "{}", built.output);
    for path in ["/", "/never", "/maybe404", "/blog/a", "/blog/gone"] {
        assert_eq!(h.up.reasons(path), ["build"], "{path}");
    }
    assert_eq!(h.up.count("/ssr"), 0, "a dynamic route has nothing to build");
    h.up.on("/blog/gone", Reply::value("alive"));
    let site = h.launch.start().await;
    site.get("/blog/caf%C3%A9").await.expect(200, "HIT");
    site.get("/catch/x/y%2Fz").await.expect(200, "HIT");
    pass(Duration::from_millis(1100)).await;
    site.get("/blog/gone").await.expect(404, "STALE").holds("custom-404");
    assert_eq!(until_new(&site, "/blog/gone", "").await.expect(200, "HIT").value(), "alive");
}

/// Without a command: everything is built, then served.
#[tokio::test]
async fn no_command_means_build_and_start() {
    let h = Host::new().await;
    h.up.on("/", json!({ "revalidate": false }));
    let site = h.launch.serve_bare().await;
    assert_eq!(site.get("/").await.expect(200, "HIT").reason(), "build");
    site.stop().await.success();
}
