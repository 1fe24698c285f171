//! Texts of routes, and which route wins.

use std::collections::HashSet;

use perennial::parts::key::encode::decode_path;
use perennial::parts::key::params::Params;
use perennial::parts::key::pattern::Pattern;
use perennial::parts::key::url::Urls;
use perennial::parts::record::page_record::Form;
use perennial::parts::testing::Text;
use perennial::{ReadySite, Route, Site};
use perennial_revalidate::paths;
use perennial_serve::request::{Target, target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::hold;
use crate::world::{BUILD, LIMITS, encoded, request, segment};

fn site(patterns: &[String]) -> Result<ReadySite, String> {
    let routes = patterns.iter().map(|pattern| Route::new(pattern.as_str(), Text));
    routes.fold(Site::new(), Site::route).ready(None, None).map_err(|error| error.to_string())
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = vec![
        "/",
        "/",
        "/",
        "/",
        "{",
        "}",
        "*",
        "{a}",
        "{b}",
        "{*c}",
        "{a}",
        "a",
        "b",
        "é",
        " ",
        "%41",
        "|",
        "?",
        "#",
        ".",
        "..",
        "\\",
        "_perennial",
        "\0",
        "\n",
        "\u{7f}",
        "\u{2028}",
        ":",
        "&",
        "{é}",
        "{}",
        "{*}",
        "{_}",
        "-{a}",
        "{b}.",
        "_{d}",
        ".{d}",
        "[a]",
        "<a>",
    ];
    let built = vec(select(pieces), 0..8).prop_map(|pieces| format!("/{}", pieces.concat()));
    prop_oneof![6 => built, 1 => any::<String>(), 1 => any::<String>().prop_map(|text| format!("/{text}"))]
}

/// A parameter's name, and the literals around it.
fn around(part: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = part.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// What a page of this route gives for its parameters, out of these values.
fn fill(pattern: &str, values: &[String]) -> (Params, Vec<String>) {
    let mut path = Vec::new();
    let mut params = Params::new();
    for (part, value) in pattern.split('/').filter(|part| !part.is_empty()).zip(values.iter().cycle()) {
        match around(part) {
            None => path.push(part.to_owned()),
            Some((before, name, after)) => match name.strip_prefix('*') {
                None => {
                    params = params.with(name, value.clone());
                    path.push(format!("{before}{value}{after}"));
                }
                Some(name) => {
                    params = params.with(name, values.to_vec());
                    path.extend_from_slice(values);
                }
            },
        }
    }
    (params, path)
}

/// Patterns that are wrong, or nearly.
const CORPUS: [&str; 33] = [
    "",
    "/",
    "//",
    "/a/",
    "/{}",
    "/{*}",
    "/{a}{b}",
    "/{*a}/b",
    "/{a}/{a}",
    "/{a}/{*a}",
    "/_perennial",
    "/%61",
    "/.",
    "/a\0",
    "/a\nb",
    "/\u{7f}",
    "/a b/{x}",
    "/é/{x}",
    "/{é}",
    "/_perennial/{x}",
    "/{x}",
    "/{*x}",
    "/|",
    "/a?b",
    "/og/{a}.png",
    "/post-{a}",
    "/{a}-{b}",
    "/_{a}",
    "/.{a}",
    "/{a}.",
    "/x{*a}",
    "/:a",
    "/[a]",
];

/// A pattern is refused with a reason, or every page of it can be asked for, under the key that names it.
#[test]
fn a_pattern_is_refused_or_its_pages_can_be_asked_for() {
    let corpus = CORPUS.map(|text| (text.to_owned(), vec!["_perennial".to_owned()]));
    hold("patterns", 16, corpus, (texts(), vec(segment(), 1..4)), |(text, values)| {
        let pattern = match Pattern::parse(&text) {
            Err(reason) => return assert!(reason.contains(&text) && reason.len() > text.len()),
            Ok(pattern) => pattern,
        };
        assert_eq!(pattern.as_str(), text);
        let (params, path) = fill(&text, &values);
        let arranged = match pattern.arrange(&params) {
            Err(reason) => {
                let has_dots = path.iter().any(|segment| matches!(&**segment, "." | ".."));
                return assert!(path[0] == "_perennial" || has_dots, "{reason}");
            }
            Ok(arranged) => arranged,
        };
        let url = encoded(&path);
        let decoded = decode_path(&url).expect("encoded right");
        assert_eq!(pattern.matches(&decoded).as_ref(), Some(&arranged), "{url}");
        assert_eq!(pattern.is_dynamic(), text.contains('{'));

        let site = match site(std::slice::from_ref(&text)) {
            Ok(site) => site,
            // Spelt as other routers have it.
            Err(error) => return assert!(error.contains("write `/") && error.contains(&text), "{error}"),
        };
        let parts = request(url.as_bytes()).expect("a target");
        match target(&parts, &site, BUILD, &LIMITS) {
            Target::Page(_, segments) => {
                let page = site.candidates(&segments, None).next().expect("a page of the only route");
                let named = site.page_of_key(page.key().as_str()).expect("of this site");
                assert_eq!(named.key(), page.key());
                assert_eq!(page.key().path().len(), url.len(), "{url}");
            }
            other => assert_eq!(other, Target::PathTooLong, "{url}"),
        }
    });
}

/// Segment by segment: literal, `a{name}` (the more letters, the more exact), `{name}`, `{*name}`.
fn ranks(pattern: &str) -> Vec<usize> {
    let rank = |part: &str| match around(part) {
        None => 0,
        Some((before, name, after)) if !name.starts_with('*') => 10 - before.len() - after.len(),
        Some(_) => 11,
    };
    pattern.split('/').filter(|part| !part.is_empty()).map(rank).collect()
}

#[test]
fn the_most_exact_route_wins_in_whatever_order_they_are_declared() {
    let part = select(vec!["a", "b", "{x}", "{y}", "é", "a{x}", "{x}b", "a{y}b", "aa{y}"]);
    let pattern = (vec(part, 0..4), any::<bool>()).prop_map(|(mut parts, rest)| {
        // A name may come once.
        let mut seen = HashSet::new();
        parts.retain(|part| around(part).is_none_or(|(_, name, _)| seen.insert(name)));
        if rest {
            parts.push("{*z}");
        }
        format!("/{}", parts.join("/"))
    });
    let patterns =
        vec(pattern, 1..8).prop_flat_map(|patterns| (Just(patterns.clone()), Just(patterns).prop_shuffle()));
    let path = vec(select(vec!["a", "b", "c", "é", "ab", "aab", "acb", "bb"]), 0..5)
        .prop_map(|path| path.into_iter().map(str::to_owned).collect());
    let nasty = ["/{x}/a", "/a/{x}", "/{x}/{y}", "/{*z}", "/a/{*z}", "/{x}/{*z}"].map(str::to_owned).to_vec();
    let reversed: Vec<_> = nasty.iter().rev().cloned().collect();
    let corpus = [((nasty, reversed), vec!["a".to_owned(), "a".to_owned()])];
    hold("routes", 24, corpus, (patterns, path), |((patterns, shuffled), path): (_, Vec<String>)| {
        let (first, second) = match (site(&patterns), site(&shuffled)) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(first), Err(_)) => return assert!(first.contains("match the same paths"), "{first}"),
            _ => panic!("the order decides whether {patterns:?} can be served"),
        };
        let url = encoded(&path);
        let decoded = decode_path(&url).expect("encoded right");
        let found = |site: &ReadySite| -> Vec<String> {
            site.candidates(&decoded, None).map(|page| page.route().id().to_owned()).collect()
        };
        assert_eq!(found(&first), found(&second), "{url}");
        assert_eq!(found(&first), found(&first), "{url}");
        let exactness: Vec<_> = found(&first).iter().map(|id| ranks(id)).collect();
        assert!(exactness.is_sorted_by(|a, b| a < b), "{url}: {:?}", found(&first));
    });
}

/// A base path is refused, or the pages below it can be asked for, and have the URLs that are written of them.
#[test]
fn a_base_path_is_refused_or_its_pages_can_be_asked_for() {
    let corpus = [
        "",
        "/",
        "/docs",
        "/docs/",
        "docs",
        "//",
        "/a//b",
        "/é",
        "/a b",
        "/a;b",
        "/%61",
        "/..",
        "/{x}",
        "/_perennial",
    ];
    let words =
        select(vec!["docs", "a.b", "é", " ", "..", "~", ";", "%41", "{x}", "*", "\\", "\"", "_perennial"]);
    let built = vec(words, 0..4).prop_map(|words| words.iter().map(|word| format!("/{word}")).collect());
    let inputs = (prop_oneof![3 => built, 1 => texts()], any::<bool>());
    let corpus = corpus.map(|base| (base.to_owned(), true));
    hold("base_paths", 8, corpus, inputs, |(base, slash): (String, bool)| {
        let route = Site::new().route(Route::new("/", Text)).route(Route::new("/{x}", Text));
        let site = match route.ready(Some(&base), Some(slash)) {
            Err(error) => return assert!(error.to_string().contains(&base)),
            Ok(site) => site,
        };
        let urls = Urls { base_path: base, trailing_slash: slash, build: BUILD.into() };
        for (path, segments) in [("/", &[][..]), ("/caf%C3%A9", &["café"])] {
            for (url, form) in [(urls.page(path), Form::Html), (urls.data(path), Form::Data)] {
                let parts = request(url.as_bytes()).expect("a target");
                let segments = segments.iter().map(|&segment| segment.into()).collect();
                assert_eq!(target(&parts, &site, BUILD, &LIMITS), Target::Page(form, segments), "{url}");
            }
            let called = paths::pages(&urls.page(path), &site, &LIMITS).expect("a page's own URL");
            assert_eq!(called[0].key().path(), path);
        }
    });
}
