//! B4, B15. Panics of a site's own code: one escaped line in the log, and nothing else ends with them.

use perennial::{Context, Failure, Fallback, Outcome, Page, Route, Site};
use serde_json::json;
use tests::Asks as _;
use tests::until::until;

use crate::Host;

/// A message may hold what a stranger has typed. No part of it is a line of its own, or an order to a terminal.
#[tokio::test]
async fn b7_a_panic_is_one_escaped_line() {
    let h = Host::new().await;
    let path = "/blog/a%0AERROR%20forged%1B%5B2J";
    h.up.on("/blog/a\nERROR forged\u{1b}[2J", json!({ "panic": "no a\nERROR forged\u{1b}[2J" }));
    let site = h.launch.start().await;
    site.get(path).await.expect(500, "");
    let line = site.log.wait_for(&["panic: no a", "at="]).await;
    assert!(line.contains(r"no a\nERROR forged\u{1b}[2J") && line.contains("conformance.rs"), "{line}");
    let output = site.stop().await.success().output;
    assert!(output.lines().all(|line| !line.starts_with("ERROR forged")), "{output}");
    assert!(!output.contains('\u{1b}'), "{output:?}");
}

/// A listing that panics is like one that fails: the build fails and names the route, and what is live stays.
#[tokio::test]
async fn b8_a_listing_that_panics_fails_the_build() {
    let h = Host::new().await;
    h.up.list("/nofb/{slug}", json!([{ "slug": "a" }]));
    h.launch.run(&["build"]).await.success();
    h.up.list_reply("/nofb/{slug}", json!({ "panic": "no list\nof pages" }));
    let failed = h.launch.run(&["build"]).await;
    let parts = ["the build failed", r"/nofb/{slug}: panic: no list\nof pages"];
    assert_eq!(failed.failure(&parts).status.code(), Some(1), "it ends by itself");
    // A server of that build knows what was listed before.
    let site = h.launch.start().await;
    site.get("/nofb/a").await.expect(200, "HIT");
}

/// A server that has to ask the routes itself asks again until they can tell.
#[tokio::test]
async fn b8_a_listing_that_panics_is_tried_again() {
    let h = Host::new().await;
    h.up.list_reply("/nofb/{slug}", json!({ "panic": "no list" }));
    let site = h.launch.start().await;
    site.log.wait_for(&["/nofb/{slug}: panic: no list", "tried again"]).await;
    site.get("/nofb/a").await.expect(404, "");
    h.up.list("/nofb/{slug}", json!([{ "slug": "a" }]));
    until("the listed page", async || (site.get("/nofb/a").await.status == 200).then_some(())).await;
}

/// A shell is asked for at the start: one that panics keeps the site from being served, and its route is named.
#[test]
fn b8_a_shell_that_panics_is_a_mistake_of_the_site() {
    struct Shell;
    impl Page for Shell {
        type Props = ();
        async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> {
            Ok(Outcome::page(()))
        }
        fn render(&self, (): &(), _: &Context) -> Result<String, Failure> {
            Ok("page".into())
        }
        fn shell(&self) -> String {
            panic!("no shell")
        }
    }
    let site = |fallback| {
        let route = Route::new("/a/{slug}", Shell).fallback(fallback);
        Site::new().route(route).ready(None, None)
    };
    let error = site(Fallback::Shell).err().expect("a mistake").to_string();
    assert!(error.contains("the shell of route /a/{slug}: panic: no shell"), "{error}");
    assert!(site(Fallback::Blocking).is_ok(), "it is not asked for");
}
