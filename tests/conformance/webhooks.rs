//! B3, rule 5.1: publishers' own payloads, signed as each of them signs, renew the pages that the rules name.
//!
//! The payloads and the rules are in the publishers' folders (`tests::publishers`). Signatures are made here a second time,
//! from the publishers' descriptions alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use perennial::parts::webhooks::providers;
use perennial::parts::webhooks::signature::scheme::DeliveryId;
use serde_json::json;
use sha1::Sha1;
use sha2::Sha256;
use tests::publishers::{self, Documented};
use tests::{Ask, Asks as _, Reply};

use crate::{Fixture, until_new};

const STANDARD_KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The live secrets: one that everybody knows, and those of the publishers.
const SECRETS: [&str; 12] = [
    "test-secret",
    "of-github",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH",
    "of-shopify",
    "HC6VzsJataBC9d99t0f9zCsvocIJf2imamlxpWW46ehAHvsjsObgYagXeheKI_ye",
    "of-sanity",
    "of-storyblok",
    "of-ghost",
    "of-woocommerce",
    "of-hygraph",
    "of-kontent-ai",
];

/// Header fields with the id of a delivery.
fn id_fields() -> Vec<&'static str> {
    let fields = providers::schemes().filter_map(|(_, scheme)| match scheme.id {
        DeliveryId::Header(name) => Some(name),
        _ => None,
    });
    fields.collect()
}

fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

/// A payload as its publisher sends it now, with `secret` if it is none of those who sign.
pub(crate) fn delivery(name: &str, target: &str) -> Ask {
    let Documented { headers, body, .. } = publishers::delivery(name);
    // A body that is no JSON stands there as a text.
    let body = body.as_str().map_or_else(|| format!("{body:#}\n"), str::to_owned);
    let mut ask = Ask::new(Method::POST, target).body(body);
    for (field, value) in headers {
        // Each is a delivery of its own.
        let is_id = id_fields().contains(&&*field);
        ask = ask.header(&field, if is_id { format!("{value}-{}", unique()) } else { value });
    }
    signed(name, ask, target)
}

fn signed(name: &str, ask: Ask, target: &str) -> Ask {
    let body = String::from_utf8(ask.body.to_vec()).expect("text");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let (seconds, millis) = (now.as_secs(), now.as_millis());
    match name {
        "github" | "github_ping" => {
            ask.header("x-hub-signature-256", format!("sha256={}", hex(&sha256(b"of-github", &body))))
        }
        "stripe" => {
            let signature = hex(&sha256(SECRETS[3].as_bytes(), &format!("{seconds}.{body}")));
            ask.header("stripe-signature", format!("t={seconds},v1={signature},v0=00"))
        }
        "shopify" => ask.header("x-shopify-hmac-sha256", STANDARD.encode(sha256(b"of-shopify", &body))),
        "contentful" => {
            let names = "content-type,x-contentful-crn,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic";
            let ask = ask
                .header("x-contentful-signed-headers", names)
                .header("x-contentful-timestamp", millis.to_string());
            let value = |name| &ask.headers.iter().find(|(n, _)| n == name).expect("a field").1;
            let fields: Vec<_> = names.split(',').map(|name| format!("{name}:{}", value(name))).collect();
            // The query is escaped, and then escaped again.
            let twice = |text: &str| text.replace('=', "%253D").replace('&', "%2526").replace('/', "%252F");
            let address = target.split_once('?').map(|(path, query)| format!("{path}?{}", twice(query)));
            let address = address.unwrap_or_else(|| target.to_owned());
            let text = format!("POST\n{address}\n{}\n{body}", fields.join(";"));
            let signature = hex(&sha256(SECRETS[5].as_bytes(), &text));
            ask.header("x-contentful-signature", signature)
        }
        "sanity" => {
            let signature = URL_SAFE_NO_PAD.encode(sha256(b"of-sanity", &format!("{millis}.{body}")));
            ask.header("sanity-webhook-signature", format!("t={millis},v1={signature}"))
        }
        "storyblok" => {
            let mac = Hmac::<Sha1>::new_from_slice(b"of-storyblok").expect("a key").chain_update(&body);
            ask.header("webhook-signature", hex(&mac.finalize().into_bytes()))
        }
        "ghost" | "ghost_deleted" => {
            let signature = hex(&sha256(b"of-ghost", &format!("{body}{millis}")));
            ask.header("x-ghost-signature", format!("sha256={signature}, t={millis}"))
        }
        "woocommerce" | "woocommerce_deleted" => {
            ask.header("x-wc-webhook-signature", STANDARD.encode(sha256(b"of-woocommerce", &body)))
        }
        // It has no field of its own, and is not signed.
        "woocommerce_ping" => Ask { target: format!("{target}?secret=test-secret"), ..ask },
        "hygraph" => {
            let time = seconds * 1000;
            let text = json!({ "Body": body, "EnvironmentName": "master", "TimeStamp": time }).to_string();
            let text = text.replace('&', r"\\u0026").replace('<', r"\\u003c").replace('>', r"\\u003e");
            let signature = STANDARD.encode(sha256(b"of-hygraph", &text));
            ask.header("gcms-signature", format!("sign={signature}, env=master, t={time}"))
        }
        "kontent_ai" => {
            ask.header("x-kontent-ai-signature", STANDARD.encode(sha256(b"of-kontent-ai", &body)))
        }
        "standard_webhooks" => {
            let key = STANDARD.decode(STANDARD_KEY).expect("base64");
            let id = format!("msg_{}", unique());
            let signature = STANDARD.encode(sha256(&key, &format!("{id}.{seconds}.{body}")));
            ask.header("webhook-id", id)
                .header("webhook-timestamp", seconds.to_string())
                .header("webhook-signature", format!("v1,{signature}"))
        }
        "strapi" => ask.header("authorization", "Bearer test-secret"),
        "datocms" => ask.header("authorization", format!("Basic {}", STANDARD.encode("any:test-secret"))),
        _ => ask.header("x-revalidate-secret", "test-secret"),
    }
}

pub(crate) async fn site() -> Fixture {
    with_rules(&[("PERENNIAL_REVALIDATE_SECRETS", &SECRETS.join(","))]).await
}

/// A site with the rules of every publisher, and these settings.
async fn with_rules(settings: &[(&str, &str)]) -> Fixture {
    let rules = publishers::rules_file(env!("CARGO_TARGET_TMPDIR"));
    Fixture::with(&[&[("PERENNIAL_WEBHOOKS", &*rules)], settings].concat()).await
}

/// From now on, every page shows this, and pages below `/tagged` carry the tags of all publishers.
fn show(f: &Fixture, value: &str) {
    let value = value.to_owned();
    let all: Vec<_> = publishers::deliveries().into_iter().flat_map(|delivery| delivery.carries).collect();
    f.up.otherwise(move |call| {
        let tags = if call.path.starts_with("/tagged") { &all[..] } else { &[] };
        Reply::from(json!({ "value": value, "tags": tags, "revalidate": false }))
    });
}

/// Every publisher's delivery renews the pages of its payload, and a byte more of it does nothing.
#[tokio::test]
async fn publishers_payloads_renew_the_pages_they_name() {
    let f = site().await;
    for Documented { name, renews: pages, is_known_again, .. } in publishers::deliveries() {
        show(&f, "old");
        for page in &pages {
            assert_eq!(f.get(page).await.value(), "old", "{name}: {page}");
        }
        let right = delivery(&name, "/api/revalidate");
        let mut forged = right.clone();
        forged.body = [&forged.body[..], b" "].concat().into();
        let is_shown = |value: &str| value.contains("test-secret") || value.starts_with("Basic");
        let is_signed = !is_shown(&forged.target) && !forged.headers.iter().any(|(_, value)| is_shown(value));
        if is_signed {
            let answer = f.ask(forged).await.nostore();
            assert_eq!(
                (answer.status, answer.json()),
                (401, json!({ "message": "Invalid token" })),
                "{name}"
            );
        }
        show(&f, &name);
        let answer = f.ask(right.clone()).await.nostore();
        if pages.is_empty() {
            assert_eq!(
                (answer.status, answer.json()),
                (200, json!({"revalidated": false, "message": "nothing matched"})),
                "{name}"
            );
            continue;
        }
        assert_eq!(answer.json()["revalidated"], true, "{name}: {answer}");
        // Pages of a tag are renewed by the queue.
        let (tagged, named): (Vec<_>, Vec<_>) = pages.iter().partition(|page| page.starts_with("/tagged"));
        assert_eq!(answer.status, 200, "{name}: {answer}");
        for page in named {
            let page = f.get(page).await.expect(200, "HIT");
            assert_eq!((page.value(), page.reason()), (name.clone(), "on-demand".to_owned()));
        }
        let again = f.ask(right).await.json()["duplicate"] == true;
        assert_eq!(again, is_known_again && is_signed, "{name}");
        for page in tagged {
            tests::until::until(&format!("{name}: a new {page}"), async || {
                (f.get(page).await.value() == name).then_some(())
            })
            .await;
        }
    }
    let rule = publishers::rules()[0]["name"].as_str().expect("a name").to_owned();
    f.site.log.wait_for(&["no rule of webhooks counts", &*rule]).await;
    f.site.log.wait_for(&["refused", "of no live secret"]).await;
    let log = f.whole_log().await;
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} in the log");
    }
    // Payloads are not for logs either.
    assert!(!log.contains("octocat") && !log.contains("username@domain.com"));
}

/// What a payload says is deleted, since its signature covers it; what the URL says is not.
#[tokio::test]
async fn a_signed_payload_may_delete_and_its_url_may_not() {
    let f = site().await;
    let old = f.get("/blog/gone").await.expect(200, "MISS");
    let post = |target: &str| {
        let body = r#"{"type":"post.deleted","data":{"slug":"gone"}}"#;
        signed("standard_webhooks", Ask::new(Method::POST, target).body(body), target)
    };
    let refused = f.ask(post("/api/revalidate?mode=delete")).await.nostore();
    assert!(refused.status == 400 && refused.text().contains("does not cover the URL"), "{refused}");
    let answer = f.ask(post("/api/revalidate?mode=stale")).await;
    assert_eq!(answer.json()["mode"], "stale", "the query wins: {answer}");
    until_new(&f, "/blog/gone", &old.id()).await;
    let answer = f.ask(post("/api/revalidate")).await;
    assert_eq!((answer.status, &answer.json()["mode"]), (200, &json!("delete")), "{answer}");
    f.get("/blog/gone").await.expect(200, "MISS");
    // The query names what changes: then the payload is not read.
    let answer = f.ask(post("/api/revalidate?path=/blog/other")).await;
    assert_eq!(answer.json()["path"], "/blog/other", "{answer}");
    f.get("/blog/gone").await.expect(200, "HIT");
}

/// With rules, a call is still a call, and one with a mistake in it is no payload.
#[tokio::test]
async fn calls_are_calls_beside_rules() {
    let f = site().await;
    let post = |body: &str| {
        let ask = Ask::new(Method::POST, "/api/revalidate").header("authorization", "Bearer test-secret");
        ask.body(body.to_owned())
    };
    assert_eq!(f.ask(post(r#"{"path":"/never"}"#)).await.status, 200);
    for bad in ["{", "nothing", r#"{"path":5}"#, r#"{"paths":"/never"}"#, r#"{"tags":[],"mode":"soon"}"#] {
        let answer = f.ask(post(bad)).await;
        assert_eq!(answer.status, 400, "{bad}: {answer}");
    }
    for unknown in
        ["[]", "{}", "5", "null", r#"{"path":"/never","and":"more"}"#, r#"{"type":"post.updated"}"#]
    {
        let answer = f.ask(post(unknown)).await;
        assert_eq!(
            (answer.status, &answer.json()["revalidated"]),
            (200, &json!(false)),
            "{unknown}: {answer}"
        );
    }
    assert_eq!(f.up.count_all(), 1);
}

/// A body over the limit is not even checked, right as it may be, in one process and in a function.
#[tokio::test]
async fn a_payload_has_a_limit() {
    let secrets = SECRETS.join(",");
    let limit = [("PERENNIAL_REVALIDATE_SECRETS", &*secrets), ("PERENNIAL_MAX_WEBHOOK_BYTES", "2000")];
    let f = with_rules(&limit).await;
    let post = |bytes: usize| {
        let frame = r#"{"type":"post.updated","data":{"slug":"long"},"pad":""}"#.len();
        let pad = "x".repeat(bytes - frame);
        let body = format!(r#"{{"type":"post.updated","data":{{"slug":"long"}},"pad":"{pad}"}}"#);
        assert_eq!(body.len(), bytes);
        signed("standard_webhooks", Ask::new(Method::POST, "/api/revalidate").body(body), "")
    };
    assert_eq!(f.ask(post(2001)).await.nostore().status, 413);
    assert_eq!(f.ask(post(100_000)).await.nostore().status, 413);
    assert_eq!(f.up.count_all(), 0);
    assert_eq!(f.ask(post(2000)).await.status, 200);
    assert_eq!(f.up.count("/blog/long"), 1);
}

/// With a name, each publisher's secret signs for that publisher, and a secret for calls is shown.
#[tokio::test]
async fn named_secrets_sign_for_their_publishers() {
    let names = [
        "secret",
        "github",
        "standard-webhooks",
        "stripe",
        "shopify",
        "contentful",
        "sanity",
        "storyblok",
        "ghost",
        "woocommerce",
        "hygraph",
        "kontent-ai",
    ];
    let named: Vec<_> = names.iter().zip(SECRETS).map(|(name, secret)| format!("{name}:{secret}")).collect();
    let f = with_rules(&[("PERENNIAL_REVALIDATE_SECRETS", &named.join(","))]).await;
    for Documented { name, .. } in publishers::deliveries() {
        let answer = f.ask(delivery(&name, "/api/revalidate")).await.nostore();
        assert!(matches!(answer.status, 200 | 202), "{name}: {answer}");
    }
    // Each under the name of the next one: nobody's signature is right.
    let moved: Vec<_> =
        names.iter().cycle().skip(1).zip(SECRETS).map(|(name, secret)| format!("{name}:{secret}")).collect();
    let moved: Vec<_> = moved.into_iter().filter(|secret| !secret.starts_with("standard-webhooks")).collect();
    let f = with_rules(&[("PERENNIAL_REVALIDATE_SECRETS", &moved.join(","))]).await;
    for Documented { name, .. } in publishers::deliveries() {
        f.ask(delivery(&name, "/api/revalidate")).await.expect(401, "").nostore();
    }
}
