//! What waits or is looked up: jobs of the queue, and the journal of publishes. Whole, damaged, of older programs and of
//! newer ones.

use std::cell::RefCell;
use std::collections::BTreeSet;

use perennial::Millis;
use perennial::parts::ports::job::{BadJob, Job, Removal, SecondLook, Task, Walk};
use perennial::parts::ports::journal::{PathResult, Publish, PublishStatus, RenewalProgress, RouteProgress};
use perennial::parts::record::publish_request::{
    Mode, PublishRequest, Publisher, RequestedPath, ScheduledPublish,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::hold;
use crate::stored::{damaged, json_object, number, reason};

/// Version 1, everything in it and as little as there may be: what is in a queue stays readable.
pub(crate) const GOLDEN_JOBS: [&str; 11] = [
    r#"{"v":1,"build":"b1","key":"/blog/{slug}|a","task":"refresh","ticket":4,"reason":"stale"}"#,
    r#"{"v":1,"build":"b1","key":"/","task":"remove_body","sha256":"ab","replaced_at":5}"#,
    r#"{"v":1,"build":"b1","key":"/","task":"again","due":9}"#,
    r#"{"v":1,"build":"b1","key":"","task":"walk","publish":"9","kept_until":8,"epoch":9,"route":"/a","after":"x","began_at":1,"looked":7,"renewed":5,"failed":2,"pauses":1,"waits_until":6}"#,
    r#"{"v":1,"build":"b1","key":"","task":"walk"}"#,
    r#"{"v":1,"build":"b1","key":"","task":"walk","epoch":9,"waits_until":8,"again":{"tags":["tag:t"],"due":8}}"#,
    r#"{"v":1,"build":"b1","key":"","task":"remove","publish":"9","kept_until":8,"epoch":9,"prefix":"/a","after":"/a|x","began_at":1,"looked":7,"removed":5,"passed_over":1,"is_last":true,"waits_until":6}"#,
    r#"{"v":1,"build":"b1","key":"","task":"remove"}"#,
    r#"{"v":1,"build":"","key":"","task":"publish","id":"p5-ab","at":5,"due":9,"who":{"key_id":"7692c3ad","provider":"github","delivery_id":"d"},"wish":{"mode":"now","only_generated":false,"paths":[{"path":"/a","keys":["/a"]}],"tags":["tag:t"],"look_again_after_s":3}}"#,
    r#"{"v":1,"build":"","key":"","task":"publish","id":"p5-ab","at":5,"due":9,"who":{"key_id":"7692c3ad"},"wish":{}}"#,
    r#"{"v":1,"build":"","key":"","task":"publish","id":"","at":0,"due":0,"who":{"key_id":""},"wish":{"mode":"delete"}}"#,
];

const GOLDEN_PUBLISHES: [&str; 3] = [
    r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"7692c3ad","mode":"now","tags":["tag:t"],"epoch":7,"went":"done_with_failures","renewal":{"total":5,"left":1,"failing":1,"at_least":true,"failures":[{"path":"/a","error":"no"}]}}"#,
    r#"{"v":1,"id":"7","at":5,"kept_until":9000,"build":"b","key_id":"7692c3ad","provider":"p","delivery_id":"d","mode":"now","paths":["/a"],"tags":["tag:t"],"epoch":7,"due":6,"went":"failed","results":[{"path":"/a","error":"no"}],"error":"no","visible_ms":12}"#,
    r#"{"v":1,"id":"p5","at":5,"kept_until":9000,"build":"b","key_id":"7692c3ad","mode":"stale","went":"scheduled"}"#,
];

const GOLDEN_MARKS: [&str; 3] = [
    r#"{"route":"/a","began_at":1,"at":2,"looked":3,"renewed":2,"failed":1,"waits_until":9,"ended":false,"left_out":true}"#,
    r#"{"route":"/a","began_at":1,"at":2,"looked":3,"renewed":2,"failed":1,"ended":true,"left_out":false}"#,
    r#"{"route":"","began_at":1,"at":2,"looked":3,"renewed":0,"failed":0,"removed":2,"ended":true,"left_out":false}"#,
];

/// Members that an older program does not write, or need not.
const OPTIONAL: [&str; 30] = [
    "again",
    "publish",
    "kept_until",
    "epoch",
    "route",
    "after",
    "began_at",
    "looked",
    "renewed",
    "failed",
    "pauses",
    "waits_until",
    "prefix",
    "removed",
    "passed_over",
    "is_last",
    "provider",
    "delivery_id",
    "paths",
    "tags",
    "due",
    "results",
    "renewal",
    "at_least",
    "failures",
    "error",
    "visible_ms",
    "mode",
    "only_generated",
    "look_again_after_s",
];

fn millis() -> impl Strategy<Value = Millis> {
    number().prop_map(Millis)
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(any::<String>(), 0..3)
}

fn maybe_text() -> impl Strategy<Value = Option<String>> {
    option::of(any::<String>())
}

/// Boxed, as all that is wide: whole, what proptest makes of it is more than a test's stack.
fn walk() -> BoxedStrategy<Walk> {
    let of = (any::<String>(), millis(), number(), maybe_text(), maybe_text());
    let so_far = (millis(), number(), number(), number(), any::<u32>(), option::of(millis()));
    let second_look = (texts(), millis()).prop_map(|(tags, due)| SecondLook { tags, due });
    (of, so_far, option::of(second_look))
        .prop_map(|((publish, kept_until, epoch, route, after), so_far, second_look)| {
            let (began_at, looked, renewed, failed, pauses, waits_until) = so_far;
            Walk {
                publish,
                kept_until,
                epoch,
                route,
                after,
                began_at,
                looked,
                renewed,
                failed,
                pauses,
                waits_until,
                second_look,
            }
        })
        .boxed()
}

fn removal() -> BoxedStrategy<Removal> {
    let of = (any::<String>(), millis(), number(), any::<String>(), maybe_text());
    let so_far = (millis(), number(), number(), number(), any::<bool>(), option::of(millis()));
    (of, so_far)
        .prop_map(|((publish, kept_until, epoch, prefix, after), so_far)| {
            let (began_at, looked, removed, passed_over, is_last, waits_until) = so_far;
            Removal {
                publish,
                kept_until,
                epoch,
                prefix,
                after,
                began_at,
                looked,
                removed,
                passed_over,
                is_last,
                waits_until,
            }
        })
        .boxed()
}

fn due() -> BoxedStrategy<ScheduledPublish> {
    let who = (any::<String>(), maybe_text(), maybe_text())
        .prop_map(|(key_id, provider, delivery_id)| Publisher { key_id, provider, delivery_id });
    let path = (any::<String>(), texts()).prop_map(|(path, keys)| RequestedPath { path, keys });
    let mode = select(vec![Mode::Now, Mode::Stale, Mode::Delete]);
    let request = (mode, any::<bool>(), vec(path, 0..3), texts(), option::of(any::<u32>())).prop_map(
        |(mode, only_generated, paths, tags, look_again_after_s)| PublishRequest {
            mode,
            only_generated,
            paths,
            tags,
            look_again_after_s,
        },
    );
    (any::<String>(), millis(), millis(), who, request)
        .prop_map(|(id, at, due, who, request)| ScheduledPublish { id, at, due, who, request })
        .boxed()
}

pub(crate) fn job() -> BoxedStrategy<Job> {
    let task = prop_oneof![
        (number(), reason()).prop_map(|(ticket, reason)| Task::Refresh { ticket, reason }),
        walk().prop_map(Task::Walk),
        removal().prop_map(Task::Remove),
        due().prop_map(Task::Publish),
        millis().prop_map(|due| Task::SecondLook { due }),
        (any::<String>(), millis())
            .prop_map(|(sha256, replaced_at)| Task::RemoveBody { sha256, replaced_at }),
    ];
    (any::<String>(), any::<String>(), task)
        .prop_map(|(build, key, task)| Job { v: 1, build, key, task })
        .boxed()
}

/// A kind of task that is new is missing here until it is tried, too.
fn kind(task: &Task) -> &'static str {
    match task {
        Task::Refresh { .. } => "refresh",
        Task::Walk(_) => "walk",
        Task::Remove(_) => "remove",
        Task::Publish(_) => "publish",
        Task::SecondLook { .. } => "again",
        Task::RemoveBody { .. } => "remove_body",
    }
}

const KINDS: usize = 6;

fn publish() -> BoxedStrategy<Publish> {
    let status = select(vec![
        PublishStatus::Scheduled,
        PublishStatus::Begun,
        PublishStatus::Accepted,
        PublishStatus::Done,
        PublishStatus::DoneWithFailures,
        PublishStatus::Failed,
        PublishStatus::Cancelled,
    ]);
    let item = || (any::<String>(), maybe_text()).prop_map(|(path, error)| PathResult { path, error });
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>());
    let renewal = (numbers, vec(item(), 0..3)).prop_map(|((total, left, failing, at_least), failures)| {
        let [total, left, failing] = [total, left, failing].map(|n| n as usize);
        RenewalProgress { total, left, failing, at_least, failures }
    });
    let head = (any::<String>(), millis(), millis(), any::<String>(), any::<String>(), any::<String>());
    let whose = (maybe_text(), maybe_text(), texts(), texts());
    let rest = (option::of(number()), option::of(millis()), status, vec(item(), 0..3), maybe_text());
    (head, whose, rest, option::of(number()), option::of(renewal))
        .prop_map(|(head, whose, rest, visible_ms, renewal)| {
            let (id, at, kept_until, build, key_id, mode) = head;
            let (provider, delivery_id, paths, tags) = whose;
            let (epoch, due, status, results, error) = rest;
            Publish {
                v: 1,
                id,
                at,
                kept_until,
                build,
                key_id,
                provider,
                delivery_id,
                mode,
                paths,
                tags,
                epoch,
                due,
                status,
                renewal,
                results,
                error,
                visible_ms,
            }
        })
        .boxed()
}

fn mark() -> impl Strategy<Value = RouteProgress> {
    let counts = (number(), number(), number(), number());
    let ends = (option::of(millis()), any::<bool>(), any::<bool>());
    (any::<String>(), millis(), millis(), counts, ends).prop_map(|(route, began_at, at, counts, ends)| {
        let ((looked, renewed, failed, removed), (waits_until, ended, left_out)) = (counts, ends);
        RouteProgress { route, began_at, at, looked, renewed, failed, removed, waits_until, ended, left_out }
    })
}

fn read_mark(text: &str) -> Option<RouteProgress> {
    serde_json::from_str(text).ok()
}

#[test]
fn what_is_written_is_read_again() {
    let seen = RefCell::new(BTreeSet::new());
    let golden = GOLDEN_JOBS.map(|text| Job::from_json(text).expect("golden"));
    hold("written_jobs", 4, golden, job(), |job| {
        seen.borrow_mut().insert(kind(&job.task));
        assert_eq!(Job::from_json(&job.to_json()).expect("was written"), job);
    });
    assert_eq!(seen.borrow().len(), KINDS, "of all tasks only {:?} were tried", seen.borrow());
    hold("written_publishes", 4, [], publish(), |publish| {
        assert_eq!(Publish::from_json(&publish.to_json()), Some(publish.clone()));
        let cut = publish.cut();
        assert_eq!(Publish::from_json(&cut.to_json()), Some(cut));
    });
    hold("written_marks", 2, [], mark(), |mark| {
        assert_eq!(read_mark(&mark.to_json()), Some(mark));
    });
}

/// Whatever is read can be written, and is then the same; and no text is anything else.
#[test]
fn any_bytes_are_a_value_or_an_error() {
    let written = prop_oneof![
        3 => job().prop_map(|job| job.to_json()),
        1 => publish().prop_map(|publish| publish.to_json()),
        1 => mark().prop_map(|mark| mark.to_json()),
    ];
    let golden = [&GOLDEN_JOBS[..], &GOLDEN_PUBLISHES, &GOLDEN_MARKS].concat();
    let (corpus, bytes) = damaged(golden, written.prop_map(String::into_bytes));
    hold("queued_bytes", 16, corpus, bytes, |bytes| {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(job) = Job::from_json(&text) {
            assert_eq!(Job::from_json(&job.to_json()).expect("was written"), job);
        }
        if let Some(publish) = Publish::from_json(&text) {
            assert_eq!(Publish::from_json(&publish.to_json()), Some(publish.clone()));
            assert!(publish.place().ends_with(&publish.id));
        }
        if let Some(mark) = read_mark(&text) {
            assert_eq!(read_mark(&mark.to_json()), Some(mark));
        }
    });
}

/// All that is left of a text when members are taken out that need not be there, at any depth.
fn without(value: &mut Value, taken: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !taken.contains(&&**name));
            members.values_mut().for_each(|member| without(member, taken));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, taken)),
        _ => {}
    }
}

/// Whether all that is in `less` is in `more` as well.
fn is_within(less: &Value, more: &Value) -> bool {
    match (less, more) {
        (Value::Object(less), Value::Object(more)) => {
            less.iter().all(|(name, value)| more.get(name).is_some_and(|other| is_within(value, other)))
        }
        (Value::Array(less), Value::Array(more)) => {
            less.len() == more.len() && less.iter().zip(more).all(|(less, more)| is_within(less, more))
        }
        _ => less == more,
    }
}

/// Reads a text with less in it, and with more: what it says is kept, whatever else is there.
fn reads_less_and_more<T: DeserializeOwned>(text: &str, taken: &[&str], write: impl Fn(&T) -> String) {
    let mut less: Value = serde_json::from_str(text).expect("is JSON");
    without(&mut less, taken);
    let mut more = less.clone();
    more["later_member"] = Value::from(vec![1]);
    for older in [&less, &more] {
        let read: T = serde_json::from_value(older.clone()).unwrap_or_else(|e| panic!("{e}: {older}"));
        let again: Value = serde_json::from_str(&write(&read)).expect("is JSON");
        assert!(is_within(&less, &again), "{older} became {again}");
    }
}

/// What a program before these members, or one after them, has left in a queue or a journal.
#[test]
fn what_other_programs_have_written_is_read() {
    let taken = || subsequence(&OPTIONAL[..], 0..=OPTIONAL.len());
    let golden =
        |texts: &[&str]| texts.iter().map(|text| ((*text).to_owned(), OPTIONAL.to_vec())).collect::<Vec<_>>();
    // A publish that is due must say when; to all other jobs that member is none.
    let in_job = |text: &str, taken: &[&str]| {
        let taken: Vec<_> = taken.iter().copied().filter(|name| *name != "due").collect();
        let mut less: Value = serde_json::from_str(text).expect("is JSON");
        without(&mut less, &taken);
        let job = Job::from_json(&less.to_string()).unwrap_or_else(|e| panic!("{e}: {less}"));
        assert_eq!(kind(&job.task), less["task"], "{less}");
        reads_less_and_more(text, &taken, Job::to_json);
    };
    let jobs = job().prop_map(|job| job.to_json());
    hold("jobs_of_others", 4, golden(&GOLDEN_JOBS), (jobs, taken()), |(text, taken)| in_job(&text, &taken));
    let publishes = publish().prop_map(|publish| publish.to_json());
    hold("publishes_of_others", 4, [], (publishes, taken()), |(text, taken)| {
        // How a publish is carried out, which every entry says.
        let taken: Vec<_> =
            taken.into_iter().filter(|name| *name != "mode" && *name != "kept_until").collect();
        reads_less_and_more(&text, &taken, Publish::to_json);
    });
    let marks = (mark().prop_map(|mark| mark.to_json()), any::<bool>());
    hold("marks_of_others", 2, [], marks, |(text, waits)| {
        reads_less_and_more(&text, if waits { &[] } else { &["waits_until"] }, RouteProgress::to_json);
    });
    for text in GOLDEN_PUBLISHES {
        assert_eq!(Publish::from_json(text).expect("golden").to_json(), text);
    }
    for text in GOLDEN_MARKS {
        assert_eq!(read_mark(text).expect("golden").to_json(), text);
    }
}

/// What an older program may find in a queue that it shares with a newer one.
#[test]
fn newer_versions_are_told_apart_whatever_they_hold() {
    let corpus = GOLDEN_JOBS.map(|text| (2, serde_json::from_str(text).expect("is JSON")));
    let versions = prop_oneof![2..9u32, 2..=u32::MAX];
    hold("newer_jobs", 2, corpus, (versions, json_object()), |(version, mut newer)| {
        newer["v"] = version.into();
        let job = Job::from_json(&newer.to_string());
        assert!(matches!(job, Err(BadJob::Version(v)) if v == version), "{job:?}");
    });
}
