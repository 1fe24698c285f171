//! Which of a request's query is part of a page's key.

use perennial_serve::request::{Target, target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::hold;
use crate::world::{BUILD, LIMITS, SITES, SORTS, request};

const NAMES: [&str; 9] = ["page", "sort", "PAGE", "slug", "secret", "p%61ge", "sort[]", "", "a&page"];

type Pairs = Vec<(String, String)>;

/// Names and values, some of them declared and allowed.
fn pairs() -> impl Strategy<Value = Pairs> {
    let name = prop_oneof![4 => select(&NAMES[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let value = prop_oneof![
        4 => select(vec!["1", "2", "20", "21", "0", "01", "+1", "-1", "1 ", "99999999999", "DESC", "a\u{fffd}"])
            .prop_map(str::to_owned),
        3 => select(&SORTS[..]).prop_map(str::to_owned),
        1 => (0..30u32).prop_map(|n| n.to_string()),
        1 => any::<String>(),
    ];
    vec((name, value), 0..6)
}

fn written(pairs: &Pairs) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn key(path: &str, query: &str) -> String {
    let parts = request(format!("{path}?{query}").as_bytes()).expect("a target");
    let site = &SITES[0].site;
    let Target::Page(_, segments) = target(&parts, site, BUILD, &LIMITS) else { panic!("{path} is a page") };
    let page = site.candidates(&segments, parts.uri.query()).next().expect("a page");
    assert_eq!(site.page_of_key(page.key().as_str()).expect("of this site").key(), page.key());
    page.key().as_str().to_owned()
}

/// What is declared, by the letter: the first allowed value of each name.
fn declared(pairs: &Pairs) -> [Option<&str>; 2] {
    let first = |name: &str, allowed: fn(&str) -> bool| {
        pairs.iter().find(|(n, v)| n == name && allowed(v)).map(|(_, v)| v.as_str())
    };
    let number = |value: &str| (1..=20).any(|n: u32| n.to_string() == value);
    [first("page", number), first("sort", |value| SORTS.contains(&value))]
}

#[test]
fn only_declared_parameters_make_a_page_and_they_always_do() {
    let owned = |pairs: &[(&str, &str)]| -> Pairs {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let corpus = [
        (owned(&[("page", "2")]), owned(&[("page", "2"), ("page", "3")])),
        (owned(&[("page", "02"), ("page", "3")]), owned(&[("page", "3")])),
        (owned(&[("page", "2"), ("sort", "asc")]), owned(&[("sort", "asc"), ("page", "2")])),
        (owned(&[("sort", "")]), owned(&[])),
        (owned(&[("sort", "ö &=+%")]), owned(&[("sort", "ö ")])),
        (owned(&[("page", "2&sort=asc")]), owned(&[("page", "2"), ("sort", "asc")])),
    ];
    hold("queries", 16, corpus, (pairs(), pairs()), |(a, b)| {
        let keys = [&a, &b].map(|pairs| key("/vary/x", &written(pairs)));
        assert_eq!(keys[0] == keys[1], declared(&a) == declared(&b), "{keys:?}");
        assert_eq!(keys[0] == "/vary/{slug}|x", declared(&a) == [None, None], "{}", keys[0]);
        assert_eq!(key("/blog/x", &written(&a)), "/blog/{slug}|x");
        assert_eq!(key("/never", &written(&a)), "/never");
    });
}

/// However a key's text is changed, it names one page in one spelling, and that page's own URL leads to it.
#[test]
fn a_text_names_a_page_only_as_it_is_written() {
    let corpus = [
        "/vary/{slug}|x?page=2&page=3",
        "/vary/{slug}|x?sort=asc&page=2",
        "/vary/{slug}|x?",
        "/vary/{slug}|",
        "/vary/{slug}|%61",
        "/vary/{slug}|a%2fb",
        "/mix/{*all}|a//b",
        "/mix/{*all}|",
        "/mix/{*all}|a/",
        "/never|",
        "/never?",
        "/blog/{slug}|%00",
        "/blog/{slug}|a?page=2",
        "/vary/{slug}|x?page=02",
        "/|",
        "?",
        "|",
        "",
    ];
    let begin =
        select(vec!["/", "/never", "/blog/{slug}", "/mix/{*all}", "/vary/{slug}", "/{a}/in/{b}", "/{*rest}"]);
    let pieces = vec![
        "|", "?", "&", "=", "/", "a", "b", "%", "%2F", "%2f", "%61", "%00", "page=2", "sort=asc", "é", ".",
    ];
    let tail = vec(select(pieces), 0..8).prop_map(|pieces| pieces.concat());
    let text = (begin, tail).prop_map(|(begin, tail)| format!("{begin}{tail}"));
    hold("key_texts", 24, corpus.map(str::to_owned), text, |text| {
        for spelt in SITES.iter() {
            let Some(page) = spelt.site.page_of_key(&text) else { continue };
            assert_eq!(page.key().as_str(), text);
            let query = text.split_once('?').map_or("", |(_, query)| query);
            let url = format!("{}?{query}", spelt.urls.page(page.key().path()));
            let parts = request(url.as_bytes()).expect("a target");
            let Target::Page(_, segments) = target(&parts, &spelt.site, BUILD, &LIMITS) else {
                panic!("{url} of {text} is no page");
            };
            let mut pages = spelt.site.candidates(&segments, parts.uri.query());
            assert!(pages.any(|other| other.key() == page.key()), "{url} of {text} is another page");
        }
    });
}
