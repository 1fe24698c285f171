//! A request's target becomes a page, a redirect or a refusal; and a page's key and its URLs lead back to it.

use std::borrow::Cow;

use http::request::Parts;
use perennial::parts::key::encode::decode_segment;
use perennial::parts::key::url::as_sent;
use perennial::parts::record::page_record::Form;
use perennial::parts::site::route::Resolved;
use perennial_revalidate::paths;
use perennial_serve::request::{Target, target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::hold;
use crate::world::{BUILD, LIMITS, SITES, Spelt, encoded, request, segment, targets};

const CORPUS: [&str; 42] = [
    "/",
    "//",
    "/\\",
    "/\\/evil.example",
    "//evil.example/%2e%2e",
    "/..//evil.example",
    "/.//evil.example/",
    "///evil.example",
    "/%2Fevil.example/",
    "/%5Cevil.example/",
    "/blog/%2e%2e/never",
    "/blog/..%2fnever",
    "/blog//a?x=//evil.example",
    "/é/",
    "//é?ö=ü",
    "/blog/a\u{301}/",
    "/blog/%",
    "/blog/%a",
    "/blog/%00",
    "/blog/%FF",
    "/docs",
    "/docs/",
    "//docs",
    "/docs\\",
    "/docs//a.b/",
    "/%64ocs/never",
    "/docs/docs",
    "/a.b/c",
    "/a.b/c/",
    "/_perennial",
    "/_perennial/",
    "/_perennial/data/b1/index.json",
    "/_perennial/data/b1/index/index.json",
    "/_perennial/data/b1/_perennial/x.json",
    "/_perennial/data/b1/%5fperennial/data/b1/a.json",
    "/_perennial/data/b1/a%2Ejson",
    "/_perennial/data/b1/.json.json",
    "/%5fperennial/data/b1/never.json",
    "/vary/x?page=2&page=3",
    "http://evil.example//never",
    "*",
    "/blog/{slug}|a",
];

#[test]
fn a_target_is_a_page_a_redirect_or_a_refusal() {
    let corpus = CORPUS.map(|target| target.as_bytes().to_vec());
    hold("targets", 24, corpus, targets(), |target| {
        if let Some(parts) = request(&target) {
            SITES.iter().for_each(|spelt| judge(spelt, &parts));
        }
    });
}

/// What arrives on Lambda: a path as it was sent, beside a URL that has been tidied up.
#[test]
fn what_lambda_hands_over_is_what_was_sent() {
    let corpus = CORPUS.map(|target| (target.to_owned(), "/x?a=b".to_owned()));
    let sent = prop_oneof![
        targets().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        any::<String>(),
    ];
    hold("lambda_targets", 4, corpus, (sent, "/[a-z?=&%]{0,20}"), |(sent, normalised)| {
        let Ok(normalised) = normalised.parse() else { return };
        let mut parts = http::Request::new(()).into_parts().0;
        parts.uri = as_sent(&sent, &normalised);
        if sent.starts_with('/') && !sent.contains(['?', '#']) && parts.uri != "/%" {
            assert_eq!((parts.uri.path(), parts.uri.query()), (&*sent, normalised.query()));
        }
        judge(&SITES[0], &parts);
    });
}

fn judge(spelt: &Spelt, parts: &Parts) {
    match target(parts, &spelt.site, BUILD, &LIMITS) {
        Target::Page(_, segments) => {
            let pages = spelt.site.candidates(&segments, parts.uri.query());
            pages.for_each(|page| leads_back(spelt, &page, &segments, parts.uri.query()));
        }
        Target::Elsewhere(to) => redirects_once(spelt, parts, &to),
        Target::Malformed(bad) => {
            let segments = parts.uri.path().split(['/', '\\']);
            let found: Vec<_> = segments.filter_map(|segment| decode_segment(segment).err()).collect();
            assert!(found.contains(&bad), "{bad}");
        }
        Target::Nothing | Target::PathTooLong => {}
        refused @ (Target::Method | Target::HeadTooLong) => panic!("{refused:?} of a bare GET"),
    }
}

/// A page's canonical URL is a page and no redirect; its data URL, its key and a publisher's path name the same page.
fn leads_back(spelt: &Spelt, page: &Resolved, segments: &[Cow<'_, str>], query: Option<&str>) {
    let Spelt { site, urls } = spelt;
    let key = page.key();
    assert!(is_tame(key.path()), "{}", key.path());
    let hash = key.hash();
    assert!(hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    assert!(key.as_str().starts_with(page.route().id()) && key.route() == page.route().id());
    let values = &key.as_str()[key.route().len()..];
    assert!(values.bytes().all(|b| b.is_ascii_graphic()), "{key}");

    let named = site.page_of_key(key.as_str()).expect("a page of this site");
    assert_eq!((named.key(), named.key().path()), (key, key.path()));

    for (url, form) in [(urls.page(key.path()), Form::Html), (urls.data(key.path()), Form::Data)] {
        let url = query.map_or_else(|| url.clone(), |query| format!("{url}?{query}"));
        let again = request(url.as_bytes()).expect("a canonical URL is a target");
        if again.uri.path().len() > LIMITS.max_path_bytes {
            continue;
        }
        let Target::Page(of, found) = target(&again, site, BUILD, &LIMITS) else {
            panic!("{url} of {key} is {:?}", target(&again, site, BUILD, &LIMITS));
        };
        assert_eq!((of, &found[..]), (form, segments), "{url}");
        assert!(site.candidates(&found, again.uri.query()).any(|other| other.key() == key), "{url}");
    }
    let called = paths::pages(&urls.page(key.path()), site, &LIMITS).expect("a page's own URL");
    assert!(called.iter().any(|other| other.key().as_str() == key.base_text()), "{key}");
}

/// A redirect stays on its host, keeps the query, and ends at a page or at nothing.
fn redirects_once(spelt: &Spelt, parts: &Parts, to: &str) {
    assert!(is_tame(to), "{to}");
    let again = request(to.as_bytes()).expect("a redirect leads to a target");
    let target = target(&again, &spelt.site, BUILD, &LIMITS);
    let ends = matches!(target, Target::Page(Form::Html, _) | Target::Nothing | Target::PathTooLong);
    assert!(ends, "{} is sent to {to}, which is {target:?}", parts.uri);
    let decode = |path: &str| -> Vec<String> {
        let segments = path.split(['/', '\\']).filter(|segment| !segment.is_empty());
        segments.map(|segment| decode_segment(segment).expect("was decoded").into_owned()).collect()
    };
    assert_eq!(decode(again.uri.path()), decode(parts.uri.path()));
    let pairs = |parts: &Parts| -> Vec<_> {
        form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).into_owned().collect()
    };
    assert_eq!(pairs(&again), pairs(parts));
}

/// An absolute path that every client reads as such: visible ASCII, on this host.
fn is_tame(path: &str) -> bool {
    let visible = path.bytes().all(|b| b.is_ascii_graphic());
    let path = path.split('?').next().unwrap_or(path);
    visible && path.starts_with('/') && !path.contains("//") && !path.contains('\\')
}

fn path() -> impl Strategy<Value = Vec<String>> {
    let first = select(vec!["blog", "mix", "vary", "index", "a", "_perennial"]);
    let segments = (proptest::option::of(first), vec(segment(), 0..4));
    segments.prop_map(|(first, rest)| first.into_iter().map(str::to_owned).chain(rest).collect())
}

/// Two paths share a key only if they have the same segments; and a path that was read is what was written.
#[test]
fn different_paths_never_share_a_key() {
    let nasty = [
        (vec!["mix", "a", "b"], vec!["mix", "a/b"]),
        (vec!["mix", "a|b"], vec!["mix", "a", "b"]),
        (vec!["blog", "a?page=2"], vec!["blog", "a"]),
        (vec!["blog", "é"], vec!["blog", "e\u{301}"]),
        (vec!["index"], vec![]),
        (vec!["blog", "a%2Fb"], vec!["blog", "a/b"]),
        (vec!["a", "in", "b|c"], vec!["a|b", "in", "c"]),
        (vec!["_perennial"], vec!["_perennial", "a"]),
    ];
    let owned = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let corpus = nasty.map(|(a, b)| (owned(a), owned(b)));
    hold("paths", 24, corpus, (path(), path()), |(a, b)| {
        for spelt in SITES.iter() {
            let [first, second] = [&a, &b].map(|path| key_of(spelt, path));
            if let (Some(first), Some(second)) = (first, second) {
                assert_eq!(first == second, a == b, "{first:?}");
            }
        }
    });
}

/// The key and hash of the page at these segments, which must be read as they are.
fn key_of(spelt: &Spelt, path: &[String]) -> Option<(String, String)> {
    let Spelt { site, urls } = spelt;
    let url = urls.page(&encoded(path));
    let parts = request(url.as_bytes()).expect("a target");
    let segments = match target(&parts, site, BUILD, &LIMITS) {
        Target::Page(Form::Html, segments) => segments,
        Target::PathTooLong => return None,
        Target::Nothing if path.first().is_some_and(|first| first == "_perennial") => return None,
        other => panic!("{url} is {other:?}"),
    };
    assert_eq!(segments, path);
    let page = site.candidates(&segments, None).next()?;
    Some((page.key().as_str().to_owned(), page.key().hash()))
}
