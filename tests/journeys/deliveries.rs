//! Rule 5: what was published is written down, and a delivery that comes again does nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use perennial::Clock as _;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use tests::until::until;
use tests::{Answer, Ask, Asks as _, Reply};

use crate::world::{World, ms, s};

async fn call(w: &World, query: &str) -> Answer {
    w.ask(Ask::new(Method::POST, format!("/api/revalidate?secret=test-secret&{query}"))).await
}

/// The journal, newest first.
async fn log(w: &World, query: &str) -> Value {
    w.get(&format!("/api/revalidate/log?secret=test-secret{query}")).await.expect(200, "").nostore().json()
}

/// A delivery of Standard Webhooks of that name, signed now.
fn delivery(w: &World, id: &str, target: &str, body: &str) -> Ask {
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
    let now_s = w.clock.now().0 / 1000;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{now_s}.{body}").as_bytes());
    Ask::new(Method::POST, target)
        .header("webhook-id", id)
        .header("webhook-timestamp", now_s.to_string())
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        .body(body.to_owned())
}

/// Who, what, when, how it went, and how long until visitors could see it; for those alone who know a secret.
#[tokio::test]
async fn every_publish_leaves_a_record() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let began = w.clock.now().0;
    let one = call(&w, "path=/never").await.expect(200, "").json();
    w.advance(s(1));
    let two = call(&w, "tag=red&path=/blog/a&mode=stale").await.expect(200, "").json();
    w.advance(s(1));
    w.up.next("/never", Reply::throw("no"));
    let three = call(&w, "path=/never&path=/blog/a").await.expect(500, "").json();
    assert_eq!(three["results"][0]["revalidated"], json!(false), "{three}");
    assert_eq!(three["results"][1]["revalidated"], json!(true), "{three}");

    let entries = log(&w.beside(), "").await["publishes"].clone();
    let ids: Vec<_> = [&three, &two, &one].iter().map(|answer| answer["id"].clone()).collect();
    let listed: Vec<_> = entries.as_array().expect("a list").iter().map(|e| e["id"].clone()).collect();
    assert_eq!(listed.iter().map(text).collect::<Vec<_>>(), ids.iter().map(text).collect::<Vec<_>>());
    assert_eq!((&entries[2]["went"], &entries[2]["at"]), (&json!("done"), &json!(began)), "{entries}");
    assert_eq!((&entries[2]["visible_ms"], &entries[2]["paths"]), (&json!(0), &json!(["/never"])));
    assert_eq!(entries[2]["key_id"], "9caf06bb", "the first eight digits of the secret's SHA-256: {entries}");
    assert_eq!((&entries[1]["mode"], &entries[1]["tags"]), (&json!("stale"), &json!(["tag:red"])));
    assert_eq!(entries[0]["went"], "failed");
    assert_eq!(entries[0]["visible_ms"], Value::Null, "what failed was never to be seen");
    let results = entries[0]["results"].as_array().expect("of each path");
    assert!(results[0]["error"].as_str().is_some_and(|e| e.contains("no")), "{entries}");
    assert_eq!(results[1], json!({ "path": "/blog/a" }));
    assert!(!entries.to_string().contains("test-secret"));

    let first = log(&w, "&limit=2").await;
    let next: String = form_urlencoded::byte_serialize(text(&first["next"]).as_bytes()).collect();
    let rest = log(&w, &format!("&limit=2&after={next}")).await;
    assert_eq!((&rest["publishes"][0], &rest["next"]), (&entries[2], &Value::Null));
    w.get("/api/revalidate/log").await.expect(401, "");
    w.get("/api/revalidate/log?secret=test-secret&limit=0").await.expect(400, "");
    w.advance(s(31 * 86_400));
    assert_eq!(log(&w, "").await["publishes"], json!([]), "kept for thirty days");
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What nobody was told is known of nothing; what somebody was told is, also once the journal has forgotten it.
#[tokio::test]
async fn an_id_that_was_never_given_is_unknown() {
    let w = World::new().await;
    let ask = async |id: &str| w.get(&format!("/api/revalidate/{id}?secret=test-secret")).await.nostore();
    let unknown = async |id: &str| {
        let told = ask(id).await.expect(404, "").json();
        let message = text(&told["message"]);
        assert!(message.contains(&format!("no publish `{id}` is known")), "{message}");
    };
    unknown("1").await;
    w.up.on("/tagged/a", json!({ "tags": ["red"], "revalidate": false }));
    w.get("/tagged/a").await.expect(200, "MISS");
    let id = call(&w, "tag=red").await.expect(202, "").json()["id"].as_u64().expect("a number");
    assert_eq!(ask(&id.to_string()).await.expect(200, "").json()["left"], json!(1));
    w.settle().await;
    for expected in [json!("done"), Value::Null] {
        let told = ask(&id.to_string()).await.expect(200, "").json();
        assert_eq!((&told["done"], &told["publish"]["went"]), (&json!(true), &expected), "{told}");
        for never in [0, id + 1, 999_999] {
            unknown(&never.to_string()).await;
        }
        unknown("p7-ab").await;
        w.advance(s(31 * 86_400));
    }
}

/// How long it took until visitors could see it counts from the arrival of the call to the end of the render.
#[tokio::test]
async fn the_time_to_visible_is_measured() {
    let w = World::new().await;
    let gate = tests::Gate::new();
    w.up.next("/never", Reply::value("new").behind(&gate));
    let publisher = w.begin(Ask::get(tests::answer::revalidate_target("/never")));
    w.up.wait_for_calls("/never", 1).await;
    // It is written beside the render, which does not wait for it.
    let entry = until("an entry", async || log(&w, "").await["publishes"].get(0).cloned()).await;
    assert_eq!(entry["went"], "begun", "while it is carried out");
    w.advance(ms(1200));
    gate.open();
    publisher.await.expect("joined").expect(200, "");
    let entries = log(&w, "").await;
    assert_eq!(entries["publishes"].as_array().expect("a list").len(), 1);
    assert_eq!(
        (&entries["publishes"][0]["went"], &entries["publishes"][0]["visible_ms"]),
        (&json!("done"), &json!(1200))
    );
}

/// A delivery that was carried out does nothing when it comes again, by whichever process; one that failed is carried
/// out again; another one, or the same at another address, is not taken for it.
#[tokio::test]
async fn a_delivery_is_carried_out_once() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    w.up.next("/never", Reply::throw("no"));
    let to = "/api/revalidate?path=/never";
    w.ask(delivery(&w, "msg_1", to, "{}")).await.expect(500, "");
    let done = w.ask(delivery(&w, "msg_1", to, "{}")).await.expect(200, "").json();
    assert_eq!(
        (done.get("duplicate"), w.up.count("/never")),
        (None, 3),
        "a failed one is tried again: {done}"
    );
    w.advance(s(86_400));
    for again in [&w, &w.beside()] {
        let answer = again.ask(delivery(&w, "msg_1", to, "{}")).await.expect(200, "").json();
        assert_eq!(answer, json!({ "revalidated": true, "duplicate": true, "id": done["id"] }));
    }
    assert_eq!(w.up.count("/never"), 3);
    let entries = log(&w, "").await;
    assert_eq!(entries["publishes"].as_array().expect("a list").len(), 2, "{entries}");
    let entry = &entries["publishes"][0];
    assert_eq!((&entry["provider"], &entry["delivery_id"]), (&json!("standard-webhooks"), &json!("msg_1")));

    for (id, to) in [("msg_2", to), ("msg_1", "/api/revalidate?path=/never&path=/blog/a")] {
        let answer = w.ask(delivery(&w, id, to, "{}")).await.expect(200, "").json();
        assert_eq!(answer.get("duplicate"), None, "{id} {to}: {answer}");
    }
    assert_eq!(w.up.count("/never"), 5);
    // A signature does not cover the method: who has seen a delivery could send it with another one.
    let cancels = Ask { method: Method::DELETE, ..delivery(&w, "msg_3", "/api/revalidate/p1-ab", "{}") };
    let refused = w.ask(cancels).await.expect(400, "").json();
    assert_eq!(refused["message"], "to cancel a publish needs a secret");
    // And so could the address, to read what was published: that needs a secret, too.
    for (method, target) in [
        (Method::GET, "/api/revalidate/log"),
        (Method::POST, "/api/revalidate/log?limit=5"),
        (Method::POST, "/api/revalidate/p1-ab"),
        (Method::GET, "/api/revalidate/1"),
        (Method::GET, "/api/publish/pages"),
        (Method::POST, "/api/publish/pages/"),
        (Method::GET, "/api/publish/events"),
    ] {
        let read = Ask { method, ..delivery(&w, "msg_4", target, "{}") };
        let refused = w.ask(read).await.expect(401, "").nostore().json();
        assert_eq!(refused, json!({ "message": "Invalid token" }), "{target}");
    }
    // Calls with a secret have no name, and are carried out as often as they come.
    for _ in 0..2 {
        call(&w, "path=/never").await.expect(200, "");
    }
    assert_eq!(w.up.count("/never"), 7);
}

/// Marking by a delivery is an invalidation, and comes once as well.
#[tokio::test]
async fn a_delivery_marks_once() {
    let w = World::new().await;
    w.up.on("/tagged/a", json!({ "tags": ["red"], "revalidate": false }));
    w.get("/tagged/a").await.expect(200, "MISS");
    let mark = || delivery(&w, "msg_1", "/api/revalidate?tag=red&mode=stale", "{}");
    w.ask(mark()).await.expect(200, "");
    w.get("/tagged/a").await.expect(200, "STALE");
    w.settle().await;
    assert_eq!(w.ask(mark()).await.expect(200, "").json()["duplicate"], json!(true));
    w.get("/tagged/a").await.expect(200, "HIT");
}

/// A delivery that is signed by the body alone.
fn signed_body(signature: &str, id: Option<(&str, &str)>, to: &str, body: &str) -> Ask {
    let mac = match signature {
        "webhook-signature" => hex(&mac_of::<Hmac<Sha1>>(body)),
        _ => hex(&mac_of::<Hmac<Sha256>>(body)),
    };
    let value = match signature {
        "x-hub-signature-256" => format!("sha256={mac}"),
        "x-shopify-hmac-sha256" => STANDARD.encode(mac_of::<Hmac<Sha256>>(body)),
        _ => mac,
    };
    let ask = Ask::new(Method::POST, to).header(signature, value).body(body.to_owned());
    id.into_iter().fold(ask, |ask, (name, id)| ask.header(name, id))
}

fn mac_of<M: Mac + KeyInit>(body: &str) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(b"test-secret").expect("a key");
    mac.chain_update(body).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who has seen a delivery whose time is not signed can send it under another id, or under none: it does nothing for five
/// minutes. Later it counts, because a sender whose bodies are all the same would else lose a publish.
#[tokio::test]
async fn a_delivery_is_known_by_its_body_for_five_minutes() {
    let w = World::new().await;
    let to = "/api/revalidate?path=/never";
    for (signature, id) in
        [("x-hub-signature-256", "x-github-delivery"), ("x-shopify-hmac-sha256", "x-shopify-webhook-id")]
    {
        let body = format!(r#"{{"id":"{id}"}}"#);
        let before = w.up.count("/never");
        let deliver = async |id: Option<&str>| {
            let ask = signed_body(signature, id.map(|value| (id_field(signature), value)), to, &body);
            w.ask(ask).await.expect(200, "").json()["duplicate"] == json!(true)
        };
        assert!(!deliver(Some("one")).await);
        for (later, id) in [(0, Some("two")), (0, None), (299, Some("three"))] {
            w.advance(s(later));
            assert!(deliver(id).await, "{signature} {id:?}");
        }
        w.advance(s(1));
        assert!(!deliver(Some("four")).await, "{signature}: for five minutes");
        w.advance(s(86_400));
        assert!(deliver(Some("one")).await, "{signature}: under its own id for three days");
        assert_eq!(w.up.count("/never"), before + 2);
        // Another body is another delivery.
        let other = signed_body(signature, None, to, "{}");
        assert_eq!(w.ask(other).await.expect(200, "").json().get("duplicate"), None);
        w.advance(s(3600));
    }
}

fn id_field(signature: &str) -> &'static str {
    if signature.starts_with("x-hub") { "x-github-delivery" } else { "x-shopify-webhook-id" }
}

/// The bodies of Storyblok are the same each time that a story is published: none may be lost.
#[tokio::test]
async fn a_story_may_be_published_twice_in_a_minute() {
    let w = World::new().await;
    let body = r#"{"action":"published","space_id":1,"story_id":2,"full_slug":"never"}"#;
    for published in 1..=2 {
        let ask = signed_body("webhook-signature", None, "/api/revalidate?path=/never", body);
        assert_eq!(w.ask(ask).await.expect(200, "").json().get("duplicate"), None);
        assert_eq!(w.up.count("/never"), published);
    }
}

/// What the same secret signs for another purpose is no delivery of a publisher that signs bodies alone.
#[tokio::test]
async fn what_is_signed_for_another_purpose_does_nothing() {
    let w = World::new().await;
    let until = w.clock.now().0 / 1000 + 60;
    for signature in ["x-hub-signature-256", "x-shopify-hmac-sha256", "webhook-signature"] {
        for signed in [
            format!("perennial draft v1:{until}"),
            until.to_string(),
            format!("{until}.{{}}"),
            format!("msg_1.{until}.{{}}"),
            "POST\n/api/revalidate\nx-contentful-timestamp:1\n{}".to_owned(),
        ] {
            let ask = signed_body(signature, None, "/api/revalidate?path=/never", &signed);
            let refused = w.ask(ask).await.expect(401, "").nostore().json();
            assert_eq!(refused, json!({ "message": "Invalid token" }), "{signature}: {signed}");
        }
    }
    assert_eq!(w.up.count_all(), 0);
}
