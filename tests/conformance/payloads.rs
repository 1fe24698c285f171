//! B3, rule 5.8: what publishers really send: escapes, whole URLs, batches, fields that are missing, forms, marks of byte
//! order, long numbers. The payloads and the rules are in `tests/payloads`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tests::{Answer, Ask, Asks as _, Reply};

use crate::{Fixture, until_new};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/payloads");
const RULES: (&str, &str) =
    ("PERENNIAL_WEBHOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/payloads/rules.json"));
const SECRETS: (&str, &str) = ("PERENNIAL_REVALIDATE_SECRETS", "test-secret,of-github");
const FORM: &str = "application/x-www-form-urlencoded";

async fn site() -> Fixture {
    Fixture::with(&[RULES, SECRETS]).await
}

fn payload(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}.json")).expect("a payload")
}

fn post(target: &str, body: impl Into<Vec<u8>>) -> Ask {
    let ask = Ask::new(Method::POST, format!("/api/revalidate{target}")).body(body.into());
    ask.header("authorization", "Bearer test-secret")
}

/// A delivery of GitHub's, signed over its raw body.
fn push(content_type: &str, event: &str, body: &str) -> Ask {
    let mac = Hmac::<Sha256>::new_from_slice(b"of-github").expect("a key").chain_update(body);
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ask::new(Method::POST, "/api/revalidate")
        .header("content-type", content_type)
        .header("x-github-event", event)
        .header("x-github-delivery", format!("{event}-{signature}"))
        .header("x-hub-signature-256", format!("sha256={signature}"))
        .body(body.to_owned())
}

/// A delivery that was carried out: 200, and what it says.
async fn done(f: &Fixture, ask: Ask) -> Value {
    let answer = f.ask(ask).await.nostore();
    assert_eq!((answer.status, &answer.json()["revalidated"]), (200, &json!(true)), "{answer}");
    answer.json()
}

/// A delivery that was taken and names nothing: 200, and why.
async fn nothing(f: &Fixture, ask: Ask) -> Value {
    let answer = f.ask(ask).await.nostore();
    let found = (answer.status, &answer.json()["revalidated"], &answer.json()["message"]);
    assert_eq!(found, (200, &json!(false), &json!("nothing matched")), "{answer}");
    answer.json()["left_out"].clone()
}

/// Pages as they are before a delivery; the next render of each shows something new.
async fn stored<const N: usize>(f: &Fixture, paths: [&str; N]) -> [Answer; N] {
    let mut pages = Vec::new();
    for path in paths {
        pages.push(f.get(path).await.expect(200, "MISS"));
    }
    pages.try_into().expect("as many")
}

/// A1: a slug that is percent-encoded, in lower case, is the page whose slug decodes to the same text.
#[tokio::test]
async fn a_slug_that_is_encoded_is_decoded_once() {
    let f = site().await;
    let path = "/blog/%D8%B1%D8%AD%D9%84%D8%A9-1";
    let [old] = stored(&f, [path]).await;
    let answer = done(&f, post("", payload("wordpress"))).await;
    assert_eq!(answer["path"], path, "{answer}");
    assert_ne!(f.get(path).await.expect(200, "HIT").id(), old.id());
    assert_eq!(f.up.count_all(), 2, "and no other page");
    for (slug, path) in [("100%", "/blog/100%25"), ("a%2Fb", "/blog/a%2Fb"), ("a+b", "/blog/a%2Bb")] {
        let body = json!({"post": {"post_type": "post", "post_name": slug}}).to_string();
        assert_eq!(done(&f, post("", body)).await["path"], path);
    }
    let body = json!({"post": {"post_type": "post", "post_name": "%00"}}).to_string();
    assert!(nothing(&f, post("", body)).await.to_string().contains("with a NUL"));
}

/// A2: a whole URL is the page at its path, the home page too; that of another site is left out, and told.
#[tokio::test]
async fn whole_urls_name_pages() {
    let f = site().await;
    let answer = done(&f, post("?only_generated=true", payload("url"))).await;
    assert_eq!(answer["revalidated"], true);
    let told = |answer: &Value| answer["left_out"].to_string();
    assert!(told(&answer).contains("no route of the site accepts the path `/guides/a`"), "{answer}");
    assert!(told(&answer).contains("`/guides/caf%C3%A9`"), "{answer}");
    assert_eq!(answer["path"], "/", "{answer}");
    let urls = [
        ("https://www.example.org/catch/caf%C3%A9", "/catch/caf%C3%A9"),
        ("https://www.example.org/catch/a?utm_source=mail#top", "/catch/a"),
        ("http://WWW.example.org:80/catch/b%2Fc/", "/catch/b%2Fc"),
        ("//www.example.org/catch/d", "/catch/d"),
    ];
    for (url, path) in urls {
        let answer = done(&f, post("", json!({"pages": [{"url": url}]}).to_string())).await;
        assert_eq!(answer["path"], path, "{url}: {answer}");
    }
    let elsewhere = json!({"pages": [{"url": "https://evil.example/catch/a"}]}).to_string();
    assert!(nothing(&f, post("", elsewhere)).await.to_string().contains("evil.example"));
}

/// A3: each element of a batch is treated by its own type and action; an odd one takes away nothing.
#[tokio::test]
async fn each_element_of_a_batch_is_judged_by_itself() {
    let f = site().await;
    let [kept, _gone, somebody] = stored(&f, ["/blog/kept", "/blog/gone", "/blog/somebody"]).await;
    f.up.otherwise(|_| Reply::from(json!({"value": "new", "revalidate": false})));
    let answer = done(&f, post("", payload("batch"))).await;
    assert_eq!(answer["rules"], json!(["published", "unpublished"]));
    assert!(
        answer["left_out"][0].as_str().is_some_and(|why| why.starts_with("/notifications/2: ")),
        "{answer}"
    );
    assert_ne!(f.get("/blog/kept").await.expect(200, "HIT").id(), kept.id());
    f.get("/blog/gone").await.expect(200, "MISS");
    assert_eq!(f.get("/blog/somebody").await.id(), somebody.id());
    // Of two events of one page the later one counts.
    for (first, second, state) in [("published", "unpublished", "MISS"), ("unpublished", "published", "HIT")]
    {
        let event = |action: &str| json!({"type": "post", "action": action, "slug": "both"});
        let body = json!({"notifications": [event(first), "odd", null, event(second)]}).to_string();
        done(&f, post("", body)).await;
        f.get("/blog/both").await.expect(200, state);
    }
    let events = json!([
        {"specversion": "1.0", "type": "org.example.post", "data": {"slug": "kept"}},
        {"specversion": "1.0", "type": "org.example.author", "data": {"slug": "somebody"}},
        {"specversion": "1.0", "type": "org.example.post", "data": null},
    ]);
    let answer = done(&f, post("", events.to_string())).await;
    assert_eq!(
        (&answer["path"], answer["left_out"].as_array().map(Vec::len)),
        (&json!("/blog/kept"), Some(2))
    );
}

/// A4: a field that is `"null"`, null or absent takes away only what needs it, and the answer says so.
#[tokio::test]
async fn a_missing_field_takes_away_only_what_needs_it() {
    let f = site().await;
    f.up.otherwise(|call| {
        let tags = if call.path.starts_with("/tagged") { &["articles"][..] } else { &[] };
        Reply::from(json!({"tags": tags, "revalidate": false}))
    });
    let mut page = f.get("/tagged/a").await.expect(200, "MISS");
    let bodies = [
        String::from_utf8(payload("strapi_null")).expect("text"),
        r#"{"model":"article","entry":null}"#.to_owned(),
        r#"{"model":"article"}"#.to_owned(),
        r#"{"model":"article","entry":{"slug":["a",5,{}]}}"#.to_owned(),
    ];
    for (i, body) in bodies.into_iter().enumerate() {
        let answer = done(&f, post("", body)).await;
        let expected = if i == 3 { Value::Null } else { json!(["the payload has no text at `/entry/slug`"]) };
        assert_eq!(answer["left_out"], expected, "{answer}");
        page = until_new(&f, "/tagged/a", &page.id()).await;
    }
    let left_out = nothing(&f, post("", r#"{"model":"note","entry":"null"}"#)).await;
    assert_eq!(left_out, json!(["the payload has no text at `/entry/slug`"]));
}

/// A5: nothing at all, and an object without members, are payloads.
#[tokio::test]
async fn an_empty_body_is_a_payload() {
    let f = site().await;
    for body in ["", " ", "{}", "\u{feff}"] {
        assert_eq!(nothing(&f, post("", body)).await, Value::Null, "no rule has no condition: {body:?}");
    }
}

/// A5: a rule without conditions counts for whatever comes, be it nothing.
#[tokio::test]
async fn a_rule_without_conditions_counts() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/payloads/site.json");
    let f = Fixture::with(&[("PERENNIAL_WEBHOOKS", rules)]).await;
    let mut page = f.get("/never").await.expect(200, "MISS");
    for body in ["", "{}"] {
        done(&f, post("", body)).await;
        page = until_new(&f, "/never", &page.id()).await;
    }
    f.ask(post("", "{")).await.expect(400, "");
    f.ask(Ask::new(Method::POST, "/api/revalidate").body("{}")).await.expect(401, "");
}

/// A6 and A8: a form is a payload, a ping is taken, and GitHub's form is unwrapped; what is signed is the raw body.
#[tokio::test]
async fn a_form_is_a_payload() {
    let f = site().await;
    for content_type in [FORM, "application/x-www-form-urlencoded; charset=UTF-8"] {
        let ping = post("", "webhook_id=2").header("content-type", content_type);
        assert_eq!(nothing(&f, ping).await, Value::Null);
    }
    assert_eq!(nothing(&f, post("", "webhook_id=2")).await, Value::Null, "as it looks");
    let answer = done(&f, post("", "number=7&x=a+b").header("content-type", FORM)).await;
    assert_eq!(answer["rules"], json!(["numbers"]));
    let json = r#"{"commits":[{"modified":["content/a b+c.md","src/x.rs"]}]}"#;
    let form = |json: &str| {
        let json: String = form_urlencoded::byte_serialize(json.as_bytes()).collect();
        format!("payload={json}")
    };
    for (content_type, body) in [(FORM, form(json)), ("application/json", json.to_owned())] {
        let answer = done(&f, push(content_type, "push", &body)).await;
        assert_eq!(answer["path"], "/blog/a%20b%2Bc", "{answer}");
    }
    let zen = r#"{"zen":"Speak like a human.","hook_id":1,"hook":{"type":"Repository"}}"#;
    for (content_type, body) in [(FORM, form(zen)), ("application/json", zen.to_owned())] {
        assert_eq!(nothing(&f, push(content_type, "ping", &body)).await, Value::Null);
        let mut forged = push(content_type, "ping", &body);
        forged.body = [&forged.body[..], b" "].concat().into();
        f.ask(forged).await.expect(401, "");
    }
    // A form whose payload is broken is broken, and so is what is neither a form nor JSON.
    for body in ["payload=%7B", "{", "nothing"] {
        let content_type = if body == "nothing" { "text/plain" } else { FORM };
        f.ask(post("", body).header("content-type", content_type)).await.expect(400, "");
    }
}

/// A7: what was accepted is 200 to a delivery, and 202 to a call and to a sender that prefers it.
#[tokio::test]
async fn a_delivery_that_was_accepted_is_answered_200() {
    let f = site().await;
    let article = r#"{"model":"article","entry":{"slug":"a"}}"#;
    let answer = done(&f, post("", article)).await;
    assert!(answer["queued"].is_number() && answer["id"].is_number(), "{answer}");
    f.ask(post("", article).header("prefer", "respond-async, wait=5")).await.expect(202, "");
    f.ask(post("?tag=articles", article)).await.expect(200, "");
    f.ask(post("?tag=articles", "")).await.expect(202, "");
    f.ask(post("", r#"{"tags":["articles"]}"#)).await.expect(202, "");
}

/// A9: an integer of any size keeps its digits.
#[tokio::test]
async fn integers_keep_their_digits() {
    let f = site().await;
    for number in ["9007199254740993", "18446744073709551615", "18446744073709551616", "-9223372036854775809"]
    {
        let answer = done(&f, post("", format!(r#"{{"number":{number},"of":"digits"}}"#))).await;
        assert_eq!(answer["path"], format!("/blog/{number}"), "{answer}");
    }
}

/// A10: by how a request is authorised, and by its address, it is a call or a payload.
#[tokio::test]
async fn calls_and_payloads_are_told_apart() {
    let f = site().await;
    let like_a_call = r#"{"site":"blog","path":"/guides/a"}"#;
    for ask in [post("?rules=true", like_a_call), push("application/json", "push", like_a_call)] {
        let answer = done(&f, ask).await;
        assert_eq!(
            (&answer["path"], &answer["rules"][0]),
            (&json!("/catch/guides/a"), &json!("whatever is called like a call"))
        );
    }
    f.ask(post("", like_a_call)).await.expect(400, "").holds("not a JSON call");
    assert_eq!(f.ask(post("", r#"{"path":"/never"}"#)).await.expect(200, "").json()["path"], "/never");
    nothing(&f, post("?rules=true", r#"{"path":"/never"}"#)).await;
    f.ask(post("?rules=true&path=/never", "")).await.expect(400, "");
    assert_eq!(f.up.count("/never"), 1);
}

/// A12: a mark of byte order is no part of the JSON; anything that is no JSON is a 400, and nothing a 500.
#[tokio::test]
async fn bodies_of_any_bytes_are_read_or_refused() {
    let f = site().await;
    let article = "\u{feff}{\"model\":\"article\",\"entry\":{\"slug\":\"a\"}}";
    assert_eq!(done(&f, post("", article)).await["rules"], json!(["articles of Strapi"]));
    let pushed = "\u{feff}{\"commits\":[{\"modified\":[\"content/a.md\"]}]}";
    assert_eq!(done(&f, push("application/json", "push", pushed)).await["path"], "/blog/a");
    f.ask(post("", "\u{feff}{\"path\":\"/never\"}")).await.expect(200, "");
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    f.ask(post("", utf16)).await.expect(400, "").holds("UTF-8");
    // Half a character, as a program leaves behind that cuts a text in the middle of one.
    let cut = r#"{"model":"article","entry":{"slug":"a","excerpt":"\ud83d"}}"#;
    assert_eq!(done(&f, post("", cut)).await["rules"], json!(["articles of Strapi"]));
    let deep = "[".repeat(100_000);
    for bad in ["{}x", &deep, "{\"a\":\"\\ud8", "{\"a\":tru}", "\u{feff}\u{feff}{}"] {
        f.ask(post("", bad)).await.expect(400, "");
    }
    nothing(&f, post("", r#"{"model":"article","model":"y","n":1e99}"#)).await;
}
