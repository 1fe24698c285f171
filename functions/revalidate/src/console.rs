//! The publishing page: what the store holds of every page, and buttons for what publishers may call.
//!
//! The document itself says nothing of the site, so that anybody may have it. What it shows it asks for with a secret, in
//! `Authorization` alone: no cookie opens anything here, and no other site's page can send that field.

mod watch;

use std::net::IpAddr;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Response, StatusCode};
use perennial::Millis;
use perennial::parts::base::text::read;
use perennial::parts::engine::Engine;
use perennial::parts::look::body::Body;
use perennial::parts::overview::{Search, SearchResult};
use perennial::parts::ports::stores::Stores;
use perennial::parts::record::page_record::Epoch;
use perennial::parts::site::addresses::OPEN_DRAFT;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use watch::{Event, Watch};

use crate::delivery::Delivery;
use crate::{Done, Revalidate, json_response};

/// Where the publishing page is.
pub const CONSOLE: &str = "/api/publish";

/// What it lists, as JSON.
pub const CONSOLE_PAGES: &str = "/api/publish/pages";

/// What changes there, as server-sent events: where answers can go on, which those of Lambda cannot.
pub const CONSOLE_EVENTS: &str = "/api/publish/events";

/// Pages in one answer.
const LISTED_MAX: usize = 100;

/// Pages in one answer, unless it says how many.
const LISTED: usize = 50;

/// Calls whose progress one listener may follow.
const FOLLOWED_MAX: usize = 4;

const HTML: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = include_str!("console/script.js");

/// What is asked for: the pages, and the progress of which calls.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Which pages.
    pub search: Search,
    /// Ids of calls, for events.
    pub calls: Vec<Epoch>,
}

impl Asked {
    /// Reads `prefix`, `state`, `after`, `limit`, and for events `call`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn read(request: &Parts) -> Result<Self, String> {
        let mut asked = Self { search: Search { limit: LISTED, ..Search::default() }, calls: Vec::new() };
        let search = &mut asked.search;
        for (name, value) in form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes()) {
            match &*name {
                "secret" => {}
                "prefix" => search.prefix = value.into_owned(),
                "state" => search.state = value.into_owned(),
                "after" => search.after = Some(value.into_owned()).filter(|after| !after.is_empty()),
                "limit" => search.limit = read("limit", &value)?,
                "call" => asked.calls.push(read("call", &value)?),
                other => return Err(format!("`{}` is no parameter of this address", other.escape_debug())),
            }
        }
        if !["", "fresh", "stale", "missing", "failing", "rendering"].contains(&&*search.state) {
            return Err(format!(
                "state is `{}`: give fresh, stale, missing, failing or rendering",
                search.state.escape_debug()
            ));
        }
        if search.limit == 0 || search.limit > LISTED_MAX {
            return Err(format!("limit is {}: give 1 to {LISTED_MAX}", search.limit));
        }
        if asked.calls.len() > FOLLOWED_MAX {
            return Err(format!("{} calls to follow, {FOLLOWED_MAX} at most", asked.calls.len()));
        }
        Ok(asked)
    }
}

impl<S: Stores> Revalidate<S> {
    /// Who calls from the publishing page of a site under development: that needs no secret. But for drafts, whose
    /// cookies open drafts elsewhere too.
    pub(crate) fn at_home(&self, request: &Parts) -> Option<Delivery> {
        let is_draft = self.own_path(request.uri.path()) == OPEN_DRAFT;
        let is_at_home = self.engine.is_dev() && !is_draft && is_at_home(request);
        is_at_home.then(|| Delivery::with_secret(&request.headers, "development"))
    }

    /// What the page lists.
    pub(crate) async fn pages(&self, request: &Parts) -> Done {
        let asked = match Asked::read(request) {
            Ok(asked) => asked,
            Err(message) => return told(StatusCode::BAD_REQUEST, &message),
        };
        match self.engine.search(&asked.search).await {
            Ok(found) => {
                let answer = listing(&self.engine, &found, self.engine.now());
                Done { status: StatusCode::OK, answer }
            }
            Err(error) => {
                let answer = json!({"message": "Error reading", "error": error.to_string()});
                Done { status: StatusCode::INTERNAL_SERVER_ERROR, answer }
            }
        }
    }

    /// Whether a request asks for the page's events: for a server whose answers can go on.
    pub fn is_for_events(&self, request: &Parts) -> bool {
        request.method == Method::GET && self.own_path(request.uri.path()) == CONSOLE_EVENTS
    }

    /// What to tell whoever asks for events.
    ///
    /// # Errors
    /// The answer that refuses.
    pub async fn watch(&self, request: &Parts) -> Result<Watch<S>, Response<Body>> {
        if !self.admits(request).await {
            return Err(json_response(request, &told(StatusCode::UNAUTHORIZED, "Invalid token")));
        }
        match Asked::read(request) {
            Ok(asked) => Ok(Watch::new(self.engine.clone(), asked)),
            Err(message) => Err(json_response(request, &told(StatusCode::BAD_REQUEST, &message))),
        }
    }
}

fn told(status: StatusCode, message: &str) -> Done {
    Done { status, answer: json!({ "message": message }) }
}

/// Where answers are sent whole.
pub(crate) fn no_events() -> Done {
    told(
        StatusCode::NOT_IMPLEMENTED,
        "answers from here cannot go on: ask for the pages every few seconds instead",
    )
}

/// What a search found, with what the page needs besides.
fn listing<S: Stores>(engine: &Engine<S>, found: &SearchResult, now: Millis) -> Value {
    let stored = engine.site().routes().iter().filter(|route| !route.is_dynamic());
    json!({
        "build": &**engine.build(),
        "dev": engine.is_dev(),
        "now_ms": now.0,
        "routes": stored.map(|route| route.id()).collect::<Vec<_>>(),
        "pages": found.pages.iter().map(|page| page.to_json(now)).collect::<Vec<_>>(),
        "next": found.next,
    })
}

/// The page itself.
pub(crate) fn document(request: &Parts, dev: bool) -> Response<Body> {
    static DOCUMENT: OnceLock<(String, HeaderValue)> = OnceLock::new();
    let (text, policy) = DOCUMENT.get_or_init(|| {
        let text = HTML.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT);
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        (text, HeaderValue::try_from(policy).expect("ASCII"))
    });
    let text = if dev { text.replace("<html ", "<html data-dev ") } else { text.clone() };
    let mut response = Response::new(Body::default());
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    head.insert(CONTENT_LENGTH, text.len().into());
    head.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    head.insert(CONTENT_SECURITY_POLICY, policy.clone());
    head.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    head.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    head.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    head.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    if request.method != Method::HEAD {
        *response.body_mut() = text.into();
    }
    response
}

/// As a Content Security Policy names what it allows.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// The address that a request's connection comes from: an extension of the request, set by the server that has accepted
/// the connection. A server that does not know it sets none, and nobody is at home there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Fields by which a proxy tells that it forwards a request for somebody else (RFC 7239; RFC 9110, section 7.6.3), and
/// those that proxies use instead. A request with one of them is not of the machine that it comes from.
const FORWARDING: [&str; 5] = ["forwarded", "via", "x-real-ip", "x-client-ip", "cf-connecting-ip"];

/// And those that begin so: `x-forwarded-for`, `x-forwarded-host`, and others.
const FORWARDING_PREFIX: &str = "x-forwarded-";

/// What the page sends instead of a secret while the site is under development.
const AT_HOME: &str = "Development";

/// Whether a request comes from the publishing page on this machine: enough for a site under development. The connection
/// must come from this machine, and not through a proxy: anybody can write a `Host`. No other site's page can send the
/// field, nor one whose name was made to lead here this host.
fn is_at_home(request: &Parts) -> bool {
    let comes_from_here =
        request.extensions.get::<Peer>().is_some_and(|Peer(address)| address.to_canonical().is_loopback());
    let is_forwarded = request
        .headers
        .keys()
        .any(|name| FORWARDING.contains(&name.as_str()) || name.as_str().starts_with(FORWARDING_PREFIX));
    if !comes_from_here || is_forwarded {
        return false;
    }
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    let is_local = host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    is_local && request.headers.get(AUTHORIZATION).is_some_and(|value| value == AT_HOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let request = fields.iter().fold(http::Request::get(uri), |r, (n, v)| r.header(*n, *v));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let asked_by = |query: &str| Asked::read(&request(&format!("/?{query}"), &[]));
        let asked = asked_by("prefix=/caf%C3%A9&state=stale&after=%2Fa&limit=100&call=1&call=2").unwrap();
        assert_eq!((&*asked.search.prefix, asked.search.after.as_deref()), ("/café", Some("/a")));
        assert_eq!((asked.search.limit, asked.calls), (100, vec![1, 2]));
        assert_eq!(asked_by("after=").unwrap().search.after, None);
        for (query, part) in [
            ("limit=0", "1 to 100"),
            ("limit=101", "1 to 100"),
            ("limit=x", "limit is `x`: it must be a whole number"),
            ("state=old", "give fresh"),
            ("call=-1", "call is `-1`: it must be a whole number"),
            ("call=1&call=2&call=3&call=4&call=5", "4 at most"),
            ("path=/", "no parameter"),
        ] {
            assert!(asked_by(query).unwrap_err().contains(part), "{query}");
        }
    }

    #[test]
    fn the_documents_own_style_and_script_are_all_it_may_use() {
        let response = document(&request("/", &[]), true);
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains(&hash(STYLE)) && policy.contains(&hash(SCRIPT)), "{policy}");
        assert!(HTML.contains("<style>/*style*/</style>") && HTML.contains("<script>/*script*/</script>"));
        assert!(HTML.contains("<html ") && !SCRIPT.contains("</script") && !STYLE.contains("</style"));
        let text = HTML.to_lowercase();
        for forbidden in [" style=", " onclick", " onsubmit", " src=", "<link rel=\"stylesheet"] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(way), "{way}: text of strangers would become part of the document");
        }
    }

    #[test]
    fn home_is_this_machine_by_its_own_name() {
        let from = |peer: Option<&str>, fields: &[(&str, &str)]| {
            let mut request = request("/", fields);
            if let Some(peer) = peer {
                request.extensions.insert(Peer(peer.parse().unwrap()));
            }
            is_at_home(&request)
        };
        let at = |host, authorization| {
            from(Some("127.0.0.1"), &[("host", host), ("authorization", authorization)])
        };
        for host in
            ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "127.1.2.3", "[::1]:3000", "a.localhost"]
        {
            assert!(at(host, AT_HOME), "{host}");
            assert!(!at(host, "Bearer Development"), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", ""] {
            assert!(!at(host, AT_HOME), "{host}");
        }
        assert!(!from(Some("127.0.0.1"), &[("host", "localhost")]));
        assert!(!from(Some("127.0.0.1"), &[("authorization", AT_HOME)]));
        let page = [("host", "localhost:3000"), ("authorization", AT_HOME)];
        for (peer, is_home) in [
            (Some("127.0.0.1"), true),
            (Some("127.8.9.1"), true),
            (Some("::1"), true),
            (Some("::ffff:127.0.0.1"), true),
            (Some("192.168.1.7"), false),
            (Some("::ffff:192.168.1.7"), false),
            (Some("0.0.0.0"), false),
            (None, false),
        ] {
            assert_eq!(from(peer, &page), is_home, "{peer:?}");
        }
        for name in
            ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "X-Forwarded-Proto", "x-real-ip"]
        {
            assert!(!from(Some("127.0.0.1"), &[&page[..], &[(name, "127.0.0.1")]].concat()), "{name}");
        }
    }
}
