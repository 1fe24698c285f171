//! The publishing page, as a publisher uses it.

use std::time::Duration;

use perennial::parts::base::rfc3339::to_rfc3339;
use perennial::{Clock as _, SystemClock};
use serde_json::json;
use tempfile::TempDir;
use tests::{Ask, Asks as _, Gate, Launch, Reply, Running, Upstream};

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
        Self::with(command, &[]).await
    }

    async fn with(command: &str, env: &[(&str, &str)]) -> Self {
        let up = Upstream::start().await;
        let store = tempfile::tempdir().expect("a temporary folder");
        let launch = Launch::new(env!("CARGO_BIN_EXE_conformance-site"), store.path(), &up);
        let launch = env.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
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
    desk.browser.wait("document.getElementById('refused').innerText.includes('not accepted')").await;
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
    desk.browser.wait("document.querySelector('#calls .layers')?.innerText.includes('stored')").await;
    desk.browser.wait("document.querySelectorAll('#news li').length === 2").await;
    desk.browser.wait("document.querySelector('#news li')?.innerText.includes('visible after')").await;
    desk.browser
        .wait("document.querySelector('#news li:last-child').innerText.includes('<img src=x>')")
        .await;
    desk.pictures("renewed").await;
    desk.no_complaints();

    // A reload needs no secret again; forgetting it does.
    desk.open().await;
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    assert_eq!(
        desk.browser.value("location.href.includes('secret') || document.cookie.includes('secret')").await,
        false
    );
    desk.browser.value("document.getElementById('forget').click()").await;
    desk.browser
        .wait(
            "document.getElementById('desk').hidden && document.getElementById('rows').children.length === 0",
        )
        .await;
    desk.open().await;
    desk.browser.wait("!document.getElementById('door').hidden").await;
}

/// Many pages at once, by a tag, with what is left of them; and by keys alone.
#[tokio::test]
async fn a_call_for_many_pages_shows_how_far_it_is() {
    let mut desk = Desk::new("start").await;
    let post = |n: usize| json!({ "revalidate": 3600, "tags": ["posts"], "value": n.to_string() });
    for n in 0..6 {
        desk.up.on(&format!("/blog/{n}"), post(n));
        desk.site.get(&format!("/blog/{n}")).await;
    }
    let gate = Gate::new();
    for n in 3..6 {
        desk.up.on(&format!("/blog/{n}"), Reply::from(post(n)).behind(&gate));
    }
    desk.open().await;
    desk.enter("test-secret").await;
    desk.browser.wait(&says("/blog/5", ".state", "fresh")).await;
    desk.browser.value("document.querySelector('#kinds input').focus()").await;
    desk.browser.press("ArrowDown").await;
    desk.browser.wait("document.getElementById('name-label').innerText === 'Tag'").await;
    desk.browser.press("Tab").await;
    desk.browser.type_text("posts").await;
    desk.browser.press("Enter").await;
    desk.browser.wait("document.getElementById('calls').innerText.includes('3 of 6 pages renewed')").await;
    desk.browser.wait(&says("/blog/4", ".running", "rendering now")).await;
    desk.pictures("progress").await;
    desk.browser
        .wait("document.querySelector('#news li')?.innerText.includes('renewing, 3 of 6 pages')")
        .await;
    gate.open();
    desk.browser.wait("document.getElementById('calls').innerText.includes('All 6 pages are renewed')").await;
    desk.browser.wait("document.querySelector('#calls .layers')?.innerText.includes('stored')").await;
    desk.browser.wait("document.querySelector('#news li')?.innerText.includes('visible after')").await;
    desk.browser
        .wait(&format!("Number({}.querySelector('.generation').innerText) > 1", row("/blog/5")))
        .await;

    // What is typed is looked for.
    desk.browser.value("document.getElementById('prefix').focus()").await;
    desk.browser.type_text("/blog/5").await;
    desk.browser.wait("document.getElementById('count').innerText === '1 page'").await;
    desk.no_complaints();
}

/// Publishes what is typed, as a kind of thing: a page, a tag.
async fn publish(desk: &mut Desk, kind: &str, name: &str) {
    desk.browser.value(&format!("document.querySelector('#kinds input[value={kind}]').click()")).await;
    desk.browser
        .value("document.getElementById('name').value = ''; document.getElementById('name').focus()")
        .await;
    desk.browser.type_text(name).await;
    desk.browser.press("Enter").await;
}

/// More pages than a call itself looks at, of which some fail; a tag and a page that there are not.
#[tokio::test]
async fn what_a_call_came_to_is_told_as_it_is() {
    let mut desk = Desk::with("start", &[("PERENNIAL_MAX_CONCURRENT_RENDERS", "1")]).await;
    desk.up.otherwise(|_| json!({ "revalidate": 3600, "tags": ["posts"] }).into());
    for n in 0..130 {
        desk.site.get(&format!("/blog/{n:03}")).await;
    }
    for n in 20..23 {
        desk.up.on(&format!("/blog/{n:03}"), Reply::throw("no luck"));
    }
    desk.open().await;
    desk.enter("test-secret").await;
    desk.browser.wait(&says("/blog/000", ".state", "fresh")).await;
    // Whatever is said at any moment is kept.
    let source = "window.said = []; new MutationObserver(() => said.push(document.getElementById('calls').innerText)).observe(\
                  document.getElementById('calls'), { subtree: true, childList: true, characterData: true })";
    desk.browser.value(source).await;
    publish(&mut desk, "tag", "posts").await;
    let calls = |text: &str| format!("document.querySelector('#calls li')?.innerText.includes('{text}')");
    desk.browser.wait(&calls("127 of 130 pages renewed, 3 failed")).await;
    desk.browser.wait(&calls("/blog/021 no luck")).await;
    desk.browser.wait("!document.querySelector('#calls progress')").await;
    desk.browser
        .wait("document.querySelector('#news li')?.innerText.includes('done with failures, 3 of 130 pages')")
        .await;
    let first_failure = "document.querySelector('#news li .bad')?.innerText.includes('/blog/020: no luck')";
    desk.browser.wait(first_failure).await;
    let told = "said.join(' ').match(/-?\\d+ of \\d+/g).map((pair) => pair.split(' of ').map(Number))";
    let is_so = format!("{told}.every(([done, whole]) => done >= 0 && done <= whole && whole === 130)");
    assert_eq!(desk.browser.value(&is_so).await, true, "{}", desk.browser.value("said").await);
    desk.pictures("failures").await;

    publish(&mut desk, "tag", "psots").await;
    desk.browser.wait(&calls("No page carries the tag psots; did you mean posts?")).await;
    desk.browser.wait(&calls("untouched")).await;
    desk.up.on("/blog/none", json!({ "not_found": true }));
    publish(&mut desk, "path", "/blog/none").await;
    desk.browser.wait(&calls("Renewed: it is a 404 now")).await;
    desk.pictures("mistyped").await;
    desk.no_complaints();
}

#[tokio::test]
async fn deleting_asks_first() {
    let mut desk = Desk::new("start").await;
    desk.site.get("/never").await;
    desk.open().await;
    desk.enter("test-secret").await;
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    let summary = format!("{}.querySelector('summary')", row("/never"));
    desk.browser.value(&format!("{summary}.focus()")).await;
    desk.browser.press("Space").await;
    desk.browser.wait(&format!("{summary}.parentNode.open")).await;
    desk.pictures("menu").await;
    let delete = format!("{}.querySelector('.danger').click()", row("/never"));
    desk.browser.value(&delete).await;
    desk.browser.wait("document.getElementById('sure').open && document.activeElement.id === 'no'").await;
    desk.pictures("sure").await;
    desk.browser.press("Enter").await;
    desk.browser.wait("!document.getElementById('sure').open").await;
    desk.site.get("/never").await.expect(200, "HIT");
    desk.browser.value(&delete).await;
    desk.browser.wait("document.getElementById('sure').open").await;
    desk.browser.value("document.getElementById('yes').click()").await;
    desk.browser.wait(&says("/never", ".state", "deleted")).await;

    desk.site.get("/never").await.expect(200, "MISS");
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    desk.browser.value("document.querySelector('#kinds [value=site]').click()").await;
    desk.browser.value("document.getElementById('mode').value = 'delete'").await;
    desk.browser.value("document.getElementById('publish').click()").await;
    desk.browser
        .wait("document.getElementById('sure').innerText.includes('Every page of the site is gone')")
        .await;
    desk.browser.value("document.getElementById('yes').click()").await;
    desk.browser.wait("document.getElementById('calls').innerText.includes('Deleted: 1 page,')").await;
    desk.browser.wait(&says("/never", ".state", "deleted")).await;
    desk.no_complaints();
}

/// What a CMS has planned for later is shown, and can be called off.
#[tokio::test]
async fn what_is_planned_can_be_called_off() {
    let mut desk = Desk::new("start").await;
    desk.site.get("/never").await;
    let call =
        |more: &str| Ask::get(format!("/api/revalidate{more}")).header("authorization", "Bearer test-secret");
    let at = to_rfc3339(SystemClock.now().plus(Duration::from_secs(7200)));
    let planned = desk.site.ask(call(&format!("?path=/never&at={at}"))).await.expect(202, "").json();
    desk.open().await;
    desk.enter("test-secret").await;
    let button = "document.querySelector('#news button')";
    desk.browser.wait(&format!("{button}?.parentNode.innerText.includes('key ')")).await;
    desk.pictures("planned").await;
    desk.browser.value(&format!("{button}.click()")).await;
    desk.browser.wait("document.getElementById('calls').innerText.includes('Cancelled')").await;
    desk.browser.wait("document.getElementById('news').innerText.includes('cancelled')").await;
    desk.browser.wait(&format!("!{button}")).await;
    let id = planned["id"].as_str().expect("an id");
    let told = desk.site.ask(call(&format!("/{id}"))).await.expect(200, "").json();
    assert_eq!(told["publish"]["went"], json!("cancelled"), "{told}");
    desk.no_complaints();
}

/// A draft's cookie comes without the secret in any address; and the site's own pages open in other tabs.
#[tokio::test]
async fn a_draft_is_opened_and_ended() {
    let mut desk = Desk::new("start").await;
    desk.site.get("/never").await;
    desk.up.on("/never", Reply::value("unpublished"));
    desk.open().await;
    desk.enter("test-secret").await;
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    let link = format!("{}.querySelector('.page a')", row("/never"));
    assert_eq!(desk.browser.value(&format!("{link}.target + {link}.rel")).await, "_blanknoopener");
    let open = "[...document.querySelectorAll('.more button')].find((b) => b.innerText === 'Open a draft' || b.ariaLabel === 'Open a draft /never').click()";
    desk.browser.value(open).await;
    desk.browser.wait("document.querySelectorAll('#calls .said a').length === 2").await;
    let links = desk
        .browser
        .value("[...document.querySelectorAll('#calls .said a')].map((a) => a.getAttribute('href'))")
        .await;
    assert_eq!(links, json!(["/never", "/api/draft/clear?path=%2Fnever"]));
    let shown =
        "fetch('/never').then((answer) => answer.text()).then((text) => text.includes('unpublished'))";
    desk.browser.wait(shown).await;
    desk.browser.value("fetch('/api/draft/clear?path=/never').then((answer) => answer.status)").await;
    assert_eq!(desk.browser.value(shown).await, false);
    desk.no_complaints();
}

/// A long list by and by, there and back.
#[tokio::test]
async fn a_long_list_has_pages_of_its_own() {
    let mut desk = Desk::new("start").await;
    for n in 10..65 {
        desk.site.get(&format!("/blog/{n}")).await;
    }
    desk.open().await;
    desk.enter("test-secret").await;
    desk.browser.wait(&says("/blog/10", ".generation", "1")).await;
    let rows = "document.querySelectorAll('#rows tr').length";
    desk.browser.wait(&format!("{rows} === 50")).await;
    desk.browser.value("document.getElementById('more').click()").await;
    desk.browser.wait(&says("/never", ".next", "first visit")).await;
    desk.browser.wait(&format!("{rows} === 8 && document.getElementById('more').hidden")).await;
    desk.browser.value("document.getElementById('back').click()").await;
    desk.browser.wait(&says("/blog/10", ".generation", "1")).await;
    desk.browser.wait(&format!("{rows} === 50 && document.getElementById('back').hidden")).await;
    desk.no_complaints();
}

/// A server without places for listeners: the page looks every few seconds, and says so.
#[tokio::test]
async fn without_events_it_looks_now_and_then() {
    let mut desk = Desk::with("start", &[("PERENNIAL_MAX_LISTENERS", "0")]).await;
    desk.open().await;
    desk.enter("test-secret").await;
    desk.browser.wait("document.getElementById('live').innerText === 'Updated every 3 s'").await;
    desk.site.get("/never").await;
    desk.browser.wait(&says("/never", ".state", "fresh")).await;
    desk.no_complaints();
}

/// Under development no secret is asked for, and a page that cannot be rendered says why.
#[tokio::test]
async fn devs_page_opens_by_itself() {
    let mut desk = Desk::new("dev").await;
    desk.up.list("/blog/{slug}", json!([{ "slug": "a" }]));
    desk.up.on("/blog/a", Reply::throw("the cause"));
    desk.open().await;
    desk.browser.wait(&says("/blog/a", ".state", "rendered each time")).await;
    desk.browser.value(&format!("{}.querySelector('.do button').click()", row("/blog/a"))).await;
    desk.browser.wait("document.getElementById('calls').innerText.includes('the cause')").await;
    desk.up.on("/blog/a", Reply::value("v"));
    desk.browser.value(&format!("{}.querySelector('.do button').click()", row("/blog/a"))).await;
    desk.browser.wait("document.getElementById('calls').innerText.includes('It can be rendered')").await;
    desk.pictures("dev").await;
    desk.no_complaints();
}
