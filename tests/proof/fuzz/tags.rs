//! Tags at both ends, and what a shared cache is told: the tags of an answer, within the bounds that CloudFront sets them
//! (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html>).

use http::{HeaderMap, HeaderValue};
use perennial::parts::key::tags::{BROAD_TAG, check_tag, page_tags, stored_tag, user_tag};
use perennial::parts::ports::edge::{cache_tag, cache_tags};
use perennial_revalidate::payload_plans::payload_plans;
use perennial_revalidate::plan::Overrides;
use perennial_serve::request::{Target, target};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use crate::world::{BUILD, LIMITS, SITES, encoded, request, segment};
use crate::{calls, hold, webhooks};

const TAGS_MAX: usize = 50;
const TAG_BYTES_MAX: usize = 256;

fn is_spelt_right(tag: &str) -> bool {
    (1..=TAG_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(|b| (33..=126).contains(&b) && b != b',')
}

/// Tags as a render gives them, some longer than allowed or with what is not.
fn tag() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[!-~]{1,20}", 2 => any::<String>(), 1 => "[a-z]{240,270}", 1 => Just(String::new())]
}

/// The field names the page's tags and the render's, each as an order to forget names it, and no more than fit.
#[test]
fn an_answers_tags_are_those_that_it_is_forgotten_by() {
    let corpus = [
        (vec!["x".repeat(250)], vec!["x".repeat(256), "x".repeat(257)]),
        (vec!["a,b".to_owned()], vec!["a,b".to_owned(), String::new(), "\r\n".to_owned()]),
        (vec!["é".repeat(100)], vec!["é".to_owned(), "site".to_owned()]),
        (vec!["a".to_owned()], (0..47).map(|n| format!("{n:0>256}")).collect()),
        (vec!["a".to_owned()], (0..48).map(|n| n.to_string()).collect()),
    ];
    let path = vec(segment(), 1..4);
    let tags = vec(tag(), 0..=TAGS_MAX);
    hold("cache_tags", 2, corpus, (path, tags), |(path, mut tags)| {
        let spelt = &SITES[1];
        let url = encoded(&path);
        let parts = request(url.as_bytes()).expect("a target");
        let Target::Page(_, segments) = target(&parts, &spelt.site, BUILD, &LIMITS) else { return };
        let Some(page) = spelt.site.candidates(&segments, None).next() else { return };

        // As a render's tags are judged before they are stored.
        tags.retain(|tag| check_tag(tag, &LIMITS).is_ok());
        tags.iter_mut().for_each(|tag| *tag = stored_tag(tag).into_owned());
        tags.sort();
        tags.dedup();
        let header = cache_tags(page.key(), &tags);
        assert!(HeaderValue::try_from(&header).is_ok_and(|value| value.to_str().is_ok()), "{header}");
        let told: Vec<_> = header.split(',').collect();
        assert!(told.len() <= TAGS_MAX && told.iter().all(|tag| is_spelt_right(tag)), "{header}");
        if tags.len() > TAGS_MAX - 3 {
            tags = vec![BROAD_TAG.to_owned()];
        }
        let all = page_tags(page.key()).into_iter().chain(tags.iter().map(|tag| user_tag(tag)));
        let ordered: Vec<_> = all.map(|tag| cache_tag(&tag).into_owned()).collect();
        assert_eq!(told, ordered);
    });
}

/// Whatever text a page gives as a tag, a call in a query, a call in JSON and a webhook name the same one, and no other text
/// does.
#[test]
fn both_ends_spell_a_tag_alike() {
    let corpus = ["новости", "Breaking News", "a,b", "a\nb", "\0", "e\u{301}", "é", " ", "%41", "A", "a"];
    let corpus = corpus.map(|tag| (tag.to_owned(), "a".to_owned()));
    hold("both_ends", 4, corpus, (tag(), tag()), |(text, other)| {
        let by_query = form_urlencoded::Serializer::new(String::new()).append_pair("tag", &text).finish();
        let in_json = json!({ "tags": [text] }).to_string();
        let called = [calls::read(&by_query, b""), calls::read("", in_json.as_bytes())];
        if check_tag(&text, &LIMITS).is_err() {
            assert!(called.into_iter().all(|read| read.expect("a call").is_err()), "{text:?}");
            return;
        }
        let carried = user_tag(&stored_tag(&text));
        for read in called {
            assert_eq!(read.expect("a call").expect("a right call").tags, [&*carried], "{text:?}");
        }
        let rules = json!({ "rules": [{ "tags": ["{/tag}"] }] }).to_string();
        let site = webhooks::site("", &rules).expect("a rule");
        let payload = json!({ "tag": text });
        let made = payload_plans(
            &site,
            &LIMITS,
            &webhooks::delivery(),
            &HeaderMap::new(),
            &payload,
            Overrides::default(),
        );
        let made = made.expect("a payload");
        assert_eq!(made.plans.iter().flat_map(|plan| &plan.tags).collect::<Vec<_>>(), [&carried], "{text:?}");
        assert_eq!(user_tag(&other) == carried, stored_tag(&other) == stored_tag(&text));
        assert!(carried.len() <= 260 && !carried.chars().any(char::is_control));
    });
}

/// However a tag is spelt, the cache can take it, and no other tag is spelt the same.
#[test]
fn two_tags_are_never_spelt_alike() {
    let any_tag = || prop_oneof![tag(), tag().prop_map(|tag| cache_tag(&tag).into_owned()), any::<String>()];
    let corpus = [("a,b", "a b"), ("", " "), ("é", "e\u{301}"), ("x", "x\n")];
    let corpus = corpus.map(|(a, b)| (a.to_owned(), b.to_owned()));
    hold("spelt_tags", 16, corpus, (any_tag(), any_tag()), |(a, b)| {
        assert!(is_spelt_right(&cache_tag(&a)) && is_spelt_right(&cache_tag(&user_tag(&b))));
        let [x, y] = [&a, &b].map(|tag| cache_tag(&user_tag(tag)).into_owned());
        assert_eq!(x == y, stored_tag(&a) == stored_tag(&b));
    });
}
