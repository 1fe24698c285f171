//! The default shell: what a person sees of a page that nobody has generated, also when it cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use perennial::{Context, Failure, Fallback, Outcome, Page, Route, Site};
use serde_json::json;

use crate::Origin;
use crate::chromium::Browser;

const STATUS: &str = "document.querySelector('[role=status]')?.textContent";
const BUTTON: &str = "document.querySelector('button')";

/// Fails until it is mended, and counts its renders.
#[derive(Clone, Default)]
struct Broken {
    mended: Arc<AtomicBool>,
    renders: Arc<AtomicUsize>,
}

impl Page for Broken {
    type Props = String;

    async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
        self.renders.fetch_add(1, Ordering::SeqCst);
        match cx.param("name") {
            "missing" => Ok(Outcome::not_found()),
            _ if self.mended.load(Ordering::SeqCst) => Ok(Outcome::page("mended".to_owned())),
            _ => Err(Failure::new("the upstream is down")),
        }
    }

    fn render(&self, text: &String, _: &Context) -> Result<String, Failure> {
        Ok(format!("<!doctype html><title>Page</title><h1>{text}</h1>"))
    }
}

fn route(page: &Broken) -> Route {
    Route::new("/{name}", page.clone()).fallback(Fallback::Shell)
}

/// A browser in which waits between two tries take no time, and are noted.
async fn in_a_hurry() -> Browser {
    let mut browser = Browser::start().await;
    let source = "{ const wait = setTimeout; window.waits = []; \
                  window.setTimeout = (then, ms) => ms > 60000 ? wait(then, ms) : (waits.push(ms), wait(then, 0)); }";
    browser.order("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    browser
}

#[tokio::test]
async fn a_page_that_fails_is_tried_a_few_times_and_then_by_a_click() {
    let page = Broken::default();
    let origin = Origin::start(Site::new().route(route(&page))).await;
    let mut browser = in_a_hurry().await;
    browser.open(&origin.url("/a")).await;
    browser.wait(&format!("{STATUS} === 'This page cannot be loaded at the moment.'")).await;
    assert_eq!((origin.documents("/a"), origin.data()), (1, 6), "only a good answer reloads");
    assert_eq!(
        browser.value("waits.every((ms, n) => !n || ms > waits[n - 1])").await,
        true,
        "longer each time"
    );
    assert_eq!(browser.value(&format!("{BUTTON}.hidden")).await, false);
    for scheme in ["light", "dark"] {
        browser.look(390, scheme).await;
        let is_dark = "matchMedia('(prefers-color-scheme: dark)').matches";
        let light_text = "getComputedStyle(document.body).color === 'rgb(255, 255, 255)'";
        assert_eq!(browser.value(is_dark).await, browser.value(light_text).await, "{scheme}");
        browser.picture(&format!("shell-{scheme}")).await;
    }
    page.mended.store(true, Ordering::SeqCst);
    browser.value(&format!("{BUTTON}.click()")).await;
    browser.wait("document.querySelector('h1')?.textContent === 'mended'").await;
    assert_eq!(origin.documents("/a"), 2);
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[tokio::test]
async fn a_request_that_is_refused_is_told_and_tried_again() {
    let page = Broken::default();
    page.mended.store(true, Ordering::SeqCst);
    let origin = Origin::start(Site::new().route(route(&page))).await;
    let mut browser = in_a_hurry().await;
    browser.order("Network.enable", json!({})).await;
    browser.order("Network.setBlockedURLs", json!({ "urls": ["*.json*"] })).await;
    browser.open(&origin.url("/a")).await;
    browser.wait(&format!("{STATUS} === 'This page cannot be loaded at the moment.'")).await;
    assert_eq!((origin.documents("/a"), origin.data()), (1, 0));
    browser.order("Network.setBlockedURLs", json!({ "urls": [] })).await;
    browser.value(&format!("{BUTTON}.click()")).await;
    browser.wait("document.querySelector('h1')?.textContent === 'mended'").await;
}

/// It is answered for each request and never kept: its shell comes back after each reload.
#[tokio::test]
async fn a_page_that_is_not_stored_is_no_loop() {
    let page = Broken::default();
    page.mended.store(true, Ordering::SeqCst);
    let origin = Origin::start(Site::new().route(route(&page).max_stored(0))).await;
    let mut browser = in_a_hurry().await;
    browser.open(&origin.url("/a")).await;
    browser.wait(&format!("{STATUS} === 'This page cannot be shown at the moment.'")).await;
    assert_eq!((origin.documents("/a"), origin.data()), (3, 3));
}

/// A page that does not exist is an answer, too: it is stored, and shown after the reload.
#[tokio::test]
async fn a_page_that_does_not_exist_is_shown() {
    let page = Broken::default();
    let origin = Origin::start(Site::new().route(route(&page))).await;
    let mut browser = in_a_hurry().await;
    browser.open(&origin.url("/missing")).await;
    browser.wait("document.querySelector('h1')?.textContent === '404'").await;
    assert_eq!((origin.documents("/missing"), page.renders.load(Ordering::SeqCst)), (2, 1));
}
