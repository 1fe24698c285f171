//! Publishers of a deployed site, through its distribution and past it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use perennial::parts::base::rfc3339::to_rfc3339;
use perennial::{Clock as _, SystemClock};
use serde_json::json;
use sha2::Sha256;
use tests::until::{soon, until};
use tests::{Ask, Asks as _, Gate, Reply};

use super::stack::Door;
use crate::on_demand::success;
use crate::{Fixture, until_new, webhooks};

const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn call(secret: &str, body: &str) -> Ask {
    let ask = Ask::new(Method::POST, "/api/revalidate").header("content-type", "application/json");
    ask.header("authorization", format!("Bearer {secret}")).body(body.to_owned())
}

/// A delivery of Standard Webhooks, signed now. Each has a name of its own: under the same one it would be the same
/// delivery once more.
fn signed(target: &str, content_type: &str, body: &str) -> Ask {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let id = format!("msg_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).expect("base64")).expect("a key");
    mac.update(format!("{id}.{now}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Ask::new(Method::POST, target)
        .header("content-type", content_type)
        .header("webhook-id", id)
        .header("webhook-timestamp", now.to_string())
        .header("webhook-signature", format!("v1,{signature}"))
        .body(body.to_owned())
}

/// A page is renewed before the call is answered, and the distribution is told by the page's tag; by either way.
#[tokio::test]
async fn a_call_renews_a_page_and_tells_the_distribution() {
    let f = Fixture::start().await;
    f.get("/never").await.expect(200, "MISS");
    for (i, door) in [f.cloudfront(), f.direct()].iter().enumerate() {
        f.up.on("/never", Reply::value(&format!("new {i}")));
        success(door.ask(call("test-secret", r#"{"path":"/never"}"#)).await);
        assert_eq!(f.cloudfront().get("/never").await.expect(200, "HIT").value(), format!("new {i}"));
        let orders = f.orders().await;
        assert_eq!((orders.len(), &*orders[0]), (i + 1, &["#path:/never".to_owned()][..]));
    }
    assert_eq!(f.up.reasons("/never"), ["first", "on-demand", "on-demand"]);
}

/// The method reaches the function by either way, too.
#[tokio::test]
async fn a_scheduled_call_can_be_cancelled() {
    let f = Fixture::start().await;
    for door in [f.cloudfront(), f.direct()] {
        let later = call("test-secret", &json!({ "path": "/never", "at": in_an_hour() }).to_string());
        let id = door.ask(later).await.expect(202, "").json()["id"].as_str().expect("a name").to_owned();
        let cancel = Ask { method: Method::DELETE, ..call("test-secret", "") };
        let cancel = Ask { target: format!("/api/revalidate/{id}"), ..cancel };
        let answer = door.ask(cancel.clone()).await.expect(200, "").nostore().json();
        assert_eq!((&answer["cancelled"], &answer["publish"]["went"]), (&json!(true), &json!("cancelled")));
        let unknown = Ask { target: "/api/revalidate/p1-ab".to_owned(), ..cancel };
        door.ask(unknown).await.expect(404, "");
    }
}

fn in_an_hour() -> String {
    to_rfc3339(SystemClock.now().plus(Duration::from_secs(3600)))
}

/// The publishing page, by either way, lists what the table holds.
#[tokio::test]
async fn publishers_see_pages() {
    let f = Fixture::start().await;
    f.get("/blog/a").await.expect(200, "MISS");
    for door in [f.cloudfront(), f.direct()] {
        door.get("/api/publish").await.expect(200, "").nostore().holds("<title>Publishing</title>");
        door.get("/api/publish/pages").await.expect(401, "").nostore();
        let ask = |target: &str| Ask::get(target).header("authorization", "Bearer test-secret");
        until("the page in the index", async || {
            let list =
                door.ask(ask("/api/publish/pages?prefix=/blog/")).await.expect(200, "").nostore().json();
            (list["pages"][0]["path"] == "/blog/a").then_some(())
        })
        .await;
        door.ask(ask("/api/publish/events")).await.expect(501, "").nostore();
    }
}

/// B3.33: nothing is done without a right secret.
#[tokio::test]
async fn a_wrong_secret_does_nothing() {
    let f = Fixture::start().await;
    let page = f.get("/never").await.expect(200, "MISS");
    for door in [f.cloudfront(), f.direct()] {
        let body = r#"{"path":"/never"}"#;
        let none = Ask::new(Method::POST, "/api/revalidate").body(body);
        for ask in [call("wrong", body), none, Ask::get("/api/revalidate?secret=wrong&path=/never")] {
            let answer = door.ask(ask).await.nostore();
            assert_eq!(
                (answer.status, answer.json()),
                (401, json!({ "message": "Invalid token" })),
                "{answer}"
            );
        }
    }
    assert_eq!(f.get("/never").await.expect(200, "HIT").id(), page.id());
    assert!(f.orders().await.is_empty());
}

/// A signed delivery is right as the bytes that were sent, whatever the functions' URL makes of them.
#[tokio::test]
async fn a_signed_delivery_renews_pages() {
    let f = Fixture::with(&[("PERENNIAL_REVALIDATE_SECRETS", &format!("test-secret,whsec_{KEY}"))]).await;
    let doors: [Door<'_>; 2] = [f.cloudfront(), f.direct()];
    for (i, content_type) in
        ["application/json", "application/vnd.cms+json", "text/plain; charset=utf-8"].iter().enumerate()
    {
        let value = format!("caf\u{e9} {i}");
        f.up.on("/never", Reply::value(&value));
        let body = format!("{{ \"title\":  \"{value}\" }}\n");
        let door = &doors[i % 2];
        success(door.ask(signed("/api/revalidate?path=/never", content_type, &body)).await);
        assert_eq!(f.get("/never").await.expect(200, "HIT").value(), value);
        let mut forged = signed("/api/revalidate?path=/never", content_type, &body);
        forged.body = body.trim_end().to_owned().into();
        assert_eq!(door.ask(forged).await.status, 401, "{content_type}");
    }
    // The same delivery once more, to another process.
    let again = signed("/api/revalidate?path=/never", "text/plain", "{}");
    success(doors[0].ask(again.clone()).await);
    let answer = doors[1].ask(again).await;
    assert_eq!((answer.status, answer.json()["duplicate"].clone()), (200, json!(true)), "{answer}");
    assert_eq!((f.up.count("/never"), f.up.count_all()), (4, 4));
}

/// Many pages by one tag: one write, one order, and the queue renews them; how far that is can be asked for.
#[tokio::test]
async fn a_tag_renews_its_pages_through_the_queue() {
    let f = Fixture::start().await;
    let pages: Vec<_> = (0..12).map(|i| format!("/tagged/{i}")).collect();
    f.up.otherwise(|_| json!({ "value": "old", "tags": ["posts"] }).into());
    for page in &pages {
        f.get(page).await.expect(200, "MISS");
    }
    let gate = Gate::new();
    let behind = gate.clone();
    f.up.otherwise(move |_| Reply::from(json!({ "value": "new", "tags": ["posts"] })).behind(&behind));
    let answer = f.cloudfront().ask(call("test-secret", r#"{"tags":["posts"]}"#)).await;
    assert_eq!(answer.status, 202, "{answer}");
    assert_eq!(f.orders().await, [["#tag:posts"]]);
    // Nobody waits for it.
    assert_eq!(f.get(&pages[3]).await.expect(200, "STALE").value(), "old");
    let progress = format!("/api/revalidate/{}", answer.json()["id"]);
    let left = async || {
        f.cloudfront().ask(Ask::get(progress.as_str()).header("authorization", "Bearer test-secret")).await
    };
    assert_eq!(left().await.json()["left"], 12);
    gate.open();
    until("all pages are renewed", async || (left().await.json()["left"] == 0).then_some(())).await;
    for page in &pages {
        let answer = f.get(page).await.expect(200, "HIT");
        // The one whose visitor has it rendered is not waited for: that render may have begun before the call.
        let renders = if *page == pages[3] { 2..=3 } else { 2..=2 };
        assert_eq!(answer.value(), "new", "{page}");
        assert!(renders.contains(&f.up.count(page)), "{page}: {}", f.up.count(page));
    }
}

/// B3.48, invariants 2 and 4: a renewal under way began before the call, so the call overtakes it; the older render is
/// finished later and never shown.
#[tokio::test]
async fn a_call_overtakes_a_renewal() {
    let f = Fixture::start().await;
    f.up.on("/blog/a", json!({ "value": "old", "revalidate": 1 }));
    let old = f.get("/blog/a").await.expect(200, "MISS");
    tests::until::pass(std::time::Duration::from_millis(1100)).await;
    let gate = Gate::new();
    f.up.next("/blog/a", Reply::from(json!({ "value": "late", "revalidate": 60 })).behind(&gate));
    f.get("/blog/a").await.expect(200, "STALE");
    f.up.wait_for_calls("/blog/a", 2).await;
    f.up.on("/blog/a", json!({ "value": "new", "revalidate": 60 }));
    success(f.cloudfront().ask(call("test-secret", r#"{"path":"/blog/a"}"#)).await);
    let new = until_new(&f, "/blog/a", &old.id()).await.expect(200, "HIT");
    assert_eq!(new.value(), "new");
    gate.open();
    f.until_worked().await;
    assert_eq!(f.get("/blog/a").await.expect(200, "HIT").id(), new.id());
    assert_eq!(f.up.count("/blog/a"), 3);
}

/// B3.51: calls in a process each. However many come while one renders, one more render does for all of them.
#[tokio::test]
async fn simultaneous_calls_share_renders() {
    let f = Fixture::start().await;
    f.get("/never").await.expect(200, "MISS");
    let gate = Gate::new();
    f.up.next("/never", Reply::value("first").behind(&gate));
    f.up.on("/never", Reply::value("second"));
    let client = f.site.client();
    let call = || tokio::spawn(async move { client.revalidate("/never").await });
    let mut calls = vec![call()];
    f.up.wait_for_calls("/never", 2).await;
    calls.extend((0..4).map(|_| call()));
    until("all calls have marked the page", async || (f.epoch().await == 5).then_some(())).await;
    gate.open();
    for call in calls {
        success(soon("a call", call).await.expect("joined"));
    }
    assert_eq!(f.get("/never").await.expect(200, "HIT").value(), "second");
    assert_eq!(f.up.count("/never"), 3, "renders: the visitor's, and two for five calls");
}

/// Contentful signs the address as it knows it, and the functions have to see that one: through the distribution, past
/// it, and with a query.
#[tokio::test]
async fn what_is_signed_of_the_address_is_what_arrives() {
    let f = webhooks::site().await;
    let doors: [Door<'_>; 2] = [f.cloudfront(), f.direct()];
    for door in doors {
        for target in ["/api/revalidate", "/api/revalidate?path=/blog/a&mode=stale"] {
            let answer = door.ask(webhooks::delivery("contentful", target)).await;
            assert_eq!(answer.json()["revalidated"], true, "{target}: {answer}");
            let mut elsewhere = webhooks::delivery("contentful", target);
            elsewhere.target = "/api/revalidate?path=/blog/b".to_owned();
            assert_eq!(door.ask(elsewhere).await.status, 401, "{target}");
        }
    }
    assert_eq!(f.up.count("/blog/b"), 0);
}

/// What signs bodies is right by either way, as the bytes that were sent.
#[tokio::test]
async fn every_publishers_signature_arrives() {
    let f = webhooks::site().await;
    for name in [
        "ghost",
        "github",
        "hygraph",
        "kontent_ai",
        "sanity",
        "shopify",
        "storyblok",
        "stripe",
        "woocommerce",
    ] {
        for door in [f.cloudfront(), f.direct()] {
            let delivery = webhooks::delivery(name, "/api/revalidate");
            let mut forged = delivery.clone();
            forged.body = [&forged.body[..], b" "].concat().into();
            assert_eq!(door.ask(forged).await.status, 401, "{name}");
            // By the second way it may be the same delivery, which is known after its signature is found right.
            let answer = door.ask(delivery).await;
            assert_eq!(answer.json()["revalidated"], true, "{name}: {answer}");
        }
    }
}

/// A site under a base path has its publishers' addresses there, as its drafts' banners say.
#[tokio::test]
async fn publishers_come_by_the_base_path() {
    let f = Fixture::with(&[("PERENNIAL_BASE_PATH", "/docs")]).await;
    f.cloudfront().get("/docs/never").await.expect(200, "MISS");
    f.up.on("/never", Reply::value("new"));
    let ask = Ask::new(Method::POST, "/docs/api/revalidate").header("authorization", "Bearer test-secret");
    success(f.cloudfront().ask(ask.body(r#"{"path":"/never"}"#)).await);
    assert_eq!(f.cloudfront().get("/docs/never").await.expect(200, "HIT").value(), "new");
    let left = f.cloudfront().get("/docs/api/draft/clear?path=/never").await.expect(307, "");
    assert_eq!(left.header("location"), "/docs/never");
}
