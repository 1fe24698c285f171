//! Answers: status, header fields and bytes. Pure.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use perennial_core::base::clock::Millis;
use perennial_core::base::counters::Event;
use perennial_core::base::limits::Limits;
use perennial_core::freshness::State;
use perennial_core::key::page_key::PageKey;
use perennial_core::look::body::Body;
use perennial_core::look::view::BodyWanted;
use perennial_core::memory::Entry;
use perennial_core::ports::edge::cache_tags;
use perennial_core::record::content::HeadKey;
use perennial_core::record::headers::{data_fields, fields};
use perennial_core::record::media_type::is_compressible;
use perennial_core::record::page_record::{BodyRef, Coding, Form, Record, Stored};
use perennial_core::site::ReadySite;
use perennial_core::site::page::Redirect;

use crate::request::{coding, in_ascii, matches_etag, without_secret};

/// An answer of this crate.
pub type Reply = Response<Body>;

/// The origin of an answer: the value of `x-perennial-cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A stored, fresh page.
    Hit,
    /// A stored, stale page.
    Stale,
    /// A missing page, which was rendered while this visitor waited.
    Miss,
    /// A page that was stale beyond the route's `max_stale`, and was rendered while this visitor waited.
    Revalidated,
    /// A page that was rendered for this request alone.
    Bypass,
}

impl Label {
    /// The event under which the answer is counted.
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
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The longest `s-maxage`, and that of a page which is fresh until it is invalidated, where a shared cache is told so.
pub(crate) const YEAR_S: u64 = 31_536_000;

/// The end of the year 9999, the last instant of an HTTP date (RFC 9110 section 5.6.7).
const HTTP_DATE_MAX: Millis = Millis(253_402_300_799_999);

/// `stale-while-revalidate` of a stale answer: short, so that a shared cache revalidates soon.
const STALE_EDGE_S: u64 = 1;

/// The input of an answer with a page.
pub struct PageAnswer<'a> {
    /// The page.
    pub entry: &'a Entry,
    /// The requested form.
    pub form: Form,
    /// Whether the page is a resource: its content type decides whether it has several codings.
    pub is_resource: bool,
    /// The page's state now.
    pub state: State,
    /// The answer's origin.
    pub label: Label,
    /// Whether the render was shared with another visitor.
    pub collapsed: bool,
    /// The present instant.
    pub now: Millis,
    /// Seconds for which a shared cache may serve the page stale while it revalidates.
    pub edge_stale_s: u64,
    /// Seconds for which a shared cache may keep a page that is fresh until it is invalidated.
    pub endless_s: u64,
    /// The prefix of internal redirects.
    pub base_path: &'a str,
    /// The page's key.
    pub page: &'a PageKey,
    /// The limits.
    pub limits: &'a Limits,
    /// The header field in which the shared cache reads an answer's tags.
    pub tag_header: Option<&'static str>,
}

/// The answer with a page, or 304 if the visitor's copy is current (RFC 9110 section 13.1.2). The content is in the
/// entry, or comes by `stream`.
pub fn page(request: &Parts, answer: &PageAnswer<'_>, stream: Option<Body>) -> Reply {
    let record = &answer.entry.record;
    let (body, status) = match (&record.stored, record.stored.body(answer.form)) {
        (Stored::Redirect { .. }, _) => return redirect(request, answer),
        (Stored::Page { .. }, Some(body)) => (body, StatusCode::OK),
        (Stored::NotFound { .. }, Some(body)) => (body, StatusCode::NOT_FOUND),
        // `state` gives no such entry: this arm only completes the match.
        (Stored::Deleted, _) | (_, None) => return plain(request, StatusCode::NOT_FOUND, "Not found\n"),
    };
    let content = answer.entry.content(answer.form);
    // Content in memory may have another compression than the stored body.
    let body = content.map_or(body, |content| content.body());
    let BodyWanted { coding, is_not_modified, is_head } = wants(request, body, answer.limits);
    let head_key = head_key(answer);
    let make = || {
        let mut head = fixed_head(body, coding, answer);
        let bytes =
            content.map_or_else(|| body.bytes_in(coding), |content| content.coded(coding).len() as u64);
        head.insert(CONTENT_LENGTH, bytes.into());
        cache_head(&mut head, answer, head_key);
        head
    };
    let head = match (answer.label, head_key.stale, content) {
        (Label::Hit, false, Some(content)) | (Label::Stale, true, Some(content)) => {
            content.head(coding, head_key, make)
        }
        _ => make(),
    };
    let mut reply = Response::new(Body::default());
    *reply.status_mut() = status;
    *reply.headers_mut() = head;
    if is_not_modified && status == StatusCode::OK {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        remove_representation_fields(reply.headers_mut());
    } else if !is_head {
        // Only an answer with 304 or to HEAD has neither stream nor content.
        *reply.body_mut() = stream.or_else(|| Some(content?.coded(coding).into())).unwrap_or_default();
    }
    reply
}

/// The coding in which the request would get this body, and whether 304 or the length suffices.
pub fn wants(request: &Parts, body: &BodyRef, limits: &Limits) -> BodyWanted {
    let coding = match body.sent_as(coding(&request.headers)) {
        // A stream in gzip would be compressed for each visitor, and its length would not be known beforehand.
        Coding::Gzip if perennial_core::memory::is_streamed(limits, body) => Coding::Identity,
        coding => coding,
    };
    let is_conditional = request.headers.contains_key(IF_NONE_MATCH);
    let is_not_modified = is_conditional && matches_etag(&request.headers, &body.etag(coding));
    BodyWanted { coding, is_not_modified, is_head: request.method == Method::HEAD }
}

/// Removes the fields that a 304 does not repeat (RFC 9110 section 15.4.5).
fn remove_representation_fields(head: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, LAST_MODIFIED] {
        head.remove(name);
    }
}

/// The header fields that do not depend on the page's freshness.
fn fixed_head(body: &BodyRef, coding: Coding, answer: &PageAnswer<'_>) -> HeaderMap {
    let (form, record) = (answer.form, &answer.entry.record);
    let mut head = HeaderMap::with_capacity(16);
    head.insert(CONTENT_TYPE, if form == Form::Html { HTML } else { JSON });
    add_page_fields(&mut head, form, record);
    if coding != Coding::Identity {
        head.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    // An image is never sent compressed, so a shared cache needs no entry per coding. A short text will perhaps be longer
    // after its next render.
    let has_codings = !answer.is_resource
        || head[CONTENT_TYPE].to_str().is_ok_and(is_compressible)
        || body.coding != Coding::Identity;
    if has_codings {
        head.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    head.insert(ETAG, field(body.etag(coding)));
    let modified_at = record.modified_at.min(HTTP_DATE_MAX);
    head.insert(LAST_MODIFIED, field(httpdate::fmt_http_date(modified_at.to_system())));
    head
}

/// Adds the page's own fields. The page's `Content-Type` replaces the default one.
fn add_page_fields(head: &mut HeaderMap, form: Form, record: &Record) {
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

fn redirect(request: &Parts, answer: &PageAnswer<'_>) -> Reply {
    let Stored::Redirect { destination, status, base_path } = &answer.entry.record.stored else {
        return plain(request, StatusCode::NOT_FOUND, "Not found\n");
    };
    let base_path = if *base_path { answer.base_path } else { "" };
    let mut reply = redirect_to(request, answer.form, below(base_path, destination), *status);
    // A redirect's body is not the page's HTML, so fields that describe that HTML are left out.
    data_fields(&answer.entry.record.headers).for_each(|(name, value)| {
        reply.headers_mut().append(name, value);
    });
    cache_head(reply.headers_mut(), answer, head_key(answer));
    reply
}

/// The address of an internal destination below the base path; any other destination as it is.
fn below(base_path: &str, destination: &str) -> String {
    match (base_path, destination) {
        (base_path, "/") if !base_path.is_empty() => base_path.to_owned(),
        (base_path, destination) if destination.starts_with('/') => format!("{base_path}{destination}"),
        (_, destination) => destination.to_owned(),
    }
}

fn redirect_to(request: &Parts, form: Form, location: String, status: u16) -> Reply {
    let (code, body, content_type) = match form {
        Form::Html => {
            let code = StatusCode::from_u16(status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            (code, format!("The page is at {location}\n"), text)
        }
        Form::Data => {
            let location = perennial_core::site::json_string(&location);
            let json = format!("{{\"redirect\":{{\"destination\":{location},\"status\":{status}}}}}");
            (StatusCode::OK, json, JSON)
        }
    };
    let mut reply = whole(request, code, body.into(), content_type);
    if form == Form::Html {
        reply.headers_mut().insert(LOCATION, field(location));
    }
    reply
}

/// The redirect of a path that the site's table sends elsewhere. It keeps the request's query. Shared caches store the
/// answer for a minute, because nobody purges it when the table changes.
pub fn redirect_of_table(request: &Parts, form: Form, to: Redirect, site: &ReadySite) -> Reply {
    let base_path = if to.has_base_path() { site.base_path() } else { "" };
    let location = with_query(below(base_path, to.destination()), request.uri.query());
    let mut reply = redirect_to(request, form, location, to.status());
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0, s-maxage=60"));
    reply
}

/// An address with this query after its own, and before its fragment.
fn with_query(location: String, query: Option<&str>) -> String {
    let Some(query) = query.and_then(without_secret) else { return location };
    let (address, fragment) = match location.split_once('#') {
        Some((address, fragment)) => (address, format!("#{fragment}")),
        None => (&*location, String::new()),
    };
    let separator = if address.contains('?') { '&' } else { '?' };
    in_ascii(format!("{address}{separator}{query}{fragment}"))
}

/// The freshness that the answer's header fields state.
fn head_key(answer: &PageAnswer<'_>) -> HeadKey {
    let (stale, seconds) = match answer.state {
        // The clock was set back after the decision. All fields must agree that the answer is stale.
        State::Fresh { .. } if answer.label == Label::Stale => (true, Some(0)),
        State::Fresh { until } => (false, until.map(|until| until.since(answer.now).as_secs())),
        State::Stale { since, .. } => (true, Some(since.as_secs())),
        State::Missing => (true, Some(0)),
    };
    HeadKey { stale, seconds, edge_stale_s: answer.edge_stale_s }
}

/// Adds the fields that state the answer's origin (RFC 9211) and how long caches may store the answer (RFC 9111).
///
/// `s-maxage` is the remaining freshness, and `Age` is 0: the answer was validated with the store a moment ago (RFC
/// 9111 section 5.1). If `Age` were the page's age, a cache would subtract that age from the remaining freshness.
fn cache_head(head: &mut HeaderMap, answer: &PageAnswer<'_>, head_key: HeadKey) {
    let mut status = String::with_capacity(48);
    let outcome = match answer.label {
        Label::Hit | Label::Stale => "perennial; hit",
        Label::Miss => "perennial; fwd=uri-miss",
        Label::Revalidated => "perennial; fwd=stale",
        Label::Bypass => {
            head.insert(CACHE_CONTROL, NO_STORE);
            head.insert(CACHE_STATUS, HeaderValue::from_static("perennial; fwd=bypass"));
            head.insert(X_PERENNIAL_CACHE, answer.label.value());
            return;
        }
    };
    status.push_str(outcome);
    if !matches!(answer.label, Label::Hit | Label::Stale) {
        status.push_str(if answer.entry.unsaved { "" } else { "; stored" });
        status.push_str(if answer.collapsed { "; collapsed" } else { "" });
    }
    if let Some(seconds) = head_key.seconds {
        let sign = if head_key.stale && seconds > 0 { "-" } else { "" };
        let _ = write!(status, "; ttl={sign}{seconds}");
    }
    let (fresh_s, edge_stale_s) = match head_key {
        HeadKey { stale: false, seconds, edge_stale_s } => {
            (seconds.map_or(answer.endless_s, |seconds| seconds.clamp(1, YEAR_S)), edge_stale_s)
        }
        HeadKey { stale: true, edge_stale_s, .. } => (1, STALE_EDGE_S.min(edge_stale_s)),
    };
    let control = format!("public, max-age=0, s-maxage={fresh_s}, stale-while-revalidate={edge_stale_s}");
    head.insert(CACHE_CONTROL, field(control));
    head.insert(CACHE_STATUS, field(status));
    head.insert(X_PERENNIAL_CACHE, answer.label.value());
    head.insert(AGE, HeaderValue::from_static("0"));
    if let Some(name) = answer.tag_header {
        head.insert(HeaderName::from_static(name), field(cache_tags(answer.page, &answer.entry.record.tags)));
    }
}

/// The same answer, which no cache may store.
pub fn uncacheable(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    reply
}

/// An HTML answer that no cache may store: error pages and shells.
pub fn html(request: &Parts, status: StatusCode, html: String, label: Option<Label>) -> Reply {
    no_store(whole(request, status, html.into(), HTML), label)
}

/// A JSON answer that no cache may store: for data requests and probes.
pub fn json(request: &Parts, status: StatusCode, json: &'static str) -> Reply {
    no_store(whole(request, status, json.into(), JSON), None)
}

/// A plain-text answer that no cache may store: for clients that sent a wrong request.
pub fn plain(request: &Parts, status: StatusCode, body: &'static str) -> Reply {
    text_reply(request, status, body.into())
}

/// 400 with `Connection: close`: after a malformed request, the following bytes may be no request (RFC 9112 section
/// 11.2).
pub fn bad_request(request: &Parts, body: &'static str) -> Reply {
    let mut reply = plain(request, StatusCode::BAD_REQUEST, body);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// [`plain`] with a computed text.
pub fn text(request: &Parts, status: StatusCode, body: String) -> Reply {
    text_reply(request, status, body.into())
}

fn text_reply(request: &Parts, status: StatusCode, body: Bytes) -> Reply {
    no_store(whole(request, status, body, HeaderValue::from_static("text/plain; charset=utf-8")), None)
}

/// 414: the path is longer than `PERENNIAL_MAX_PATH_BYTES`.
pub(crate) fn path_too_long(request: &Parts) -> Reply {
    plain(request, StatusCode::URI_TOO_LONG, "The path is too long.\n")
}

/// 431: the header fields are larger than `PERENNIAL_MAX_HEADER_BYTES`.
pub(crate) fn head_too_large(request: &Parts) -> Reply {
    let what = "The request's header fields are too large.\n";
    plain(request, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, what)
}

/// 405 with the allowed methods.
pub fn method_not_allowed(request: &Parts) -> Reply {
    let mut reply = plain(request, StatusCode::METHOD_NOT_ALLOWED, "Use GET or HEAD.\n");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    reply
}

/// 308 to the canonical spelling of the path, on the same host.
pub fn canonical_redirect(request: &Parts, path: String) -> Reply {
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

fn whole(request: &Parts, status: StatusCode, body: Bytes, content_type: HeaderValue) -> Reply {
    let mut reply = Response::new(Body::default());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    if request.method != Method::HEAD {
        *reply.body_mut() = body.into();
    }
    reply
}

/// Text as a field's value. Text with characters that HTTP forbids, which no caller passes, gives an empty value.
fn field(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}
