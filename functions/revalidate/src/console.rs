//! The publishing page: what the store holds of every page, and buttons for what publishers may call.
//!
//! The HTML document holds nothing of the site, so it is public. Its script fetches the data with a secret in
//! `Authorization`. Cookies are ignored, and a page of another site cannot send that field: this prevents cross-site requests.

pub mod query;
pub mod watch;

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
use perennial_core::engine::Engine;
use perennial_core::look::body::Body;
use perennial_core::ports::stores::Stores;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::answer::Done;
use crate::console::query::{PagesQuery, listing};

/// The path of the publishing page.
pub const CONSOLE: &str = perennial_core::site::addresses::CONSOLE;

/// The path of its list of pages, as JSON.
pub const CONSOLE_PAGES: &str = "/api/publish/pages";

/// The path of changes to the list, as server-sent events. Only `start` and `dev` answer it: the function on Lambda answers
/// 501, because its answers are sent whole.
pub const CONSOLE_EVENTS: &str = "/api/publish/events";

const HTML: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = include_str!("console/script.js");

pub(crate) fn message_answer(status: StatusCode, message: &str) -> Done {
    Done { status, answer: json!({ "message": message }) }
}

/// The answer with the list of pages.
pub(crate) async fn pages<S: Stores>(engine: &Engine<S>, request: &Parts) -> Done {
    let query = match PagesQuery::read(request) {
        Ok(query) => query,
        Err(message) => return message_answer(StatusCode::BAD_REQUEST, &message),
    };
    match engine.search(&query.search).await {
        Ok(result) => {
            let answer = listing(engine, &result, engine.now());
            Done { status: StatusCode::OK, answer }
        }
        Err(error) => {
            let answer = json!({"message": "Error reading", "error": error.to_string()});
            Done { status: StatusCode::INTERNAL_SERVER_ERROR, answer }
        }
    }
}

/// The answer to a request for events where answers cannot be streamed.
pub(crate) fn no_events() -> Done {
    message_answer(
        StatusCode::NOT_IMPLEMENTED,
        "answers from here cannot go on: ask for the pages every few seconds instead",
    )
}

/// The HTML document of the publishing page.
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

/// The hash source of an inline style or script (Content Security Policy Level 3, section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// The address of a connection's peer. The server that accepted the connection sets it as an extension of each request.
/// Without it, no call is admitted without a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Header fields of a forwarded request (RFC 7239; RFC 9110, section 7.6.3), and common fields of the same meaning. A request
/// with one of them may come from another machine than its peer.
const FORWARDING: [&str; 5] = ["forwarded", "via", "x-real-ip", "x-client-ip", "cf-connecting-ip"];

/// The prefix of further such fields: `x-forwarded-for`, `x-forwarded-host` and others.
const FORWARDING_PREFIX: &str = "x-forwarded-";

/// The value of `Authorization` that the publishing page of a site under development sends instead of a secret.
const DEVELOPMENT: &str = "Development";

/// Whether a request comes from the publishing page on this machine. The peer must be this machine and no proxy, because any
/// client can send any `Host`. A page of another site cannot send [`DEVELOPMENT`]; a page whose name resolves to this machine
/// (DNS rebinding) sends a `Host` that is not local.
pub(crate) fn is_local_dev_page(request: &Parts) -> bool {
    let is_local_peer =
        request.extensions.get::<Peer>().is_some_and(|Peer(address)| address.to_canonical().is_loopback());
    let is_forwarded = request
        .headers
        .keys()
        .any(|name| FORWARDING.contains(&name.as_str()) || name.as_str().starts_with(FORWARDING_PREFIX));
    if !is_local_peer || is_forwarded {
        return false;
    }
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    let is_local_host = host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    is_local_host && request.headers.get(AUTHORIZATION).is_some_and(|value| value == DEVELOPMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let request = fields.iter().fold(http::Request::get(uri), |r, (n, v)| r.header(*n, *v));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_query_is_bounded() {
        let parse = |query: &str| PagesQuery::read(&request(&format!("/?{query}"), &[]));
        let query = parse("prefix=/caf%C3%A9&state=stale&after=%2Fa&limit=100&call=1&call=2").unwrap();
        assert_eq!((&*query.search.prefix, query.search.after.as_deref()), ("/café", Some("/a")));
        assert_eq!((query.search.limit, query.calls), (100, vec![1, 2]));
        assert_eq!(parse("after=").unwrap().search.after, None);
        for (query, part) in [
            ("limit=0", "1 to 100"),
            ("limit=101", "1 to 100"),
            ("limit=x", "limit is `x`: it must be a whole number"),
            ("state=old", "give fresh"),
            ("call=-1", "call is `-1`: it must be a whole number"),
            ("call=1&call=2&call=3&call=4&call=5", "4 at most"),
            ("path=/", "no parameter"),
        ] {
            assert!(parse(query).unwrap_err().contains(part), "{query}");
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
            assert!(!SCRIPT.contains(way), "{way}: untrusted text would become markup");
        }
    }

    #[test]
    fn only_a_local_peer_with_a_local_host_needs_no_secret() {
        let from = |peer: Option<&str>, fields: &[(&str, &str)]| {
            let mut request = request("/", fields);
            if let Some(peer) = peer {
                request.extensions.insert(Peer(peer.parse().unwrap()));
            }
            is_local_dev_page(&request)
        };
        let at = |host, authorization| {
            from(Some("127.0.0.1"), &[("host", host), ("authorization", authorization)])
        };
        for host in
            ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "127.1.2.3", "[::1]:3000", "a.localhost"]
        {
            assert!(at(host, DEVELOPMENT), "{host}");
            assert!(!at(host, "Bearer Development"), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", ""] {
            assert!(!at(host, DEVELOPMENT), "{host}");
        }
        assert!(!from(Some("127.0.0.1"), &[("host", "localhost")]));
        assert!(!from(Some("127.0.0.1"), &[("authorization", DEVELOPMENT)]));
        let page = [("host", "localhost:3000"), ("authorization", DEVELOPMENT)];
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
