//! The publishing page, as a publisher uses it.

use serde_json::json;
use tempfile::TempDir;
use tests::{Asks as _, Launch, Reply, Running, Upstream};

use crate::chromium::Browser;

/// A row of the table, by its page's path.
fn row(path: &str) -> String {
    format!(
        "[...document.querySelectorAll('#rows tr')].find((tr) => tr.querySelector('.page a')?.textContent === '{path}')"
    )
}

/// Whether a cell of that row says this.
fn says(path: &str, cell: &str, text: &str) -> String {
    format!("!!{}?.querySelector('{cell}')?.innerText.includes('{text}')", row(path))
}

struct Desk {
    up: Upstream,
    site: Running,
    browser: Browser,
    _store: TempDir,
}

impl Desk {
    async fn new(command: &str) -> Self {
        let up = Upstream::start().await;
        let store = tempfile::tempdir().expect("a temporary folder");
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up);
        let site = launch.serve(command).await;
        Self { up, site, browser: Browser::start().await, _store: store }
    }

    async fn open(&mut self) {
        let url = format!("http://{}/api/publish", self.site.client().addr);
        self.browser.open(&url).await;
    }

    /// Shows a secret at the door.
    async fn enter(&mut self, secret: &str) {
        self.browser.wait("document.activeElement.id === 'secret'").await;
        self.browser.type_text(secret).await;
        self.browser.press("Enter").await;
    }

    async fn pictures(&mut self, name: &str) {
        for (width, scheme) in [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")] {
            self.browser.look(width, scheme).await;
            self.browser.picture(&format!("{name}-{width}-{scheme}")).await;
        }
        self.browser.look(1440, "light").await;
    }

    fn no_complaints(&self) {
        assert!(self.browser.complaints.is_empty(), "{:#?}", self.browser.complaints);
    }
}

#[tokio::test]
async fn a_publisher_sees_what_fails_and_renews_it() {
    let mut desk = Desk::new("start").await;
    desk.up.on("/blog/markup", json!({ "revalidate": 3600, "tags": ["posts"] }));
    desk.up.on("/blog/gone", json!({ "not_found": true, "revalidate": 60 }));
    for path in ["/never", "/blog/markup", "/blog/caf%C3%A9", "/blog/gone", "/catch/%3Cimg%20src=x%3E"] {
        desk.site.get(path).await;
    }
    desk.open().await;
    desk.browser.wait("!document.getElementById('door').hidden").await;
    desk.pictures("door").await;
    desk.enter("wrong").await;
    desk.browser.wait("document.getElementById('refused').innerText.includes('not known')").await;
    desk.enter("test-secret").await;
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    desk.browser.wait("document.getElementById('live').innerText === 'Live'").await;
    desk.browser.wait(&says("/blog/gone", ".state", "404")).await;
    desk.browser.wait(&says("/catch/<img src=x>", ".generation", "1")).await;
    assert_eq!(desk.browser.value("document.images.length").await, 0, "a path is text");

    // The upstream breaks: the page says so by itself, in the upstream's words and not as markup.
    desk.up.on("/never", Reply::throw("<img src=x> the upstream is down"));
    desk.site.revalidate("/never").await.expect(500, "");
    desk.browser.wait(&says("/never", ".error", "<img src=x> the upstream is down")).await;
    desk.browser.wait(&says("/never", ".state", "Invalidated")).await;
    assert_eq!(desk.browser.value("document.images.length").await, 0, "a message is text");
    desk.pictures("failing").await;

    // It is mended: the new generation appears without loading anything again.
    desk.browser.value("window.same = true").await;
    desk.up.on("/never", Reply::value("mended"));
    desk.browser.value(&format!("{}.querySelector('.do button').click()", row("/never"))).await;
    desk.browser.wait("document.getElementById('calls').innerText.includes('Renewed')").await;
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    desk.browser.wait(&format!("{}.querySelector('.error').hidden", row("/never"))).await;
    desk.browser.wait(&format!("Number({}.querySelector('.generation').innerText) > 1", row("/never"))).await;
    assert_eq!(desk.site.get("/never").await.expect(200, "HIT").value(), "mended");
    assert_eq!(desk.browser.value("window.same").await, true, "it was loaded again");
    desk.pictures("renewed").await;
    desk.no_complaints();
}
