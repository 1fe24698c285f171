//! What publishers send: queries, bodies, secrets and signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::request::Parts;
use http::{HeaderValue, Request};
use perennial::Millis;
use perennial::parts::key::tags::{SITE_TAG, route_tag, user_tag};
use perennial::parts::site::route::Resolved;
use perennial_revalidate::auth::Secrets;
use perennial_revalidate::paths::pages;
use perennial_revalidate::plan::{EndpointRequest, Plan, plan};
use perennial_serve::request::{Target, target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::hold;
use crate::stored::json;
use crate::world::{BUILD, LIMITS, SITES, request, segment, targets, with_changes};

const SECRET: &str = "Zq7-a-secret-that-nobody-guesses";

/// Letters that a query may have besides those that belong to URLs.
fn call(query: &str, fields: &[(&'static str, &[u8])]) -> Option<Parts> {
    let mut parts = Request::post(format!("/api/revalidate?{query}")).body(()).ok()?.into_parts().0;
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            parts.headers.append(*name, value);
        }
    }
    Some(parts)
}

pub(crate) fn read(query: &str, body: &[u8]) -> Option<Result<Plan, String>> {
    let call = call(query, &[("authorization", format!("Bearer {SECRET}").as_bytes())])?;
    let read = plan(&call, body, &SITES[0].site, &LIMITS).map(|parsed| match parsed {
        EndpointRequest::Plan(plan) => plan,
        EndpointRequest::Payload(..) => panic!("a payload for a site without rules"),
    });
    match &read {
        Ok(plan) => {
            let asked = plan.paths.len() + plan.tags.len();
            assert!((1..=LIMITS.max_revalidations).contains(&asked), "{asked} paths and tags");
            let known = |tag: &String| {
                ["tag:", "route:/"].iter().any(|kind| tag.starts_with(kind)) || tag == SITE_TAG
            };
            assert!(plan.tags.iter().all(known), "{plan:?}");
        }
        Err(message) => assert!(!message.is_empty() && !message.contains(SECRET), "{message}"),
    }
    Some(read)
}

/// Words of queries, right and wrong.
fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = select(vec![
        "path",
        "path",
        "tag",
        "route",
        "site",
        "mode",
        "only_generated",
        "secret",
        "pfad",
        "Path",
        "",
    ]);
    let words = vec![
        "/never",
        "/blog/a",
        "",
        "a",
        "a,b",
        "true",
        "false",
        "1",
        "now",
        "stale",
        "delete",
        "Now",
        "/blog/{slug}",
        SECRET,
    ];
    let value = prop_oneof![4 => select(words).prop_map(str::to_owned), 1 => any::<String>()];
    vec((name.prop_map(str::to_owned), value), 0..6)
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let names =
        select(vec!["path", "paths", "tag", "tags", "route", "site", "mode", "only_generated", "secret"]);
    let value = prop_oneof![
        select(vec![
            json!("/never"),
            json!(["/a", "/b"]),
            json!(true),
            json!("stale"),
            json!("delete"),
            json!(null),
            json!([])
        ]),
        json(),
    ];
    let member = (names, value)
        .prop_map(|(name, value)| (name.to_owned(), if name == "secret" { json!(SECRET) } else { value }));
    let members = vec(member, 0..5).prop_map(|members| members.into_iter().collect::<Value>());
    let many = (0..300usize).prop_map(|n| json!({"paths": vec!["/a"; n], "tags": vec!["t"; n / 3]}));
    let text =
        prop_oneof![4 => members, 1 => many, 1 => json()].prop_map(|value| value.to_string().into_bytes());
    prop_oneof![4 => text.clone(), 2 => with_changes(text), 1 => vec(any::<u8>(), 0..64)]
}

#[test]
fn a_call_is_a_plan_within_limits_or_an_error_with_a_message() {
    let query = |pairs: &Vec<(String, String)>| {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let deep = ["[".repeat(100_000), "{\"paths\":".repeat(1000)].map(String::into_bytes);
    let bodies_by_hand = [
        "",
        " ",
        "null",
        "[]",
        "\"/a\"",
        "{\"path\":null}",
        "{\"mode\":\"now\",\"mode\":\"now\"}",
        "{\"paths\":[\"\\ud800\"]}",
        "{\"tags\":[\"a\\nb\"]}",
        "\u{feff}{}",
        "{\"site\":\"true\"}",
        "{\"secret\":\"Zq7-a-secret-that-nobody-guesses\"}",
    ];
    let corpus = bodies_by_hand.into_iter().map(|body| body.as_bytes().to_vec()).chain(deep);
    let corpus: Vec<_> = corpus.map(|body| (vec![("secret".to_owned(), SECRET.to_owned())], body)).collect();
    hold("calls", 16, corpus, (pairs(), bodies()), |(pairs, body)| {
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|(name, value)| {
                // The secret stands where secrets do; a message may repeat everything else.
                let value = if name == "secret" { SECRET.to_owned() } else { value.replace(SECRET, "x") };
                (name, value)
            })
            .collect();
        read(&query(&pairs), &body);
    });
    let raw = targets().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    hold("raw_calls", 8, [], (raw, bodies()), |(query, body)| drop(read(&query, &body)));
}

/// Everything that a right call names is in its plan, in a query and in a body alike.
#[test]
fn nothing_that_is_named_is_left_out() {
    let routes = SITES[0].site.routes().iter().map(|route| route.id().to_owned()).collect::<Vec<_>>();
    let routes = proptest::sample::subsequence(routes, 0..3);
    let names = (vec("/[a-z?#%]{0,6}", 0..4), vec("[!-+.-~]{1,8}", 0..4), routes, any::<bool>());
    let mode = select(vec!["now", "stale"]);
    let corpus = [((vec![], vec![], vec!["/blog".to_owned(), "/never".to_owned()], true), "now", true)];
    hold(
        "right_calls",
        8,
        corpus,
        (names, mode, any::<bool>()),
        |((paths, tags, routes, site), mode, only)| {
            let expected: Vec<_> = tags
                .iter()
                .map(|tag| user_tag(tag))
                .chain(routes.iter().map(|route| route_tag(route)))
                .chain(site.then(|| SITE_TAG.to_owned()))
                .collect();
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(paths.iter().map(|path| ("path", path)));
            query.extend_pairs(tags.iter().map(|tag| ("tag", tag)));
            query.extend_pairs(routes.iter().map(|route| ("route", route)));
            query.append_pair("site", if site { "true" } else { "false" });
            query
                .append_pair("mode", mode)
                .append_pair("only_generated", if only { "true" } else { "false" });
            let mut body =
                json!({"paths": paths, "tags": tags, "site": site, "mode": mode, "only_generated": only});
            if let Some(route) = routes.first() {
                body["route"] = route.as_str().into();
            }
            let by_query = read(&query.finish(), b"").expect("a query");
            let mut read_all = vec![by_query];
            if routes.len() < 2 {
                read_all.push(read("", body.to_string().as_bytes()).expect("no query"));
            }
            for read in read_all {
                if paths.len() + expected.len() == 0 {
                    assert!(read.expect_err("nothing named").contains("name what has changed"));
                    continue;
                }
                let plan = read.expect("a right call");
                assert_eq!((&plan.paths, &plan.tags), (&paths, &expected));
                assert_eq!((plan.mode.as_str(), plan.only_generated), (mode, only));
            }
        },
    );
}

/// A publisher's path is read as a visitor's, or refused with a message.
#[test]
fn a_path_names_the_page_that_a_visitor_finds_there() {
    let text = prop_oneof![
        4 => targets().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        2 => vec(segment(), 0..4).prop_map(|segments| format!("/{}", segments.join("/"))),
        1 => any::<String>(),
    ];
    let corpus = [
        "",
        "/",
        "//",
        "/a//",
        "/?",
        "/#",
        "/%",
        "/\0",
        "/docs",
        "/docs?",
        "/docsx",
        "/\\",
        "/_perennial/x",
        "/never/?a#b",
    ];
    hold("call_paths", 16, corpus.map(str::to_owned), text, |text| {
        for spelt in SITES.iter() {
            let found = match pages(&text, &spelt.site, &LIMITS) {
                Err(message) => {
                    assert!(!message.is_empty());
                    continue;
                }
                Ok(found) => found,
            };
            for page in &found {
                let named = spelt.site.page_of_key(page.key().as_str()).expect("of this site");
                assert_eq!(named.key(), page.key());
            }
            if !text.contains(['?', '#']) {
                let more = pages(&format!("{text}?a=/b#/c"), &spelt.site, &LIMITS)
                    .expect("query and fragment aside");
                assert!(more.iter().map(Resolved::key).eq(found.iter().map(Resolved::key)), "{text}");
            }
            let url = spelt.urls.page(found[0].key().path());
            let parts = request(url.as_bytes()).expect("a target");
            if parts.uri.path().len() <= LIMITS.max_path_bytes {
                let Target::Page(_, segments) = target(&parts, &spelt.site, BUILD, &LIMITS) else {
                    panic!("{url} of {text:?} is no page");
                };
                let first = spelt.site.candidates(&segments, None).next().expect("a page");
                assert_eq!(first.key(), found[0].key());
            }
        }
    });
}

/// The field of each publisher's signature.
const SIGNATURES: [&str; 7] = [
    "webhook-signature",
    "svix-signature",
    "x-hub-signature-256",
    "stripe-signature",
    "x-shopify-hmac-sha256",
    "x-contentful-signature",
    "sanity-webhook-signature",
];

/// Fields of a call that may open the door, with any bytes in them.
fn door_fields() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let plain =
        ["authorization", "x-revalidate-secret", "webhook-id", "webhook-timestamp", "x-forwarded-prefix"];
    let contentful = ["x-contentful-timestamp", "x-contentful-signed-headers"];
    let names: Vec<_> = plain.into_iter().chain(contentful).chain(SIGNATURES).collect();
    let words = vec![
        "Bearer ",
        "bearer",
        "Basic ",
        " ",
        "v1,",
        "v1a,",
        "AAAA",
        "sha256=",
        "t=",
        "v1=",
        ",x-contentful-topic",
        "1614265330",
        "-1",
        "+1614265330",
        "99999999999999999999",
        "=",
        ",",
        "é",
    ];
    let built = vec(select(words), 0..5).prop_map(|words| words.concat().into_bytes());
    vec((select(names), prop_oneof![3 => built, 1 => vec(any::<u8>(), 0..40)]), 0..6)
}

fn admits(secrets: &Secrets, call: &Parts, body: &[u8], now: u64) -> bool {
    secrets.verify(call, body, "/docs", Millis(now)).is_ok()
}

#[test]
fn only_a_secret_opens_whatever_else_is_sent() {
    let signing = STANDARD.encode([7; 32]);
    let secrets = Secrets::new(&[SECRET.to_owned(), format!("whsec_{signing}")]).expect("secrets");
    let inputs = (door_fields(), pairs(), vec(any::<u8>(), 0..32), any::<u64>());
    let corpus = [
        (vec![("authorization", b"Bearer".to_vec())], vec![], vec![], 0),
        (vec![("webhook-signature", b"v1,".to_vec())], vec![], vec![], u64::MAX),
        (vec![("x-revalidate-secret", b"\xff".to_vec())], vec![], vec![], 0),
    ];
    hold("doors", 8, corpus, inputs, |(fields, pairs, body, now)| {
        let signed = fields
            .iter()
            .any(|(name, value)| SIGNATURES.contains(name) && HeaderValue::from_bytes(value).is_ok());
        let mut query = form_urlencoded::Serializer::new(String::new());
        let others = pairs.iter().filter(|(name, value)| name != "secret" && value != SECRET);
        let query = query.extend_pairs(others).finish();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &value[..])).collect();
        let without = call(&query, &fields).expect("a call");
        assert!(!admits(&secrets, &without, &body, now), "{fields:?}");
        let with = call(&format!("{query}&secret={SECRET}"), &[]).expect("a call");
        assert!(admits(&secrets, &with, &body, now));
        let beside = call(&format!("{query}&secret={SECRET}"), &fields).expect("a call");
        let others =
            ["authorization", "x-revalidate-secret"].iter().any(|name| beside.headers.contains_key(*name));
        assert_eq!(admits(&secrets, &beside, &body, now), !signed && !others);
    });
}

#[test]
fn a_signature_opens_for_its_own_body_id_and_time() {
    let key = [9; 32];
    let secrets = Secrets::new(&[format!("whsec_{}", STANDARD.encode(key))]).expect("a secret");
    let inputs = ("[!-~]{1,20}", 1_000..u64::from(u32::MAX), vec(any::<u8>(), 0..64), 0..4usize, any::<u8>());
    hold("signatures", 4, [], inputs, |(id, sent_s, body, changed, byte)| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
        mac.update(&[format!("{id}.{sent_s}.").as_bytes(), &body].concat());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let mut values = [id.into_bytes(), sent_s.to_string().into_bytes(), signature.into_bytes(), body];
        let admits = |values: &[Vec<u8>; 4]| {
            let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
            let fields: Vec<_> = names.into_iter().zip(values.iter().map(Vec::as_slice)).collect();
            admits(&secrets, &call("", &fields).expect("a call"), &values[3], sent_s * 1000)
        };
        assert!(admits(&values));
        // The last byte of a field is changed, and not to space, which HTTP takes away.
        let at = values[changed].len().saturating_sub(1);
        match values[changed].get_mut(at) {
            Some(last) => *last = last.wrapping_add(byte % 90 + 1),
            None => values[changed].push(byte),
        }
        assert!(!admits(&values), "{values:?}");
    });
}

/// A start that fails over a secret tells which setting, and not the secret.
#[test]
fn a_secret_that_cannot_be_used_is_not_told() {
    let end = prop_oneof!["[A-Za-z0-9+/=]{8,100}", "\\PC{8,40}"];
    hold("bad_secrets", 4, ["!!!!!!!!".to_owned()], end, |end| {
        if let Err(message) = Secrets::new(&[format!("whsec_{end}")]) {
            assert!(message.contains("PERENNIAL_REVALIDATE_SECRETS") && !message.contains(&end), "{message}");
        }
        assert!(Secrets::new(&[end, String::new()]).is_err());
    });
}
