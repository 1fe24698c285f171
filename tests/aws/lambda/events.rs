//! What events may say: tables of payloads of a function's URL (version 2.0), whole, odd and broken.
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::Asks as _;

use crate::emulator::{Lambda, SECRET, TEST_PROGRAM};

/// GET of the front page.
fn event() -> Value {
    let host = "urlid.lambda-url.us-east-1.on.aws";
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": { "host": host, "user-agent": "Mozilla/5.0", "x-forwarded-proto": "https" },
        "requestContext": {
            "accountId": "anonymous", "apiId": "urlid", "domainName": host, "domainPrefix": "urlid",
            "http": { "method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "Mozilla/5.0" },
            "requestId": "00000000-0000-0000-0000-000000000000", "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_u64,
        },
        "isBase64Encoded": false,
    })
}

/// The event with something else at a place in it; null takes it away.
fn with(pointer: &str, value: impl Into<Value>) -> Value {
    let mut event = event();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let members = event.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value.into() {
        Value::Null => drop(members.remove(name)),
        value => drop(members.insert(name.to_owned(), value)),
    }
    event
}

/// What a function's URL would answer: its status, and where it sends the visitor.
async fn answered(lambda: &Lambda, function: &str, event: &Value) -> (u64, String) {
    let answer = lambda.invoke(function, event).await.json();
    assert!(!answer.to_string().contains("panicked"), "{event}: {answer}");
    // Without a status the function refused the event itself.
    let location = answer["headers"]["location"].as_str().unwrap_or("");
    (answer["statusCode"].as_u64().unwrap_or(502), location.to_owned())
}

/// Groups B7, B13 and B14 as events: raw paths and queries are taken as they were sent, and nothing stops the function.
#[tokio::test]
async fn visitors_events_may_say_anything() {
    let lambda = Lambda::start().await;
    let front = lambda.get("/").await.expect(200, "MISS");
    for (path, status, location) in [
        ("/guides/%68ow-isr-works", 200, ""),
        ("//guides", 308, "/guides"),
        ("/guides/", 308, "/guides"),
        ("/\\evil.example", 308, "/evil.example"),
        ("//evil.example/x", 308, "/evil.example/x"),
        ("//caf\u{e9}", 308, "/caf%C3%A9"),
        ("/guides/100%", 400, ""),
        ("/guides/%00", 400, ""),
        ("/guides/%ff", 400, ""),
        ("/guides/%C0%AF", 400, ""),
        ("/a b", 400, ""),
        ("/a\r\nset-cookie: b=c", 400, ""),
        ("/a\0", 400, ""),
        ("", 400, ""),
        ("*", 400, ""),
        ("guides", 400, ""),
        (":x", 400, ""),
        ("http://evil.example//guides/", 400, ""),
        ("/guides/..%2f..%2fetc%2fpasswd", 404, ""),
        ("/../etc/passwd", 404, ""),
        ("/guides?x=1", 404, ""),
        ("/_perennial/data/other/guides.json", 404, ""),
        ("/_perennial/data/dev-build/guides/how-isr-works.json", 200, ""),
        ("/_perennial/../guides", 404, ""),
        (&*format!("/guides/{}", "a".repeat(5_000)), 414, ""),
    ] {
        let answered = answered(&lambda, "serve", &with("/rawPath", path)).await;
        assert_eq!(answered, (status, location.to_owned()), "{path:?}");
    }
    for query in ["a=%zz", "a=\r\nb", "a=\"<b>\"", "a=b#c", "a=\u{e9}", "?", "&&", " ", "secret=x"] {
        let answered = answered(&lambda, "serve", &with("/rawQueryString", query)).await;
        assert_eq!(answered.0, 200, "{query:?}");
    }
    assert_eq!(lambda.get("/").await.expect(200, "HIT").etag(), front.etag());
}

/// The same of everything else in an event.
#[tokio::test]
async fn visitors_events_may_be_odd_or_broken() {
    let lambda = Lambda::start().await;
    let front = lambda.get("/").await.expect(200, "MISS");
    for (pointer, value, status) in [
        ("/headers", json!({ "host": "evil example" }), 200),
        ("/headers", json!({ "host": "a:b:c[", "x-forwarded-proto": "x y" }), 200),
        ("/headers", json!({ "x-forwarded-host": "evil.example", "x-original-url": "/guides" }), 200),
        ("/headers", json!({ "transfer-encoding": "chunked", "content-length": "5" }), 200),
        ("/headers", json!({ "x-a": "a".repeat(20_000) }), 431),
        ("/headers", json!({ "x-a": "a\r\nset-cookie: b=c" }), 502),
        ("/headers", json!({ "x-a": 5 }), 502),
        ("/headers", Value::Null, 200),
        ("/cookies", json!(["a=b", "__perennial_draft=9999999999.00"]), 200),
        ("/cookies", json!(["a\r\nset-cookie: b=c"]), 200),
        ("/cookies", json!("a=b"), 502),
        ("/multiValueHeaders", json!({ "host": ["evil.example", "x"] }), 200),
        ("/queryStringParameters", json!({ "a": "b" }), 200),
        ("/body", json!("a"), 200),
        ("/body", json!(5), 502),
        ("/isBase64Encoded", json!(true), 200),
        ("/rawPath", json!(5), 502),
        ("/rawPath", Value::Null, 400),
        ("/rawQueryString", Value::Null, 200),
        ("/requestContext", Value::Null, 502),
        ("/requestContext/domainName", json!("evil example"), 200),
        ("/requestContext/stage", json!("guides"), 200),
        ("/requestContext/http/path", json!("/guides"), 200),
        ("/requestContext/http/method", json!("HEAD"), 200),
        ("/requestContext/http/method", json!("POST"), 405),
        ("/requestContext/http/method", json!("TRACE"), 405),
        ("/requestContext/http/method", json!("get"), 405),
        ("/requestContext/http/method", json!("A B"), 502),
    ] {
        let answered = answered(&lambda, "serve", &with(pointer, value.clone())).await;
        assert_eq!(answered, (status, String::new()), "{pointer}: {value}");
    }
    let mut encoded = with("/body", "%%%");
    encoded["isBase64Encoded"] = true.into();
    assert_eq!(answered(&lambda, "serve", &encoded).await.0, 200);
    for other in
        [json!({}), json!([]), json!("x"), json!({ "httpMethod": "GET", "path": "/", "requestContext": {} })]
    {
        assert_eq!(answered(&lambda, "serve", &other).await.0, 502, "{other}");
    }
    assert_eq!(lambda.get("/").await.expect(200, "HIT").etag(), front.etag());
}

/// No answer and no panic ends the process: what cannot be said is left out, what cannot be answered is an error of its
/// own invocation, and the next one is answered by the same process.
#[tokio::test]
async fn nothing_that_a_handler_does_ends_the_process() {
    for told in ["odd", "odd-stream"] {
        let lambda = Lambda::of_test_program(told).await;
        // The emulator gives a whole answer as its JSON, and a stream as what a visitor gets.
        let answer = async |path| lambda.invoke(TEST_PROGRAM, &with("/rawPath", path)).await.to_string();
        let process = |text: &str| {
            let (_, rest) = text.split_once("process ").unwrap_or_else(|| panic!("no process in {text}"));
            rest.chars().take_while(char::is_ascii_digit).collect::<String>()
        };
        let first = process(&answer("/good").await);
        for path in ["/panic", "/field", "/location", "/cookie", "/broken", "/panic"] {
            let odd = answer(path).await;
            let is_answered = matches!(path, "/field" | "/location" | "/cookie");
            assert!(!is_answered || process(&odd) == first, "{path}: {odd}");
            assert!(!odd.contains("caf") && !odd.contains("a="), "{path}: {odd}");
        }
        lambda.invoke(TEST_PROGRAM, &json!([])).await;
        let last = answer("/good").await;
        assert_eq!(process(&last), first, "another process answers ({told}):\n{}", lambda.log(TEST_PROGRAM));
    }
}

/// Bytes that are no text, such as an image's: in base64 in a whole answer, as they are in a stream.
#[tokio::test]
async fn bytes_reach_a_visitor_as_they_are() {
    let all: Vec<u8> = (0..=255).collect();
    let whole = Lambda::of_test_program("odd").await;
    let answer = whole.invoke(TEST_PROGRAM, &with("/rawPath", "/bytes")).await.json();
    assert_eq!((&answer["isBase64Encoded"], &answer["body"]), (&json!(true), &json!(STANDARD.encode(&all))));
    let stream = Lambda::of_test_program("odd-stream").await;
    let answer = stream.invoke(TEST_PROGRAM, &with("/rawPath", "/bytes")).await;
    assert!(answer.body == all, "{answer}");
}

/// Rules 5.1 to 5.4 as events: who has no secret, or says something that cannot be read, changes nothing.
#[tokio::test]
async fn publishers_events_may_say_anything() {
    let lambda = Lambda::start().await;
    let call = |headers: Value, query: &str, body: &str, encoded: bool| {
        let mut event = with("/rawPath", "/api/revalidate");
        event["headers"] = headers;
        event["rawQueryString"] = query.into();
        event["requestContext"]["http"]["method"] = "POST".into();
        event["body"] = body.into();
        event["isBase64Encoded"] = encoded.into();
        event
    };
    let right = json!({ "x-revalidate-secret": SECRET });
    let (plain, encoded) = ("{\"path\":\"/\"}", STANDARD.encode("{\"path\":\"/\"}"));
    let in_query = format!("secret={SECRET}&path=/");
    for (headers, query, body, is_encoded, status) in [
        (json!({}), "path=/", "", false, 401),
        (json!({ "x-revalidate-secret": format!("{SECRET},{SECRET}") }), "path=/", "", false, 401),
        (json!({ "authorization": format!("Bearer {SECRET}, Bearer x") }), "path=/", "", false, 401),
        (json!({ "authorization": format!("Basic {SECRET}") }), "path=/", "", false, 401),
        (json!({ "cookie": format!("secret={SECRET}") }), "path=/", "", false, 401),
        (json!({ "webhook-signature": "v1,AAAA", "x-revalidate-secret": SECRET }), "path=/", "", false, 401),
        (json!({}), &*format!("{in_query}&secret={SECRET}"), "", false, 401),
        (json!({}), &*format!("{in_query}#x"), "", false, 200),
        (right.clone(), "path=//evil.example", "", false, 400),
        (right.clone(), "path=https://evil.example/", "", false, 400),
        (right.clone(), "path=/%00", "", false, 400),
        (right.clone(), "path=/\r\nx", "", false, 400),
        (right.clone(), "", "%%%", true, 400),
        (right.clone(), "", &*encoded, false, 400),
        // For the site's rules, of which none counts.
        (right.clone(), "", "[1,2]", false, 200),
        (right.clone(), "", plain, false, 200),
        (right.clone(), "", &*encoded, true, 200),
        (right.clone(), "path=/", "%%%", true, 200),
        (json!({ "authorization": format!("bearer {SECRET}") }), "path=/", "", false, 200),
        (json!({}), &*in_query, "", false, 200),
    ] {
        let event = call(headers, query, body, is_encoded);
        assert_eq!(answered(&lambda, "revalidate", &event).await, (status, String::new()), "{event}");
    }
    // Whatever path its own URL is called by is the endpoint or a draft, and needs the secret.
    for path in [
        "/",
        "",
        "*",
        "/api/revalidate/",
        "/api/revalidate/1",
        "//api/draft",
        "/api/draft",
        "/%",
        "/api/revalidate/%00",
    ] {
        let mut event = with("/rawPath", path);
        event["rawQueryString"] = "path=/&secret=wrong".into();
        assert_eq!(answered(&lambda, "revalidate", &event).await.0, 401, "{path:?}");
    }
    let mut draft = with("/rawPath", "/api/draft/clear");
    for (query, status) in
        [("path=//evil.example", 400), ("path=/\\evil.example", 400), ("path=/guides/how-isr-works", 307)]
    {
        draft["rawQueryString"] = query.into();
        let (answered, location) = answered(&lambda, "revalidate", &draft).await;
        assert!(answered == status && !location.contains("evil"), "{query}: {answered} {location}");
    }
    let log = lambda.log("revalidate");
    assert!(!log.contains(SECRET), "{log}");
}
