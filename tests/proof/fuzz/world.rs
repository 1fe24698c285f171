//! Sites whose routes get in each other's way, and the inputs that are tried on them.

use std::sync::LazyLock;

use http::Request;
use http::request::Parts;
use perennial::parts::base::limits::Limits;
use perennial::parts::key::url::Urls;
use perennial::parts::run::settings::Settings;
use perennial::parts::testing::Text;
use perennial::{Query, ReadySite, Route, Site};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const BUILD: &str = "b1";

pub(crate) static LIMITS: LazyLock<Limits> = LazyLock::new(|| Settings::default().limits);

/// Values of the declared parameter `sort` of `/vary/{slug}`; `page` goes from 1 to 20.
pub(crate) const SORTS: [&str; 4] = ["asc", "ö &=+%", "", "a\u{fffd}"];

const ROUTES: [&str; 13] = [
    "/",
    "/never",
    "/index",
    "/index/{x}",
    "/blog",
    "/blog/{slug}",
    "/mix/{*all}",
    "/mix/{slug}",
    "/mix/new",
    "/a b/é@/{x}",
    "/feed.xml",
    "/{a}/in/{b}",
    "/{a}/in/{*rest}",
];

/// A site as it is spelt in URLs.
pub(crate) struct Spelt {
    pub(crate) site: ReadySite,
    pub(crate) urls: Urls,
}

/// The same routes under every spelling, and each once more with a route that takes whatever is left.
pub(crate) static SITES: LazyLock<Vec<Spelt>> = LazyLock::new(|| {
    let spellings = ["", "/docs", "/a.b/c"].into_iter().flat_map(|base| [(base, false), (base, true)]);
    spellings.flat_map(|(base, slash)| [false, true].map(|greedy| spelt(base, slash, greedy))).collect()
});

fn spelt(base_path: &str, trailing_slash: bool, greedy: bool) -> Spelt {
    let vary = Route::new("/vary/{slug}", Text)
        .query(Query::int("page", 1..=20))
        .query(Query::one_of("sort", SORTS));
    let rest = greedy.then_some("/{*rest}");
    let routes = ROUTES.into_iter().chain(rest).map(|pattern| Route::new(pattern, Text));
    let site = routes.fold(Site::new().route(vary), Site::route);
    let site = site.ready(Some(base_path), Some(trailing_slash)).expect("the routes differ");
    let urls = Urls { base_path: base_path.into(), trailing_slash, build: BUILD.into() };
    Spelt { site, urls }
}

/// A request for a target, if HTTP allows it.
pub(crate) fn request(target: &[u8]) -> Option<Parts> {
    let uri = http::Uri::try_from(target).ok()?;
    Some(Request::builder().uri(uri).body(()).ok()?.into_parts().0)
}

/// Pieces that targets are made of: separators, dots, escapes good, bad and doubled, and words that mean something.
const PIECES: [&str; 62] = [
    "/",
    "/",
    "/",
    "/",
    "\\",
    "//",
    "/.",
    "/..",
    "/./",
    "/../",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2F",
    "%5C",
    "%5c",
    "%25",
    "%252F",
    "%2",
    "%",
    "%zz",
    "%00",
    "%FF",
    "%C3%A9",
    "%c3%a9",
    "é",
    "e\u{301}",
    "%E0%A4%A",
    "\u{1f600}",
    "%20",
    "+",
    "a",
    "b",
    "A",
    "~",
    "|",
    "{slug}",
    "{",
    "}",
    "*",
    "@",
    ":",
    ";x=1",
    "never",
    "blog",
    "mix",
    "new",
    "index",
    "in",
    "vary",
    "feed.xml",
    ".json",
    "_perennial",
    "/_perennial/data/b1/",
    "docs",
    "a.b/c",
    "evil.example",
    "?",
    "&",
    "=",
    "?page=2&sort=asc",
];

/// Targets: pieces in any order, behind each site's base path or not, some with a byte changed.
pub(crate) fn targets() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(select(&PIECES[..]), 0..12).prop_map(|pieces| pieces.concat());
    let begin = select(vec![
        "/",
        "/docs",
        "/docs/",
        "/a.b/c/",
        "/docs/_perennial/data/b1/",
        "//",
        "http://evil.example/",
        "",
    ]);
    let built = (begin, pieces).prop_map(|(begin, pieces)| format!("{begin}{pieces}").into_bytes());
    let noise = "[ -~]{0,40}".prop_map(String::into_bytes);
    let text = any::<String>().prop_map(|text| format!("/{text}").into_bytes());
    prop_oneof![8 => built.clone(), 2 => with_changes(built), 1 => noise, 1 => text, 1 => vec(any::<u8>(), 0..40)]
}

/// Some bytes of the value are changed, taken out or put in.
pub(crate) fn with_changes(values: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4);
    (values, changes).prop_map(|(mut bytes, changes)| {
        for (at, byte, what) in changes {
            let at = at.index(bytes.len() + 1);
            match what {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(bytes.len() / 2),
            }
        }
        bytes
    })
}

/// One decoded segment of a path: never empty, never with a NUL.
pub(crate) fn segment() -> impl Strategy<Value = String> {
    let words = vec![
        "a",
        "b",
        "a/b",
        "a%2Fb",
        "..",
        ".",
        "%",
        "%2e",
        "|",
        "a|b",
        "?",
        "&",
        "=",
        "a?page=2",
        "{slug}",
        "index",
        "index.json",
        "a.json",
        ".json",
        "é",
        "e\u{301}",
        "É",
        " ",
        "+",
        "\\",
        "#",
        "never",
        "in",
        "new",
        "_perennial",
    ];
    prop_oneof![
        3 => select(words).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| format!("x{}", text.replace('\0', ""))),
        1 => "[a-c]{1,2}",
    ]
}

/// A path of these segments, each percent-encoded so that it is read as it is.
pub(crate) fn encoded(segments: &[String]) -> String {
    let all = segments.iter().map(|segment| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
        let encode = |b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02x}") };
        segment.bytes().map(encode).collect::<String>()
    });
    format!("/{}", all.collect::<Vec<_>>().join("/"))
}
