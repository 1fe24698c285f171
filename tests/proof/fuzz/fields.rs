//! What visitors' header fields say: codings, entity tags, draft cookies, user agents.

use http::header::{ACCEPT_ENCODING, COOKIE, HeaderName, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use perennial::parts::record::page_record::Coding;
use perennial::parts::run::preview::{DRAFT_COOKIE, Drafts, has_draft_cookie};
use perennial::parts::site::bots::DEFAULT_BOTS;
use perennial::parts::webhooks::secret::key_id;
use perennial::{Millis, Site};
use perennial_serve::request::{coding, matches_etag};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::hold;
use crate::world::with_changes;

/// Fields of one name; what HTTP does not allow in one is left out.
fn fields<'a>(name: &HeaderName, values: impl IntoIterator<Item = &'a [u8]>) -> HeaderMap {
    let values = values.into_iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// A coding and its weight in thousandths.
type Weighed = (&'static str, Option<u16>);

fn weighed() -> impl Strategy<Value = Vec<Weighed>> {
    let names = vec!["br", "gzip", "identity", "*", "deflate", "zstd"];
    let weight = proptest::option::of(prop_oneof![3 => Just(0), 1 => 1..=1000u16]);
    let names = proptest::sample::subsequence(names, 0..=6).prop_shuffle();
    (names, vec(weight, 6)).prop_map(|(names, weights)| names.into_iter().zip(weights).collect())
}

/// As a client may write it: any case, spaces where they may be, over several fields.
fn written(items: &[Weighed], style: u8) -> Vec<String> {
    let space = ["", " ", "\t"][usize::from(style % 3)];
    let items = items.iter().map(|(name, weight)| {
        let name = if style & 4 == 0 { (*name).to_owned() } else { name.to_uppercase() };
        let weight = weight.map(|weight| format!("{}.{:03}", weight / 1000, weight % 1000));
        let weight = weight
            .map(|text| if style & 8 == 0 { text } else { text.trim_end_matches(['0', '.']).to_owned() });
        let weight = weight.map(|text| if text.is_empty() { "0".to_owned() } else { text });
        weight.map_or(name.clone(), |weight| format!("{name}{space};{space}q={weight}"))
    });
    let items: Vec<_> = items.collect();
    if style & 16 == 0 { vec![items.join(&format!("{space},{space}"))] } else { items }
}

/// RFC 9110 section 12.5.3, by the letter.
fn accepts(items: &[Weighed], coding: Coding) -> bool {
    let listed = |name| items.iter().find(|(n, _)| *n == name).map(|(_, weight)| *weight != Some(0));
    listed(coding.as_str()).or(listed("*")).unwrap_or(coding == Coding::Identity)
}

#[test]
fn no_coding_is_sent_that_is_refused_while_another_is_taken() {
    let corpus = [
        (vec![], 0),
        (vec![("br", Some(0)), ("gzip", Some(0)), ("*", None)], 0),
        (vec![("*", Some(0)), ("identity", None)], 1),
        (vec![("*", Some(0))], 16),
        (vec![("identity", Some(0)), ("gzip", Some(0)), ("*", Some(1))], 15),
        (vec![("identity", Some(0)), ("br", Some(0))], 8),
    ];
    hold("codings", 16, corpus, (weighed(), any::<u8>()), |(items, style)| {
        let values = written(&items, style);
        let headers = fields(&ACCEPT_ENCODING, values.iter().map(String::as_bytes));
        let sent = coding(&headers);
        let taken =
            [Coding::Br, Coding::Gzip, Coding::Identity].into_iter().find(|&coding| accepts(&items, coding));
        assert_eq!(sent, taken.unwrap_or(Coding::Gzip), "{values:?}");
    });
}

#[test]
fn a_visitor_has_a_body_if_its_tag_is_listed_and_only_then() {
    const OURS: &str = "\"0123-br\"";
    let tag = prop_oneof![
        3 => Just(OURS.as_bytes().to_vec()),
        // What RFC 9110 section 8.8.3 allows between the quotes.
        3 => vec(prop_oneof![Just(0x21), 0x23..=0x7eu8, 0x80..=0xffu8], 0..12).prop_map(|mut tag| {
            tag.insert(0, b'"');
            tag.push(b'"');
            tag
        }),
        1 => select(vec!["\"0123\"", "\"0123-gz\"", "\"\"", "\"*\"", "\"0123-BR\"", "\"x,0123-br\""])
            .prop_map(|tag| tag.as_bytes().to_vec()),
    ];
    let nasty = |tags: &[&[u8]]| tags.iter().map(|tag| (false, tag.to_vec())).collect::<Vec<_>>();
    let corpus = [
        (nasty(&[b"\"\xe9\"", OURS.as_bytes()]), 1),
        (nasty(&[b"\"a,\"", b"\",b\""]), 1),
        (nasty(&[b"\"*\""]), 0),
    ];
    hold("entity_tags", 8, corpus, (vec((any::<bool>(), tag), 0..5), 0..4u8), |(tags, style)| {
        let listed = tags.iter().any(|(_, tag)| tag == OURS.as_bytes());
        let items: Vec<_> =
            tags.iter().map(|(weak, tag)| [if *weak { &b"W/"[..] } else { b"" }, tag].concat()).collect();
        let joined = [items.join([&b","[..], b" , ", b",,", b"\t,"][usize::from(style)])];
        let values = if style == 0 { &items[..] } else { &joined };
        let headers = fields(&IF_NONE_MATCH, values.iter().map(Vec::as_slice));
        assert_eq!(matches_etag(&headers, OURS), listed, "{headers:?}");
    });
}

/// Whatever a field holds, it is read, and a body that is not named in it is not taken for known.
#[test]
fn any_bytes_in_a_field_are_read() {
    let words = vec![
        "br",
        "gzip",
        "q=0",
        "q=nan",
        "q=-1",
        "q=",
        ";",
        ",",
        "=",
        "W/",
        "\"",
        "\"x\"",
        " ",
        "\t",
        "é",
        DRAFT_COOKIE,
    ];
    let built = vec(select(words), 0..12).prop_map(|words| words.concat().into_bytes());
    let bytes = prop_oneof![with_changes(built), vec(any::<u8>(), 0..64)];
    let drafts = Drafts::new(&["secret".to_owned()]);
    let corpus = [
        &b""[..],
        b"\xff",
        b"br;q=nan,gzip;q=inf",
        b";;;=,=;",
        b"W/",
        b"W/W/\"x\"",
        b"=.",
        b"__perennial_draft=.=",
    ];
    hold("field_bytes", 8, corpus.map(|value| vec![value.to_vec()]), vec(bytes, 0..3), |values| {
        let all = |name| fields(&name, values.iter().map(Vec::as_slice));
        let _ = coding(&all(ACCEPT_ENCODING));
        let named = values
            .iter()
            .any(|value| value.windows(5).any(|five| five == b"\"a-z\"") || value.contains(&b'*'));
        assert!(named || !matches_etag(&all(IF_NONE_MATCH), "\"a-z\""));
        assert!(!drafts.admit(&all(COOKIE), Millis(0)));
    });
}

/// A right cookie opens among whatever other cookies there are; a changed one does not.
#[test]
fn a_draft_opens_with_its_own_cookie_alone() {
    let drafts = Drafts::new(&["one".to_owned(), "two".to_owned()]);
    let right = format!("{DRAFT_COOKIE}={}", drafts.sign(&key_id("two"), Millis(60_000)).expect("a secret"))
        .into_bytes();
    let other = vec(prop_oneof![4 => 0x21..=0x3au8, 4 => 0x3c..=0x7eu8, 1 => 0x80..=0xffu8], 0..12);
    let inputs = (vec(other, 0..4), 0..2048usize, with_changes(Just(right.clone())));
    let corpus = [(vec![b"name=\xc3\xa9".to_vec()], 0, right.to_ascii_uppercase())];
    hold("draft_cookies", 8, corpus, inputs, |(others, at, changed)| {
        let with = |cookie: &[u8]| {
            let mut all = others.clone();
            all.insert(at % (all.len() + 1), cookie.to_vec());
            fields(&COOKIE, [&all.join(&b"; "[..])[..]])
        };
        let headers = with(&right);
        assert!(has_draft_cookie(&headers) && drafts.admit(&headers, Millis(59_999)), "{headers:?}");
        assert!(!drafts.admit(&headers, Millis(60_000)));
        // Digits may be of either case, and what comes after `;` is another cookie.
        let is_right = |cookie: &[u8]| {
            let cookie = cookie.trim_ascii();
            cookie.starts_with(DRAFT_COOKIE.as_bytes()) && cookie.to_ascii_lowercase() == right
        };
        if !changed.split(|&byte| byte == b';').any(is_right) {
            assert!(!drafts.admit(&with(&changed), Millis(0)), "{changed:?}");
        }
    });
}

#[test]
fn a_bot_is_whoever_names_itself_one_within_bounds() {
    let site = Site::new().ready(None, None).expect("a site without routes");
    let name = select(DEFAULT_BOTS);
    let inputs = (vec(any::<u8>(), 0..1100), proptest::option::of(name), 0..2048usize, any::<bool>());
    let corpus = [
        (vec![], None, 0, false),
        (vec![b'a'; 1024], Some("googlebot"), 0, true),
        (vec![b'a'; 9], Some("^whatsapp"), 0, true),
        (vec![b'a'; 9], Some("^whatsapp"), 9, false),
        (vec![b'('; 1100], None, 0, false),
    ];
    hold("user_agents", 1, corpus, inputs, |(mut agent, name, at, upper)| {
        // A name that has to be the beginning is put there, or elsewhere, where it counts for nothing.
        let name = name.map(|name| name.trim_start_matches('^'));
        let name = name.map(|name| if upper { name.to_uppercase() } else { name.to_owned() });
        let at = at % (agent.len() + 1);
        agent.splice(at..at, name.iter().flat_map(|name| name.bytes()));
        let seen = String::from_utf8_lossy(&agent[..agent.len().min(1024)]).to_ascii_lowercase();
        let is_in = |bot: &&str| match bot.strip_prefix('^') {
            Some(beginning) => seen.starts_with(beginning),
            None => seen.contains(bot),
        };
        assert_eq!(site.is_bot(&agent), DEFAULT_BOTS.iter().any(is_in));
    });
}
