//! Publishers' payloads and the rules that read them: any JSON is a call or an error, and a value stays where it is put.

use http::HeaderMap;
use perennial::key::decode_path;
use perennial::testing::Text;
use perennial::webhooks::{Payload, Provider};
use perennial::{Limits, ReadySite, Route, Site, check_tag};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use revalidate::mapped::{Over, mapped};
use revalidate::plan::pages;
use revalidate::webhook::{Delivery, Vouched};
use serde_json::{Value, json};

use crate::hold;
use crate::stored::json;
use crate::world::{LIMITS, segment};

fn site(base: &str, rules: &str) -> Result<ReadySite, String> {
    let routes = ["/", "/never", "/blog/{slug}", "/blog/new", "/catch/{*all}", "/{a}/in/{b}"];
    let site = routes.iter().fold(Site::new(), |site, route| site.route(Route::new(*route, Text)));
    site.webhooks(rules.to_owned()).ready(Some(base), None).map_err(|e| e.to_string())
}

fn delivery() -> Delivery {
    Delivery {
        provider: Provider::GitHub,
        id: None,
        signed: None,
        key: String::new(),
        vouched: Vouched::Request,
    }
}

/// The paths that a template makes of a payload below a base path.
fn paths(base: &str, template: &str, payload: &Value) -> Vec<String> {
    let site = site(base, &json!({"rules": [{"paths": [template]}]}).to_string()).expect("a rule");
    let over = Over::default();
    let mapped = mapped(&site, &LIMITS, &delivery(), &HeaderMap::new(), payload, over).expect("no deletion");
    mapped.plans.into_iter().flat_map(|plan| plan.paths).collect()
}

fn decoded(path: &str) -> Vec<String> {
    decode_path(path).expect("encoded").into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// A value, whatever it is, is one segment or the part of one that the template says; or the rule names nothing.
#[test]
fn a_value_is_where_its_template_has_it() {
    let value = prop_oneof![3 => segment(), 1 => any::<String>()];
    let base = select(vec!["", "/docs", "/blog"]);
    let corpus =
        ["", "/", "\0", "..", "../never", "never", "//", "a/b", "?x", "#", "%2F", "new", "docs", "\\"]
            .map(|text| (text.to_owned(), "/docs"));
    hold("webhook_values", 8, corpus, (value, base), |(value, base)| {
        let body = json!({ "v": value });
        let below = |path: &str| decoded(path.strip_prefix(base).expect("below the base path"));
        for (template, segments) in [
            ("/blog/{/v}", vec!["blog".to_owned(), value.clone()]),
            ("/blog/a-{/v}.b", vec!["blog".to_owned(), format!("a-{value}.b")]),
            ("/{/v}/in/{/v}", vec![value.clone(), "in".to_owned(), value.clone()]),
        ] {
            for path in paths(base, template, &body) {
                assert_eq!(below(&path), segments, "{template} of {value:?}");
                // And that page is what the path is read as.
                let site = site(base, r#"{"rules":[]}"#).expect("a site");
                let page = pages(&path, &site, &LIMITS).expect("a page").remove(0);
                assert_eq!(decoded(page.key().path()), segments, "{path}");
            }
        }
        for path in paths(base, "/catch/{*/v}", &body) {
            let given: Vec<_> = value.trim_matches('/').split('/').map(str::to_owned).collect();
            assert_eq!(below(&path), [&["catch".to_owned()], &given[..]].concat());
        }
    });
}

/// A value that can be a segment is one: nothing is lost. Dot segments cannot.
#[test]
fn a_value_that_names_a_page_does() {
    let corpus = ["a/b", ". .", ".", "..", "..."].map(str::to_owned);
    hold("webhook_pages", 4, corpus, segment(), |value| {
        let is_segment = !matches!(&*value, "." | "..");
        let named = paths("/docs", "/blog/{/v}", &json!({ "v": value })).len();
        assert_eq!(named, usize::from(is_segment), "{value:?}");
    });
}

/// Fields, right and wrong.
const FIELDS: [&str; 12] = [
    "{/a}",
    "{/z}",
    "{*/a}",
    "{/a/*}",
    "{/a/c?}",
    "{/a/b}",
    "{/*/b|x*y}",
    "{/a/*/*}",
    "{/z?}",
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
    (templates, vec(prop_oneof![8 => select(&FIELDS[..9]), 1 => select(&FIELDS[..])], 2..3)).prop_map(
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
    ]);
    let names = select(vec!["provider", "header ", "/a", "/*/b", "a", "/"]);
    let wrong = (names, json()).prop_map(|(name, wanted)| json!({ name: wanted }));
    prop_oneof![8 => right, 1 => wrong]
}

fn rules() -> impl Strategy<Value = Value> {
    let mode = select(vec!["now", "now", "now", "stale", "stale", "delete", "soon"]);
    let rule = (conditions(), vec(path_templates(), 0..3), vec(tag_templates(), 0..3), mode);
    let rule = rule.prop_map(
        |(when, paths, tags, mode)| json!({"when": when, "paths": paths, "tags": tags, "mode": mode}),
    );
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
        let read = site
            .webhooks()
            .read(&Payload { provider: Provider::GitHub, headers: &headers, vouched: None, body }, &limits);
        for changed in read.iter().filter_map(|read| read.result.as_ref().ok()) {
            assert!(changed.paths.iter().all(|path| path.starts_with('/') && !path.starts_with("//")));
            assert!(changed.tags.iter().all(|tag| check_tag(tag, &limits).is_ok()), "{:?}", changed.tags);
        }
        let made = mapped(&site, &limits, &delivery(), &headers, body, Over::default());
        let Ok(made) = made else { return };
        let asked: usize = made.plans.iter().map(|plan| plan.paths.len() + plan.tags.len()).sum();
        assert!(asked <= limits.max_revalidations, "{:?}", made.plans);
        for path in made.plans.iter().flat_map(|plan| &plan.paths) {
            assert!(path.starts_with("/docs/") && pages(path, &site, &limits).is_ok(), "{path}");
        }
    });
    hold("webhook_texts", 4, [], any::<String>(), |text| drop(site("", &text)));
}
