//! Time-outs, batches and variables, beside the limits that the functions keep.

use std::time::Duration;

use perennial::parts::ports::queue::DELIVERIES_MAX;
use serde_json::{Value, json};

use crate::source::{FUNCTIONS, Template};

/// Time for reading and writing the stores around a render.
const STORE_MS: u64 = 10_000;

pub(crate) fn broken(template: &Template) -> Vec<String> {
    let mut complaints = Vec::new();
    for function in FUNCTIONS {
        match template.settings(function) {
            Ok(settings) => {
                let (limits, wait) = (&settings.limits, millis(settings.limits.max_wait));
                let render = millis(limits.render_timeout);
                // A publisher's call first waits for another one's render, or for the lease of a dead one.
                let others = if function == "Revalidate" { render + millis(limits.lease) } else { 0 };
                complaints.extend(time(template, function, wait, others + render));
            }
            Err(error) => complaints.push(error),
        }
        for streams in [false, true] {
            let settings = template.settings_with(function, streams).ok();
            complaints.extend(settings.and_then(|s| answer_fits(function, s.limits.max_body_bytes, streams)));
        }
    }
    complaints.extend(streams(template));
    complaints.extend(batch(template));
    complaints.extend(queue(template));
    complaints
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a limit of less than an age")
}

/// Lambda must not end a function that is still within its own limits.
fn time(template: &Template, function: &str, wait: u64, render: u64) -> Vec<String> {
    let timeout = template.timeout_ms(function);
    let mut complaints = Vec::new();
    if function == "Serve" {
        // A visitor gets an answer after `wait` at the latest; a page for one request alone takes no more than `render`.
        let answered = wait.max(render);
        if timeout < answered + STORE_MS {
            complaints
                .push(format!("Serve ends after {timeout} ms, but answers after {answered} ms at times"));
        }
        for origin in template.properties("Distribution")["DistributionConfig"]["Origins"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let patience = origin["CustomOriginConfig"]["OriginReadTimeout"].as_u64().unwrap_or(30) * 1000;
            if patience < answered + STORE_MS {
                complaints.push(format!("CloudFront waits {patience} ms for {}, too short", origin["Id"]));
            }
        }
    } else if timeout < wait + render + STORE_MS {
        // A job or a call waits for its place, renders, and writes.
        complaints
            .push(format!("{function} ends after {timeout} ms: its work may take {} ms", wait + render));
    }
    complaints
}

/// Lambda's answers end at 6 MB, base64 included, or at 200 MB if they are streamed:
/// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
fn answer_fits(function: &str, max_body_bytes: usize, streams: bool) -> Option<String> {
    let most = if streams { 200 << 20 } else { 6_291_556 / 4 * 3 };
    (max_body_bytes > most).then(|| {
        format!("{function} takes bodies of {max_body_bytes} bytes; Lambda answers with {most} at most")
    })
}

/// A function answers in the way in which its URL asks.
fn streams(template: &Template) -> Vec<String> {
    let mut complaints = Vec::new();
    for function in FUNCTIONS {
        let url = &template.properties(function)["FunctionUrlConfig"];
        let does = [false, true].map(|streams| {
            let settings = template.settings_with(function, streams);
            // What is not read is complained of already. The other functions stream nothing.
            settings.is_ok_and(|s| s.limits.stream_body_bytes.is_some()) && function == "Serve"
        });
        let asks = match url["InvokeMode"].as_str() {
            _ if url["InvokeMode"]["Ref"] == "InvokeMode" => [false, true],
            None | Some("BUFFERED") => [false; 2],
            Some(_) => [true; 2],
        };
        if does != asks {
            complaints.push(format!("{function} streams {does:?}, and its URL asks for {asks:?}"));
        }
    }
    if template.0["Conditions"]["Streams"]
        != json!({ "Fn::Equals": [{ "Ref": "InvokeMode" }, "RESPONSE_STREAM"] })
    {
        complaints.push("`Streams` is not what InvokeMode says".to_owned());
    }
    complaints
}

fn batch(template: &Template) -> Vec<String> {
    let mut complaints = Vec::new();
    let event = &template.properties("Regenerate")["Events"]["Jobs"]["Properties"];
    // What the function answers is ignored unless the mapping says that it names the failed records.
    let answer =
        serde_json::to_value(perennial_regenerate::batch::answer(vec!["id".to_owned()])).expect("JSON");
    let names_records = answer == json!({ "batchItemFailures": [{ "itemIdentifier": "id" }] });
    if names_records != (event["FunctionResponseTypes"] == json!(["ReportBatchItemFailures"])) {
        complaints.push(format!("Regenerate answers {answer}, and its event source expects otherwise"));
    }
    if event["Queue"] != json!({ "Fn::GetAtt": ["Queue", "Arn"] }) {
        complaints.push("Regenerate does not work the queue".to_owned());
    }
    let Ok(settings) = template.settings("Regenerate") else { return complaints };
    let (limits, size) = (settings.limits, event["BatchSize"].as_u64().unwrap_or(u64::MAX));
    let rounds = size.div_ceil(limits.max_concurrent_renders as u64);
    if (rounds - 1).saturating_mul(millis(limits.render_timeout)) >= millis(limits.max_wait) {
        complaints.push(format!(
            "of a batch of {size} some wait longer for a place to render than PERENNIAL_MAX_WAIT_MS"
        ));
    }
    complaints
}

fn queue(template: &Template) -> Vec<String> {
    let mut complaints = Vec::new();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let queue = template.properties("Queue");
    let hidden_ms = number(&queue["VisibilityTimeout"]) * 1000;
    if hidden_ms < 6 * template.timeout_ms("Regenerate") {
        complaints.push(format!("a batch is hidden for {hidden_ms} ms: AWS advises six times the time-out"));
    }
    if number(&queue["DelaySeconds"]) > 0 {
        complaints
            .push("the queue delays jobs: each job says itself how long it is to be delayed".to_owned());
    }
    let redrive = &queue["RedrivePolicy"];
    if redrive["deadLetterTargetArn"] != json!({ "Fn::GetAtt": ["DeadLetters", "Arn"] }) {
        complaints.push("jobs that fail again and again are not set aside".to_owned());
    }
    if number(&redrive["maxReceiveCount"]) != u64::from(DELIVERIES_MAX) {
        complaints.push(format!("{redrive}: what the functions count on is {DELIVERIES_MAX} deliveries"));
    }
    // Longest delay of a job, then all its deliveries.
    let lives_ms = number(&queue["MessageRetentionPeriod"]) * 1000;
    let needs_ms = 900_000 + hidden_ms * number(&redrive["maxReceiveCount"]);
    if lives_ms <= needs_ms {
        complaints
            .push(format!("jobs are forgotten after {lives_ms} ms, before they are dead at {needs_ms} ms"));
    }
    if number(&template.properties("DeadLetters")["MessageRetentionPeriod"]) * 1000 <= lives_ms {
        complaints.push("a dead letter keeps its age: it must be kept for longer than a job".to_owned());
    }
    complaints
}
