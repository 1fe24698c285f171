//! Answers: status, header fields and bytes. Pure.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use perennial::Millis;
use perennial::parts::base::counters::Event;
use perennial::parts::base::limits::Limits;
use perennial::parts::freshness::State;
use perennial::parts::key::page_key::PageKey;
use perennial::parts::look::body::Body;
use perennial::parts::look::view::BodyWanted;
use perennial::parts::memory::Entry;
use perennial::parts::ports::edge::cache_tags;
use perennial::parts::record::content::HeadKey;
use perennial::parts::record::headers::{data_fields, fields};
use perennial::parts::record::page_record::Form;
use perennial::parts::record::page_record::{BodyRef, Coding, Record, Stored};

use crate::request::{coding, matches_etag};

/// What all answers of this crate are.
pub type Reply = Response<Body>;

/// How an answer came about: the value of `x-perennial-cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Stored and fresh.
    Hit,
    /// Stored and stale.
    Stale,
    /// Rendered for this visitor, and stored.
    Miss,
    /// Stored, but too old to be shown: rendered for this visitor.
    Revalidated,
    /// Rendered for this visitor alone.
    Bypass,
}

impl Label {
    /// What it is counted as.
    pub fn event(self) -> Event {
        match self {
            Label::Hit => Event::Hit,
            Label::Stale => Event::Stale,
            Label::Miss => Event::Miss,
            Label::Revalidated => Event::Revalidated,
            Label::Bypass => Event::Bypass,
        }
    }

    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Label::Hit => "HIT",
            Label::Stale => "STALE",
            Label::Miss => "MISS",
            Label::Revalidated => "REVALIDATED",
            Label::Bypass => "BYPASS",
        })
    }
}

const X_PERENNIAL_CACHE: HeaderName = HeaderName::from_static("x-perennial-cache");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What `s-maxage` says of pages that stay until they are invalidated: a year.
const NEVER_S: u64 = 31_536_000;

/// The end of the year 9999: later instants cannot be written as HTTP's dates.
const HTTP_DATE_MAX: Millis = Millis(253_402_300_799_999);

/// `stale-while-revalidate` of a stale answer: short, so that an edge asks again soon.
const STALE_EDGE_S: u64 = 1;

/// A page that is about to be answered.
pub struct Shown<'a> {
    /// What is stored of it.
    pub entry: &'a Entry,
    /// The form asked for.
    pub form: Form,
    /// Its state now.
    pub state: State,
    /// How it came about.
    pub label: Label,
    /// Whether a render that was under way for somebody else was shared.
    pub collapsed: bool,
    /// Now.
    pub now: Millis,
    /// For how many seconds a shared cache may go on showing it while it asks for a newer one.
    pub edge_stale_s: u64,
    /// Prefix of internal redirects.
    pub base_path: &'a str,
    /// The page.
    pub page: &'a PageKey,
    /// What is bounded.
    pub limits: &'a Limits,
    /// The field in which the shared cache in front looks for the page's tags.
    pub tag_header: Option<&'static str>,
}

/// The answer with a page, or 304 if the visitor has it already. The content is in memory, or it comes by `stream`.
pub fn page(request: &Parts, shown: &Shown<'_>, stream: Option<Body>) -> Reply {
    let record = &shown.entry.record;
    let (body, status) = match (&record.stored, record.stored.body(shown.form)) {
        (Stored::Redirect { .. }, _) => return redirect(request, shown),
        (Stored::Page { .. }, Some(body)) => (body, StatusCode::OK),
        (Stored::NotFound { .. }, Some(body)) => (body, StatusCode::NOT_FOUND),
        // There is no page to show.
        (Stored::Deleted, _) | (_, None) => return plain(request, StatusCode::NOT_FOUND, "Not found\n"),
    };
    let content = shown.entry.content(shown.form);
    // What is in memory may be compressed otherwise than what is stored.
    let body = content.map_or(body, |content| content.body());
    let BodyWanted { coding, is_not_modified: has, is_head } = wants(request, body, shown.limits);
    let told = told(shown);
    let make = || {
        let mut head = fixed_head(body, coding, shown.form, record);
        let bytes =
            content.map_or_else(|| body.bytes_in(coding), |content| content.coded(coding).len() as u64);
        head.insert(CONTENT_LENGTH, bytes.into());
        cache_head(&mut head, shown, told);
        head
    };
    let head = match (shown.label, told.stale, content) {
        (Label::Hit, false, Some(content)) | (Label::Stale, true, Some(content)) => {
            content.head(coding, told, make)
        }
        _ => make(),
    };
    let mut reply = Response::new(Body::default());
    *reply.status_mut() = status;
    *reply.headers_mut() = head;
    if has && status == StatusCode::OK {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        without_content(reply.headers_mut());
    } else if !is_head {
        // It is looked up without its content only for 304 and for HEAD.
        *reply.body_mut() = stream.or_else(|| Some(content?.coded(coding).into())).unwrap_or_default();
    }
    reply
}

/// How the visitor would get this body, and whether that is there already: then 304 is all that is needed.
pub fn wants(request: &Parts, body: &BodyRef, limits: &Limits) -> BodyWanted {
    let coding = match body.sent_as(coding(&request.headers)) {
        // It would be made anew for each visitor, and nobody can tell beforehand how long it will be.
        Coding::Gzip if perennial::parts::memory::is_streamed(limits, body) => Coding::Identity,
        coding => coding,
    };
    let asks = request.headers.contains_key(IF_NONE_MATCH);
    let has = asks && matches_etag(&request.headers, &body.etag(coding));
    BodyWanted { coding, is_not_modified: has, is_head: request.method == Method::HEAD }
}

/// What a 304 does not repeat (RFC 9110 section 15.4.5).
fn without_content(head: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, LAST_MODIFIED] {
        head.remove(name);
    }
}

/// What every answer with this body in this coding has.
fn fixed_head(body: &BodyRef, coding: Coding, form: Form, record: &Record) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(16);
    head.insert(CONTENT_TYPE, if form == Form::Html { HTML } else { JSON });
    carry(&mut head, form, record);
    if coding != Coding::Identity {
        head.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    head.insert(VARY, HeaderValue::from_static("accept-encoding"));
    head.insert(ETAG, field(body.etag(coding)));
    let modified_at = record.modified_at.min(HTTP_DATE_MAX);
    head.insert(LAST_MODIFIED, field(httpdate::fmt_http_date(modified_at.to_system())));
    head
}

/// The page's own fields. A content type that it gives takes the place of the usual one.
fn carry(head: &mut HeaderMap, form: Form, record: &Record) {
    let mut add = |(name, value)| {
        if name == CONTENT_TYPE {
            head.insert(name, value);
        } else {
            head.append(name, value);
        }
    };
    match form {
        Form::Html => fields(&record.headers).for_each(&mut add),
        Form::Data => data_fields(&record.headers).for_each(&mut add),
    }
}

fn redirect(request: &Parts, shown: &Shown<'_>) -> Reply {
    let Stored::Redirect { destination, status, base_path } = &shown.entry.record.stored else {
        return plain(request, StatusCode::NOT_FOUND, "Not found\n");
    };
    let prefix = if *base_path && destination.starts_with('/') { shown.base_path } else { "" };
    let location = match (prefix, destination.as_str()) {
        ("", destination) => destination.to_owned(),
        (prefix, "/") => prefix.to_owned(),
        (prefix, destination) => format!("{prefix}{destination}"),
    };
    let (status, body, kind) = match shown.form {
        Form::Html => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
            (
                status,
                format!("The page is at {location}\n"),
                HeaderValue::from_static("text/plain; charset=utf-8"),
            )
        }
        Form::Data => {
            let location = perennial::json_string(&location);
            (
                StatusCode::OK,
                format!("{{\"redirect\":{{\"destination\":{location},\"status\":{status}}}}}"),
                JSON,
            )
        }
    };
    let mut reply = whole(request, status, body.into(), kind);
    // Its body is not the page's own: what the page says of that does not go with it.
    data_fields(&shown.entry.record.headers).for_each(|(name, value)| {
        reply.headers_mut().append(name, value);
    });
    if shown.form == Form::Html {
        reply.headers_mut().insert(LOCATION, field(location));
    }
    cache_head(reply.headers_mut(), shown, told(shown));
    reply
}

/// What is told of a page's freshness.
fn told(shown: &Shown<'_>) -> HeadKey {
    let (stale, seconds) = match shown.state {
        // The clock was set back while the page was read: an answer is stale in all its fields or in none.
        State::Fresh { .. } if shown.label == Label::Stale => (true, Some(0)),
        State::Fresh { until } => (false, until.map(|until| until.since(shown.now).as_secs())),
        State::Stale { since, .. } => (true, Some(since.as_secs())),
        State::Missing => (true, Some(0)),
    };
    HeadKey { stale, seconds, edge_stale_s: shown.edge_stale_s }
}

/// The fields that tell how the answer came about and how long caches may keep it.
///
/// `s-maxage` is what is left of the page's freshness at this moment, so `Age` is 0: each answer is checked against
/// the store before it is sent (RFC 9111 section 5.1), and a cache that subtracted the page's age from what is left
/// would count it twice.
fn cache_head(head: &mut HeaderMap, shown: &Shown<'_>, told: HeadKey) {
    let mut status = String::with_capacity(48);
    let name = match shown.label {
        Label::Hit | Label::Stale => "perennial; hit",
        Label::Miss => "perennial; fwd=uri-miss",
        Label::Revalidated => "perennial; fwd=stale",
        Label::Bypass => {
            head.insert(CACHE_CONTROL, NO_STORE);
            head.insert(CACHE_STATUS, HeaderValue::from_static("perennial; fwd=bypass"));
            head.insert(X_PERENNIAL_CACHE, shown.label.value());
            return;
        }
    };
    status.push_str(name);
    if !matches!(shown.label, Label::Hit | Label::Stale) {
        status.push_str(if shown.entry.unsaved { "" } else { "; stored" });
        status.push_str(if shown.collapsed { "; collapsed" } else { "" });
    }
    if let Some(seconds) = told.seconds {
        let sign = if told.stale && seconds > 0 { "-" } else { "" };
        let _ = write!(status, "; ttl={sign}{seconds}");
    }
    let (fresh_s, edge_stale_s) = match told {
        HeadKey { stale: false, seconds, edge_stale_s } => {
            (seconds.map_or(NEVER_S, |left| left.clamp(1, NEVER_S)), edge_stale_s)
        }
        HeadKey { stale: true, edge_stale_s, .. } => (1, STALE_EDGE_S.min(edge_stale_s)),
    };
    let control = format!("public, max-age=0, s-maxage={fresh_s}, stale-while-revalidate={edge_stale_s}");
    head.insert(CACHE_CONTROL, field(control));
    head.insert(CACHE_STATUS, field(status));
    head.insert(X_PERENNIAL_CACHE, shown.label.value());
    head.insert(AGE, HeaderValue::from_static("0"));
    if let Some(name) = shown.tag_header {
        head.insert(HeaderName::from_static(name), field(cache_tags(shown.page, &shown.entry.record.tags)));
    }
}

/// An answer as it is, but for caches, which may not keep it.
pub fn not_kept(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    reply
}

/// An answer that no cache may keep: error pages, shells, `dev`.
pub fn html(request: &Parts, status: StatusCode, html: String, label: Option<Label>) -> Reply {
    no_store(whole(request, status, html.into(), HTML), label)
}

/// The same for data requests.
pub fn json(request: &Parts, status: StatusCode, json: &'static str) -> Reply {
    no_store(whole(request, status, json.into(), JSON), None)
}

/// The same with plain text, for clients rather than visitors.
pub fn plain(request: &Parts, status: StatusCode, body: &'static str) -> Reply {
    text_reply(request, status, body.into())
}

/// 400, after which the connection is closed: what follows on it may not be what it seems.
pub fn bad_request(request: &Parts, body: &'static str) -> Reply {
    let mut reply = plain(request, StatusCode::BAD_REQUEST, body);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The same with text that is made for the occasion.
pub fn text(request: &Parts, status: StatusCode, body: String) -> Reply {
    text_reply(request, status, body.into())
}

fn text_reply(request: &Parts, status: StatusCode, body: Bytes) -> Reply {
    no_store(whole(request, status, body, HeaderValue::from_static("text/plain; charset=utf-8")), None)
}

/// 405, with the methods there are.
pub fn method_not_allowed(request: &Parts) -> Reply {
    let mut reply = plain(request, StatusCode::METHOD_NOT_ALLOWED, "Use GET or HEAD.\n");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    reply
}

/// 308 to the canonical spelling of the path, on the same host.
pub fn elsewhere(request: &Parts, path: String) -> Reply {
    let mut reply = plain(request, StatusCode::PERMANENT_REDIRECT, "The path has another spelling.\n");
    reply.headers_mut().insert(LOCATION, field(path));
    reply
}

fn no_store(mut reply: Reply, label: Option<Label>) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    if reply.status() == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Some(label) = label {
        reply.headers_mut().insert(X_PERENNIAL_CACHE, label.value());
    }
    reply
}

fn whole(request: &Parts, status: StatusCode, body: Bytes, kind: HeaderValue) -> Reply {
    let mut reply = Response::new(Body::default());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    if request.method != Method::HEAD {
        *reply.body_mut() = body.into();
    }
    reply
}

/// Text that is made of what HTTP allows in a field, or an empty value.
fn field(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}
