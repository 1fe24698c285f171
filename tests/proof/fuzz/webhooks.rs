//! Publishers' payloads and the rules that read them: any body is a call, a payload or an error, and a value stays where it
//! is put.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use perennial::parts::base::limits::Limits;
use perennial::parts::key::encode::decode_path;
use perennial::parts::key::tags::check_tag;
use perennial::parts::testing::Text;
use perennial::parts::webhooks::payload::Payload;
use perennial::parts::webhooks::providers::{github, other};
use perennial::{Millis, ReadySite, Route, Site};
use perennial_revalidate::decide::decide;
use perennial_revalidate::delivery::{Authenticated, Delivery};
use perennial_revalidate::paths::pages;
use perennial_revalidate::payload_plans::payload_plans;
use perennial_revalidate::plan::Overrides;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::hold;
use crate::stored::json;
use crate::world::{LIMITS, segment, with_changes};

pub(crate) fn site(base: &str, rules: &str) -> Result<ReadySite, String> {
    let routes = ["/", "/never", "/blog/{slug}", "/blog/new", "/catch/{*all}", "/{a}/in/{b}"];
    let site = routes.iter().fold(Site::new(), |site, route| site.route(Route::new(*route, Text)));
    site.webhooks(rules.to_owned()).ready(Some(base), None).map_err(|e| e.to_string())
}

pub(crate) fn delivery() -> Delivery {
    Delivery { provider: &github::PROVIDER, ..Delivery::with_secret(&HeaderMap::new(), "") }
}

/// The paths that a template makes of a payload below a base path.
fn paths(base: &str, template: &str, payload: &Value) -> Vec<String> {
    let site = site(base, &json!({"rules": [{"paths": [template]}]}).to_string()).expect("a rule");
    let overrides = Overrides::default();
    let made = payload_plans(&site, &LIMITS, &delivery(), &HeaderMap::new(), payload, overrides)
        .expect("no deletion");
    made.plans.into_iter().flat_map(|plan| plan.paths).collect()
}

fn decoded(path: &str) -> Vec<String> {
    decode_path(path).expect("encoded").into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// A text without its percent-escapes, each decoded once: what is no escape stays, and so does a text that would be none.
fn without_escapes(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, more)) = rest.split_first() {
        let digits = more.get(..2).filter(|two| byte == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let decoded = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &more[2..] } else { more };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A value, whatever it is, is one segment or the part of one that the template says; or the rule names nothing.
#[test]
fn a_value_is_where_its_template_has_it() {
    let value = prop_oneof![3 => segment(), 1 => any::<String>()];
    let base = select(vec!["", "/docs", "/blog"]);
    let corpus = [
        "", "/", "\0", "..", "../never", "never", "//", "a/b", "?x", "#", "%2F", "%c3%a9", "100%", "%00",
        "%FF", "new", "docs", "\\",
    ]
    .map(|text| (text.to_owned(), "/docs"));
    hold("webhook_values", 8, corpus, (value, base), |(value, base)| {
        let body = json!({ "v": value });
        let text = without_escapes(&value);
        let below = |path: &str| decoded(path.strip_prefix(base).expect("below the base path"));
        for (template, segments) in [
            ("/blog/{/v}", vec!["blog".to_owned(), text.clone()]),
            ("/blog/a-{/v}.b", vec!["blog".to_owned(), format!("a-{text}.b")]),
            ("/{/v}/in/{/v}", vec![text.clone(), "in".to_owned(), text.clone()]),
        ] {
            for path in paths(base, template, &body) {
                assert_eq!(below(&path), segments, "{template} of {value:?}");
                // And that page is what the path is read as.
                let site = site(base, r#"{"rules":[]}"#).expect("a site");
                let page = pages(&path, &site, &LIMITS).expect("a page").remove(0);
                assert_eq!(decoded(page.key().path()), segments, "{path}");
            }
        }
        // What stands before the path of a whole URL is no part of the page.
        let is_url = value.contains("://") || value.trim().starts_with("//");
        for path in paths(base, "/catch/{*/v}", &body).into_iter().filter(|_| !is_url) {
            let given = value.split(['?', '#']).next().unwrap_or_default();
            let given = given.strip_prefix('/').unwrap_or(given);
            let given = given.strip_suffix('/').unwrap_or(given);
            let given: Vec<_> = given.split('/').map(without_escapes).collect();
            assert_eq!(below(&path), [&["catch".to_owned()], &given[..]].concat());
        }
    });
}

/// A value that can be a segment is one: nothing is lost. Dot segments cannot.
#[test]
fn a_value_that_names_a_page_does() {
    let corpus = ["a/b", ". .", ".", "..", "..."].map(str::to_owned);
    hold("webhook_pages", 4, corpus, segment(), |value| {
        let text = without_escapes(&value);
        let is_segment = !matches!(&*text, "." | "..") && !text.contains('\0');
        let named = paths("/docs", "/blog/{/v}", &json!({ "v": value })).len();
        assert_eq!(named, usize::from(is_segment), "{value:?}");
    });
}

/// Fields, right and wrong.
const FIELDS: [&str; 16] = [
    "{/a}",
    "{/z}",
    "{*/a}",
    "{/a/*}",
    "{/a/c?}",
    "{/a/b}",
    "{/*/b|x*y}",
    "{/a/*/*}",
    "{/z?}",
    "{}",
    "{$/z}",
    "{/a|https://www.example.org/*}",
    "{*$/a?|/x/*}",
    "{/none}",
    "{a}",
    "{/a|}",
];

fn path_templates() -> impl Strategy<Value = String> {
    let right = vec!["/blog/F", "/blog/x-F", "/catch/F/F", "/F/in/F", "/catch/F", "/never", "/", "/none/F"];
    let wrong =
        vec(select(vec!["/", "blog", "F", "{", "}", "?", "//", "\u{e9}"]), 0..5).prop_map(|p| p.concat());
    with_fields(prop_oneof![8 => select(right).prop_map(str::to_owned), 1 => wrong])
}

fn tag_templates() -> impl Strategy<Value = String> {
    with_fields(select(vec!["F", "post:F", "a", "F-F", "F", "a b", "F,", "{"]).prop_map(str::to_owned))
}

/// With a field for each `F`.
fn with_fields(templates: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (templates, vec(prop_oneof![8 => select(&FIELDS[..13]), 1 => select(&FIELDS[..])], 2..3)).prop_map(
        |(template, fields)| fields.iter().fold(template, |text, field| text.replacen('F', field, 1)),
    )
}

fn conditions() -> impl Strategy<Value = Value> {
    let right = select(vec![
        json!({}),
        json!({"provider": ["github", "sanity"]}),
        json!({"provider": {"not": "sanity"}}),
        json!({"/a": {"exists": true}}),
        json!({"/none": {"exists": false}, "/z": {"exists": true}}),
        json!({"header x-github-event": "push"}),
        json!({"/a/*": {"not": ["x", 1, true]}}),
        json!({"$/z": {"exists": true}}),
        json!({"": {"exists": true}}),
    ]);
    let names = select(vec!["provider", "header ", "/a", "/*/b", "a", "/"]);
    let wrong = (names, json()).prop_map(|(name, wanted)| json!({ name: wanted }));
    prop_oneof![8 => right, 1 => wrong]
}

fn rules() -> impl Strategy<Value = Value> {
    let mode = select(vec!["now", "now", "now", "stale", "stale", "delete", "soon"]);
    let each = prop_oneof![
        3 => Just(None),
        4 => select(vec!["", "/a", "/z", "/*", "/a/c", "/none"]).prop_map(Some),
        1 => Just(Some("a")),
    ];
    let rule = (conditions(), vec(path_templates(), 0..3), vec(tag_templates(), 0..3), mode, each);
    let rule = rule.prop_map(|(when, paths, tags, mode, each)| {
        let mut rule = json!({"when": when, "paths": paths, "tags": tags, "mode": mode});
        if let Some(each) = each {
            rule["each"] = each.into();
        }
        rule
    });
    vec(rule, 1..3).prop_map(|rules| json!({ "rules": rules }))
}

/// Payloads with the members that the templates ask for.
fn payloads() -> impl Strategy<Value = Value> {
    let inner = prop_oneof![1 => json(), 4 => segment().prop_map(Value::from)];
    let list = vec(inner.clone(), 0..5).prop_map(Value::from);
    let object = (inner.clone(), list.clone()).prop_map(|(a, b)| json!({"b": a, "c": b}));
    let value = prop_oneof![inner, list, object];
    prop_oneof![8 => (value.clone(), value).prop_map(|(a, b)| json!({"a": a, "z": b})), 1 => json()]
}

#[test]
fn any_rules_make_a_call_within_limits_of_any_payload() {
    let limits = Limits { max_revalidations: 5, ..LIMITS.clone() };
    let many = json!({"a": vec![vec!["x"; 40]; 40]});
    let corpus = [(json!({"rules": [{"tags": ["{/a/*}{/*/*}"], "paths": ["/blog/{/a/*}"]}]}), many)];
    hold("webhook_rules", 16, corpus, (rules(), payloads()), |(rules, payload)| {
        let site = match site("/docs", &rules.to_string()) {
            Ok(site) => site,
            Err(message) => return assert!(message.contains("webhooks"), "{message}"),
        };
        let headers = HeaderMap::new();
        let body = &payload;
        let read = site.webhooks().apply(
            &Payload { provider: &github::PROVIDER, headers: &headers, signed_fields: None, body },
            &limits,
        );
        for changed in read.iter().filter_map(|read| read.result.as_ref().ok()) {
            assert!(changed.paths.iter().all(|path| path.starts_with('/') && !path.starts_with("//")));
            assert!(changed.tags.iter().all(|tag| check_tag(tag, &limits).is_ok()), "{:?}", changed.tags);
        }
        let made = payload_plans(&site, &limits, &delivery(), &headers, body, Overrides::default());
        let Ok(made) = made else { return };
        let asked: usize = made.plans.iter().map(|plan| plan.paths.len() + plan.tags.len()).sum();
        assert!(asked <= limits.max_revalidations, "{:?}", made.plans);
        for path in made.plans.iter().flat_map(|plan| &plan.paths) {
            assert!(path.starts_with("/docs/") && pages(path, &site, &limits).is_ok(), "{path}");
        }
    });
    hold("webhook_texts", 4, [], any::<String>(), |text| drop(site("", &text)));
}

/// Bodies as they come: JSON and forms, whole and damaged, and anything else.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let json = payloads().prop_map(|value| value.to_string()).boxed();
    let form = payloads().prop_map(|value| {
        form_urlencoded::Serializer::new(String::new()).append_pair("payload", &value.to_string()).finish()
    });
    let numbers = "-?[0-9]{1,30}(\\.[0-9]{1,3})?".prop_map(|n| format!("{{\"a\":{n},\"z\":[{n},\"{n}\"]}}"));
    let texts = prop_oneof![
        4 => json.clone(),
        2 => json.prop_map(|text| format!("\u{feff}{text}")),
        2 => form,
        2 => numbers,
        1 => any::<String>(),
    ];
    let bytes = texts.prop_map(String::into_bytes).boxed();
    prop_oneof![4 => bytes.clone(), 2 => with_changes(bytes), 1 => vec(any::<u8>(), 0..64)]
}

/// Any body of anybody who may call is carried out within limits, or refused with a reason. What a dry run tells is this.
#[test]
fn any_body_is_carried_out_or_refused() {
    let query = select(vec!["", "rules=true", "mode=stale", "path=/docs/never", "tag=t", "rules=1"]);
    let kind = select(vec!["", "application/json", "application/x-www-form-urlencoded", "text/plain; a=b"]);
    let provider = select(vec![&other::PROVIDER, &github::PROVIDER]);
    let authenticated = select(vec![Authenticated::Request, Authenticated::Body(Vec::new())]);
    let deep = ["[".repeat(200_000), "{\"a\":".repeat(40_000), "\"".to_owned() + &"\\".repeat(999)];
    let corpus = deep.map(|text| {
        let rules = json!({"rules": [{"site": true}]});
        (rules, text.into_bytes(), ("rules=true", "", &other::PROVIDER, Authenticated::Request))
    });
    let inputs = (rules(), bodies(), (query, kind, provider, authenticated));
    hold("webhook_bodies", 16, corpus, inputs, |(rules, body, (query, kind, provider, authenticated))| {
        let Ok(site) = site("/docs", &rules.to_string()) else { return };
        let target = format!("/api/revalidate?{query}");
        let mut request = http::Request::post(target).body(()).expect("a target").into_parts().0;
        if !kind.is_empty() {
            request.headers.insert(CONTENT_TYPE, kind.parse().expect("a type"));
        }
        let delivery = Delivery { provider, authenticated, ..delivery() };
        match decide(&request, &body, &delivery, &site, &LIMITS, Millis(0)) {
            Ok(decided) => {
                let asked: usize = decided
                    .publishes
                    .iter()
                    .map(|planned| planned.request.paths.len() + planned.request.tags.len())
                    .sum();
                assert!(asked <= LIMITS.max_revalidations, "{:?}", decided.publishes);
                assert!(matches!(decided.status().as_u16(), 200 | 202));
                assert!(!decided.publishes.is_empty() || decided.rules.is_some(), "a call does something");
            }
            Err(refused) => {
                assert!(refused.status == 400 && !refused.message.is_empty(), "{refused:?}");
            }
        }
    });
}
