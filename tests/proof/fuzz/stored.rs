//! Records and bodies: what was written is read again, and damage is an error or harmless.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use perennial::Millis;
use perennial::parts::freshness::state;
use perennial::parts::memory::Entry;
use perennial::parts::record::content::Content;
use perennial::parts::record::page_record::{BadRecord, BodyRef, Coding, Form, Record, Stored};
use perennial::parts::record::reason::Reason;
use perennial_serve::reply::{self, Label, PageAnswer, Reply};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::hold;
use crate::world::{LIMITS, SITES, with_changes};

const GOLDEN_RECORDS: [&str; 4] = [
    include_str!("../../../shared/core/src/record/v1_page.json"),
    include_str!("../../../shared/core/src/record/v1_headers.json"),
    include_str!("../../../shared/core/src/record/v2_headers.json"),
    include_str!("../../../shared/core/src/record/v1_redirect.json"),
];

pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..100u64, Just(u64::MAX), Just(1_700_000_000_000)]
}

pub(crate) fn reason() -> impl Strategy<Value = Reason> {
    select(vec![Reason::Build, Reason::First, Reason::Stale, Reason::OnDemand])
}

fn body() -> impl Strategy<Value = BodyRef> {
    let coding = select(vec![Coding::Identity, Coding::Br, Coding::Gzip]);
    (any::<String>(), coding, number(), number(), any::<String>()).prop_map(
        |(sha256, coding, stored_bytes, bytes, etag)| BodyRef { sha256, coding, stored_bytes, bytes, etag },
    )
}

fn stored() -> impl Strategy<Value = Stored> {
    prop_oneof![
        (body(), body()).prop_map(|(html, data)| Stored::Page { html, data }),
        (body(), body()).prop_map(|(html, data)| Stored::NotFound { html, data }),
        (any::<String>(), any::<u16>(), any::<bool>())
            .prop_map(|(destination, status, base_path)| Stored::Redirect { destination, status, base_path }),
        Just(Stored::Deleted),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let times = (
        number(),
        number(),
        number(),
        proptest::option::of(any::<u32>()),
        proptest::option::of(number()),
        number(),
    );
    let headers = btree_map(any::<String>(), vec(any::<String>(), 0..3), 0..3);
    let rest = (reason(), vec(any::<String>(), 0..3), headers, stored());
    (times, rest).prop_map(|((generation, epoch, started_at, period_s, expires_at, modified_at), rest)| {
        let (reason, tags, headers, stored) = rest;
        let (started_at, modified_at) = (Millis(started_at), Millis(modified_at));
        let expires_at = expires_at.map(Millis);
        Record {
            generation,
            epoch,
            started_at,
            period_s,
            expires_at,
            modified_at,
            reason,
            tags,
            headers,
            stored,
        }
    })
}

#[test]
fn what_is_written_is_read_again() {
    hold("written_records", 4, [], record(), |record| {
        assert_eq!(Record::from_bytes(&record.to_bytes()).expect("was written"), record);
    });
}

/// Bytes to be read that are not all as they were written, and some more: a corpus, and what is made up.
pub(crate) fn damaged(
    golden: Vec<&'static str>,
    written: impl Strategy<Value = Vec<u8>>,
) -> (impl Iterator<Item = Vec<u8>>, impl Strategy<Value = Vec<u8>>) {
    let golden = select(golden).prop_map(|text| text.as_bytes().to_vec());
    let bytes = prop_oneof![
        4 => with_changes(golden.clone()),
        2 => with_changes(written),
        2 => (golden, any::<prop::sample::Index>()).prop_map(|(text, at)| text[..at.index(text.len())].to_vec()),
        1 => vec(any::<u8>(), 0..64),
    ];
    let corpus = [
        "",
        "{}",
        "null",
        "[]",
        "{\"v\":0}",
        "{\"v\":-1}",
        "{\"v\":1e0}",
        "{\"v\":1,\"v\":1}",
        "{\"v\":\"1\"}",
        "{\"v\":1,\"kind\":\"deleted\"}",
        "{\"v\":1,\"task\":\"walk\"}",
        "\u{feff}{\"v\":1}",
    ];
    let deep = "[".repeat(100_000).into_bytes();
    (corpus.into_iter().map(|text| text.as_bytes().to_vec()).chain([deep]), bytes)
}

/// Whatever is read can be written, and is then the same; so damage that goes unseen at least stays as it is.
#[test]
fn any_bytes_are_a_value_or_an_error() {
    let (corpus, bytes) = damaged(GOLDEN_RECORDS.to_vec(), record().prop_map(|record| record.to_bytes()));
    hold("stored_bytes", 16, corpus, bytes, |bytes| {
        if let Ok(record) = Record::from_bytes(&bytes) {
            assert_eq!(Record::from_bytes(&record.to_bytes()).expect("was written"), record);
        }
    });
}

/// What an older program may find in a store that it shares with a newer one.
#[test]
fn newer_versions_are_told_apart_whatever_they_hold() {
    let corpus = GOLDEN_RECORDS.map(|text| (3, serde_json::from_str(text).expect("is JSON")));
    let versions = prop_oneof![3..9u32, 3..=u32::MAX];
    hold("newer_versions", 2, corpus, (versions, json_object()), |(version, mut newer)| {
        newer["v"] = version.into();
        let record = Record::from_bytes(newer.to_string().as_bytes());
        assert!(matches!(record, Err(BadRecord::Version(v)) if v == u64::from(version)), "{record:?}");
    });
}

/// An object with any members.
pub(crate) fn json_object() -> impl Strategy<Value = Value> {
    btree_map("[a-z]{1,8}", json(), 0..4)
        .prop_map(|members: BTreeMap<String, Value>| Value::Object(members.into_iter().collect()))
}

/// Any JSON, not deep.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn a_body_is_the_same_in_every_coding() {
    let text =
        prop_oneof![any::<String>(), (any::<String>(), 1..400usize).prop_map(|(text, n)| text.repeat(n))];
    hold("bodies", 1, [String::new(), "\0".repeat(255), "a".repeat(256), "é".repeat(128)], text, |text| {
        let rendered = Content::render(text.clone());
        let loaded = Content::load(rendered.body().clone(), rendered.stored().clone()).expect("was stored");
        assert_eq!(loaded.coded(Coding::Identity), text);
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&loaded.coded(Coding::Gzip)[..])
            .read_to_string(&mut plain)
            .expect("gzip");
        assert_eq!(plain, text);
        if loaded.body().sent_as(Coding::Br) == Coding::Br {
            let mut plain = String::new();
            let br = loaded.coded(Coding::Br);
            brotli::Decompressor::new(&br[..], 4096).read_to_string(&mut plain).expect("brotli");
            assert_eq!(plain, text);
        }
        let shorter = rendered.stored().slice(..rendered.stored().len().saturating_sub(1));
        let longer: Bytes = [&rendered.stored()[..], b"x"].concat().into();
        for other in [shorter, longer].into_iter().filter(|other| other.len() != rendered.stored().len()) {
            assert!(Content::load(rendered.body().clone(), other).is_none());
        }
    });
}

/// A record whose damage goes unseen, and bytes of the length that it names: no answer panics, and a store that lies
/// about lengths costs no more memory than it holds.
#[test]
fn an_answer_is_made_of_any_record() {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..64),
        any::<String>().prop_map(|text| Content::render(text.repeat(40)).stored().to_vec()),
    ];
    let page = |coding, bytes| {
        let body = BodyRef { sha256: "a".into(), coding, stored_bytes: 0, bytes, etag: "a\n".into() };
        let mut record = Record::from_bytes(GOLDEN_RECORDS[0].as_bytes()).expect("golden");
        record.stored = Stored::Page { html: body.clone(), data: body };
        record.modified_at = Millis(bytes);
        (record, b"\x0b\x02\x80hello\x03".to_vec(), 0, 0)
    };
    let corpus = [
        page(Coding::Br, u64::MAX),
        page(Coding::Br, 1 << 50),
        page(Coding::Identity, u64::MAX),
        page(Coding::Gzip, 1 << 50),
        page(Coding::Br, 0),
    ];
    hold(
        "answers",
        8,
        corpus,
        (record(), bytes, number(), any::<u8>()),
        |(mut record, bytes, now, style)| {
            if let Stored::Page { html, data } | Stored::NotFound { html, data } = &mut record.stored {
                html.stored_bytes = bytes.len() as u64;
                data.stored_bytes = bytes.len() as u64;
            }
            let load = |form| {
                let body = record.stored.body(form)?;
                Content::load(body.clone(), bytes.clone().into()).map(Arc::new)
            };
            let (html, data) = (load(Form::Html), load(Form::Data));
            for content in html.iter().chain(&data) {
                assert!(content.weight() >= bytes.len() as u64);
            }
            let now = Millis(now);
            let entry = Entry {
                html,
                data,
                record: Arc::new(record),
                snapshot: Default::default(),
                version: None,
                read_at: now,
                unsaved: style & 1 == 0,
            };
            let answer = answer(&entry, now, style);
            assert!(answer.headers().contains_key("cache-control"));
        },
    );
}

/// An answer of one of many kinds: bits of `style` choose method, form, label and coding.
fn answer(entry: &Entry, now: Millis, style: u8) -> Reply {
    let spelt = &SITES[0];
    let page = spelt.site.page_of_key("/never").expect("of this site");
    let method = if style & 2 == 0 { Method::GET } else { Method::HEAD };
    let accept = ["", "br", "gzip", "*;q=0"][usize::from(style >> 6)];
    let request =
        Request::builder().method(method).header("accept-encoding", accept).header("if-none-match", "\"a\"");
    let shown = PageAnswer {
        is_resource: style & 8 == 0,
        entry,
        form: if style & 4 == 0 { Form::Html } else { Form::Data },
        state: state(&entry.record, 0, now, false),
        label: [Label::Hit, Label::Stale, Label::Miss, Label::Bypass][usize::from(style >> 3 & 3)],
        collapsed: style & 32 == 0,
        now,
        edge_stale_s: 60,
        endless_s: 60,
        base_path: spelt.site.base_path(),
        page: page.key(),
        limits: &LIMITS,
        tag_header: Some("cache-tag"),
    };
    reply::page(&request.body(()).expect("a request").into_parts().0, &shown, None)
}
