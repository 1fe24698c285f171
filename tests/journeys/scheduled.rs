//! Rule 5.6: publishing at a future time, and a second look at a source that lags behind its webhook.

use http::Method;
use serde_json::{Value, json};
use tests::{Ask, Asks as _, Gate, Reply};

use crate::world::{World, s};

/// The clock of these journeys begins at 2027-01-15T08:00:00Z.
const IN_TWO_HOURS: &str = "2027-01-15T10:00:00Z";

async fn call(w: &World, status: u16, query: &str) -> Value {
    let target = format!("/api/revalidate?secret=test-secret&{query}");
    w.ask(Ask::new(Method::POST, target)).await.expect(status, "").json()
}

async fn entry(w: &World, id: &Value) -> Value {
    let target = format!("/api/revalidate/{}?secret=test-secret", id.as_str().expect("a text"));
    w.get(&target).await.expect(200, "").json()
}

/// A call for later does nothing until then, survives the end of every process, and is carried out once.
#[tokio::test]
async fn a_publish_comes_at_its_time() {
    let w = World::new().await;
    w.up.on("/never", Reply::value("old"));
    w.up.on("/tagged/a", json!({ "value": "old", "tags": ["t"], "revalidate": false }));
    for page in ["/never", "/tagged/a"] {
        w.get(page).await.expect(200, "MISS");
    }
    w.up.on("/never", Reply::value("new"));
    w.up.on("/tagged/a", json!({ "value": "new", "tags": ["t"], "revalidate": false }));
    let called = call(&w, 202, &format!("path=/never&tag=t&at={IN_TWO_HOURS}")).await;
    assert_eq!((&called["scheduled"], &called["at"]), (&json!(true), &json!(IN_TWO_HOURS)), "{called}");
    let told = entry(&w, &called["id"]).await;
    assert_eq!(
        (&told["publish"]["went"], &told["ended"], &told["done"]),
        (&json!("scheduled"), &json!(false), &json!(false))
    );
    // Longer than a queue can delay a message: it is sent on, by whoever works the queue.
    for _ in 0..7 {
        w.advance(s(1000));
        w.beside().settle().await;
    }
    w.advance(s(199));
    w.settle().await;
    for page in ["/never", "/tagged/a"] {
        assert_eq!(w.get(page).await.expect(200, "HIT").value(), "old", "a second too early");
    }
    assert_eq!(w.up.count_all(), 2);
    w.advance(s(2));
    w.beside().settle().await;
    assert_eq!(w.up.paths()[2..], ["/never", "/tagged/a"]);
    for page in ["/never", "/tagged/a"] {
        assert_eq!(w.get(page).await.expect(200, "HIT").value(), "new", "{page}");
    }
    let told = entry(&w, &called["id"]).await;
    assert_eq!((&told["done"], &told["publish"]["went"]), (&json!(true), &json!("done")), "{told}");
    assert_eq!(told["publish"]["visible_ms"], json!(1000), "from when it was due: {told}");
    assert!(told["publish"]["epoch"].is_u64() && told["publish"]["key_id"] == "9caf06bb", "{told}");
}

async fn cancel(w: &World, status: u16, id: &str) -> Value {
    let ask = Ask::new(Method::DELETE, format!("/api/revalidate/{id}"));
    w.ask(ask.header("authorization", "Bearer test-secret")).await.expect(status, "").nostore().json()
}

/// What waits for its time can be cancelled by whoever knows a secret, and then never happens.
#[tokio::test]
async fn a_publish_can_be_cancelled_before_its_time() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    w.get("/blog/a").await.expect(200, "MISS");
    let scheduled = async |query: &str| {
        let called = call(&w, 202, &format!("{query}&at={IN_TWO_HOURS}")).await;
        called["id"].as_str().expect("a text").to_owned()
    };
    let (one, other) = (scheduled("path=/never&site=true").await, scheduled("path=/blog/a").await);
    let stranger = Ask::new(Method::DELETE, format!("/api/revalidate/{one}"));
    w.ask(stranger).await.expect(401, "");
    let before = w.epoch().await;
    for process in [&w, &w.beside()] {
        let answer = cancel(process, 200, &one).await;
        assert_eq!((&answer["cancelled"], &answer["id"]), (&json!(true), &json!(one)), "{answer}");
        assert_eq!(answer["publish"]["went"], "cancelled", "{answer}");
    }
    let told = entry(&w, &json!(one)).await;
    let how = (&told["publish"]["went"], &told["ended"], &told["done"]);
    assert_eq!(how, (&json!("cancelled"), &json!(true), &json!(false)), "{told}");

    for _ in 0..8 {
        w.advance(s(900));
        w.beside().settle().await;
    }
    assert_eq!(w.up.paths()[2..], ["/blog/a"], "the other one came, and the cancelled one did not");
    assert_eq!(w.epoch().await, before + 1, "nor was anything marked for it");
    w.get("/never").await.expect(200, "HIT");
    assert_eq!(entry(&w, &json!(one)).await["publish"]["went"], "cancelled");
    cancel(&w, 200, &one).await;
    cancel(&w, 409, &other).await;
}

/// What has begun is not cancelled, and nothing is of which nothing is known.
#[tokio::test]
async fn what_has_begun_cannot_be_cancelled() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    let called = call(&w, 202, "path=/never&at=2027-01-15T08:01:00Z").await;
    let id = called["id"].as_str().expect("a text");
    let gate = Gate::new();
    w.up.next("/never", Reply::value("new").behind(&gate));
    w.advance(s(60));
    let working = w.work();
    w.up.wait_for_calls("/never", 2).await;
    let refused = cancel(&w, 409, id).await;
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("has begun already")), "{refused}");
    gate.open();
    working.await.expect("worked");
    assert_eq!(cancel(&w, 409, id).await["cancelled"], json!(false));
    assert_eq!(w.get("/never").await.expect(200, "HIT").value(), "new");
    assert_eq!(entry(&w, &called["id"]).await["publish"]["went"], "done");

    let marked = call(&w, 200, "tag=t&mode=stale").await["id"].as_u64().expect("a number");
    cancel(&w, 409, &marked.to_string()).await;
    for unknown in ["999999", "p1-ab", "0"] {
        let refused = cancel(&w, 404, unknown).await;
        assert!(refused["message"].as_str().is_some_and(|m| m.contains("no publish")), "{refused}");
    }
    for (target, allowed) in [("", "GET, HEAD, POST"), ("/log", "GET, HEAD, POST")] {
        let ask = Ask::new(Method::DELETE, format!("/api/revalidate{target}?secret=test-secret"));
        assert_eq!(w.ask(ask).await.expect(405, "").header("allow"), allowed);
    }
    let put = w.ask(Ask::new(Method::PUT, format!("/api/revalidate/{id}"))).await.expect(405, "");
    assert_eq!(put.header("allow"), "GET, HEAD, POST, DELETE");
}

/// What fails at its time is told of, and never a success; what is wrong with a call is told when it is made.
#[tokio::test]
async fn a_publish_that_fails_at_its_time_is_told_of() {
    let w = World::new().await;
    w.up.on("/never", Reply::value("old"));
    w.get("/never").await.expect(200, "MISS");
    let called = call(&w, 202, "path=/never&path=/blog/a&at=2027-01-15T08:01:00Z").await;
    w.up.on("/never", Reply::throw("no"));
    w.advance(s(60));
    w.settle().await;
    let told = entry(&w, &called["id"]).await;
    assert_eq!(
        (&told["ended"], &told["done"], &told["publish"]["went"]),
        (&json!(true), &json!(false), &json!("failed"))
    );
    let results = &told["publish"]["results"];
    assert!(results[0]["error"].as_str().is_some_and(|error| error.contains("no")), "{told}");
    assert_eq!(results[1], json!({ "path": "/blog/a" }));
    assert_eq!(w.get("/never").await.expect(200, "STALE").value(), "old");

    for wrong in ["at=2029-01-15T08:00:00Z", "at=soon", "at=", "path=/nowhere&at=2027-01-15T09:00:00Z"] {
        call(&w, 400, &format!("path=/never&{wrong}")).await;
    }
    let past = call(&w, 200, "path=/blog/a&at=2027-01-15T07:00:00Z").await;
    assert_eq!(past["revalidated"], json!(true), "a time that has passed is now: {past}");
}

/// An interface that lags behind its webhook: the page is rendered twice, and only what changed is published twice.
#[tokio::test]
async fn a_second_look_finds_what_came_late() {
    let w = World::new().await;
    let always = |value: &str| json!({ "value": value, "revalidate": false });
    w.up.on("/blog/late", always("old"));
    // A redirect, because no two documents of this site are the same.
    w.up.on(
        "/blog/same",
        json!({ "redirect": { "destination": "/never", "permanent": false }, "revalidate": false }),
    );
    w.get("/blog/late").await.expect(200, "MISS");
    w.get("/blog/same").await.expect(307, "MISS");
    call(&w, 200, "path=/blog/late&path=/blog/same&look_again_after=30").await;
    let orders = w.cache.orders().len();
    w.advance(s(29));
    w.settle().await;
    assert_eq!((w.get("/blog/late").await.expect(200, "HIT").value(), w.up.count_all()), ("old".into(), 4));
    w.up.on("/blog/late", always("new"));
    w.advance(s(1));
    w.settle().await;
    assert_eq!(w.get("/blog/late").await.expect(200, "HIT").value(), "new");
    assert_eq!(w.up.count_all(), 6);
    assert_eq!(
        w.cache.orders()[orders..],
        [["path:/blog/late"]],
        "the shared cache keeps what has not changed"
    );
    w.get("/blog/same").await.expect(307, "HIT");
    // Rendered since by somebody else: there is nothing to look for.
    call(&w, 200, "path=/blog/late&look_again_after=30").await;
    w.advance(s(30));
    w.revalidate("/blog/late").await.expect(200, "");
    w.settle().await;
    assert_eq!(w.up.count("/blog/late"), 5);
}

/// A second look that fails changes nothing.
#[tokio::test]
async fn a_second_look_that_fails_changes_nothing() {
    let w = World::new().await;
    w.get("/never").await.expect(200, "MISS");
    w.up.on("/never", Reply::value("new"));
    call(&w, 200, "path=/never&look_again_after=5").await;
    w.up.on("/never", Reply::throw("no"));
    w.advance(s(5));
    w.settle().await;
    assert_eq!(w.up.count("/never"), 3);
    assert_eq!(w.get("/never").await.expect(200, "HIT").value(), "new");
}

/// The same for a tag: of its pages that were renewed each is rendered once more, and what changed is published.
#[tokio::test]
async fn a_second_look_at_a_tag_finds_what_came_late() {
    let w = World::new().await;
    let always = |value: &str| json!({ "value": value, "tags": ["t"], "revalidate": false });
    let same = json!({ "redirect": { "destination": "/never", "permanent": false }, "tags": ["t"], "revalidate": false });
    w.up.on("/tagged/a", always("old"));
    w.get("/tagged/a").await.expect(200, "MISS");
    w.up.on("/tagged/same", same);
    w.get("/tagged/same").await.expect(307, "MISS");
    w.up.on("/tagged/other", json!({ "value": "old", "tags": ["u"], "revalidate": false }));
    w.get("/tagged/other").await.expect(200, "MISS");
    let called = call(&w, 202, "tag=t&look_again_after=30").await;
    w.settle().await;
    assert_eq!((w.up.count_all(), w.cache.orders()), (5, vec![vec!["tag:t".to_owned()]]));
    w.advance(s(29));
    w.settle().await;
    for page in ["/tagged/a", "/tagged/same"] {
        w.edge().get(page).await;
    }
    assert_eq!(w.up.count_all(), 5, "a second too early");
    w.up.on("/tagged/a", always("new"));
    w.advance(s(1));
    w.beside().settle().await;
    assert_eq!(w.edge().get("/tagged/a").await.expect(200, "HIT").value(), "new");
    w.get("/tagged/same").await.expect(307, "HIT");
    let counts = ["a", "same", "other"].map(|page| w.up.count(&format!("/tagged/{page}")));
    assert_eq!(counts, [3, 3, 1]);
    assert_eq!(w.cache.orders()[1..], [["path:/tagged/a"]], "the shared cache keeps what has not changed");
    let progress = w.get(&format!("/api/revalidate/{}?secret=test-secret", called["id"])).await.json();
    assert_eq!((&progress["done"], &progress["renewed"]), (&json!(true), &json!(2)), "{progress}");
    w.advance(s(3600));
    w.settle().await;
    assert_eq!(w.up.count_all(), 7, "twice, not again and again");

    // Rendered since by somebody else: there is nothing to look for.
    call(&w, 202, "route=/tagged/{slug}&look_again_after=30").await;
    w.settle().await;
    w.advance(s(30));
    w.revalidate("/tagged/a").await.expect(200, "");
    w.settle().await;
    let counts = ["a", "same", "other"].map(|page| w.up.count(&format!("/tagged/{page}")));
    assert_eq!(counts, [5, 5, 3]);
}

/// What was being rendered when the second look was due had asked its source before: it is overtaken.
#[tokio::test]
async fn a_second_look_at_a_tag_overtakes_its_renewal() {
    let w = World::new().await;
    let always = |value: &str| json!({ "value": value, "tags": ["t"], "revalidate": false });
    w.up.on("/tagged/a", always("first"));
    w.get("/tagged/a").await.expect(200, "MISS");
    let gate = Gate::new();
    w.up.next("/tagged/a", Reply::from(always("old")).behind(&gate));
    w.up.on("/tagged/a", always("new"));
    call(&w, 202, "tag=t&look_again_after=5").await;
    let working = w.work();
    w.up.wait_for_calls("/tagged/a", 2).await;
    w.advance(s(5));
    w.beside().settle().await;
    assert_eq!(w.get("/tagged/a").await.expect(200, "HIT").value(), "new");
    gate.open();
    working.await.expect("worked");
    assert_eq!(w.get("/tagged/a").await.expect(200, "HIT").value(), "new");
    assert_eq!(w.up.count("/tagged/a"), 3);
}

/// A second look whose order the shared cache refuses is told to it again: its copy of the page would have stayed.
#[tokio::test]
async fn a_second_look_tells_the_shared_cache_until_it_listens() {
    let w = World::new().await;
    let always = |value: &str| json!({ "value": value, "tags": ["t"], "revalidate": false });
    for (page, query) in [("/tagged/a", "path=/tagged/a"), ("/tagged/b", "tag=t")] {
        w.up.otherwise(move |_| always("old").into());
        w.get(page).await.expect(200, "MISS");
        let target = format!("/api/revalidate?secret=test-secret&{query}&look_again_after=5");
        assert!(w.ask(Ask::new(Method::POST, target)).await.status < 300);
        w.settle().await;
        assert_eq!(w.edge().get(page).await.value(), "old");
        w.up.otherwise(move |_| always("new").into());
        w.cache.refuse(true);
        w.advance(s(5));
        w.settle().await;
        w.cache.refuse(false);
        assert_eq!(w.edge().get(page).await.value(), "old", "it has not been told");
        w.advance(s(200));
        w.settle().await;
        assert_eq!(w.edge().get(page).await.expect(200, "HIT").value(), "new", "{query}");
    }
}
