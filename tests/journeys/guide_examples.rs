//! What guides show of answers is what is answered, member by member.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use tests::{Ask, Asks as _, Reply};

use crate::world::{World, s};

/// Members that answers have and calls, rules and payloads have not.
const OF_ANSWERS: [&str; 4] = ["revalidated", "left_is", "scheduled", "cancelled"];

/// JSON in a guide, as a block or between backquotes. An ellipsis between quotes stands for any text.
fn examples(guide: &str) -> Vec<Value> {
    let blocks = guide.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    let inline = guide.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let texts = blocks.chain(inline.filter(|text| text.starts_with("{\"")));
    let answers = texts.filter(|text| OF_ANSWERS.iter().any(|name| text.contains(&format!("\"{name}\":"))));
    answers.map(|text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))).collect()
}

/// Names of all members, in all depths.
fn names(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let place = format!("{place}/{name}");
                names(value, &place, found);
                found.push(place);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, place, found)),
        _ => {}
    }
}

fn shape(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    names(value, "", &mut found);
    found.sort();
    found.dedup();
    found
}

async fn call(w: &World, query: &str) -> Value {
    w.ask(Ask::new(Method::POST, format!("/api/revalidate?secret=test-secret&{query}"))).await.json()
}

/// One answer of each kind that guides show.
async fn answers() -> Vec<Value> {
    let w = World::with(|limits| limits.max_concurrent_renders = 1).await;
    w.up.otherwise(|_| json!({ "tags": ["posts"], "revalidate": false }).into());
    for page in ["/tagged/a", "/tagged/b", "/tagged/c"] {
        w.get(page).await.expect(200, "MISS");
    }
    let mut answers = vec![call(&w, "path=/tagged/a").await, call(&w, "tag=psots").await];
    w.up.on("/tagged/b", Reply::throw("no"));
    w.up.next("/tagged/a", Reply::status(503).retry_after("5"));
    answers.push(call(&w, "path=/tagged/b").await);
    let called = call(&w, "tag=posts").await;
    w.advance(s(1));
    w.settle().await;
    let target = format!("/api/revalidate/{}?secret=test-secret", called["id"]);
    let mut told = w.get(&target).await.expect(200, "").json();
    // Told while an upstream has asked for a pause, and only then.
    told.as_object_mut().expect("an object").remove("waiting");
    answers.push(told);
    answers.push(json!({ "revalidated": true, "duplicate": true, "id": "p" }));
    answers
}

#[tokio::test]
async fn examples_of_answers_are_as_they_are_answered() {
    let answers: Vec<_> = answers().await.iter().map(shape).collect();
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/site/content/guides");
    let mut compared = 0;
    for guide in std::fs::read_dir(guides).expect("the guides") {
        let guide = guide.expect("a guide").path();
        for example in examples(&std::fs::read_to_string(&guide).expect("a guide")) {
            let shape = shape(&example);
            assert!(
                answers.contains(&shape),
                "{}: no answer is like {example}\n{answers:#?}",
                guide.display()
            );
            compared += 1;
        }
    }
    assert!(compared >= 6, "{compared} examples were found");
}
