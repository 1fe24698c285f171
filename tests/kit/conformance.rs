//! The conformance site: every render is decided by an upstream that a test controls.
//!
//! A data function makes exactly one request, `GET {upstream}/props?…`, and does what the JSON answer says.
//! Names, routes and fields are fixed: harnesses outside the project rely on them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use perennial::{
    Blob, Context, Failure, Fallback, Outcome, Page, Params, Query, Redirect, Resource, Revalidate, Route,
    Site, escape,
};
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::echo::{Echo, PREFIX};

/// A route whose pages the upstream decides; `period` in seconds, `None` is for ever. For sites that need more than
/// the conformance site has.
pub fn route(pattern: &'static str, upstream_url: &str, period: Option<u32>) -> Route {
    Route::new(pattern, Controlled { upstream: Upstream::new(upstream_url), pattern, period })
}

/// The same for a resource. `content_type` is what the upstream need not say.
pub fn resource(
    pattern: &'static str,
    content_type: &'static str,
    upstream_url: &str,
    period: Option<u32>,
) -> Route {
    let page = Controlled { upstream: Upstream::new(upstream_url), pattern, period };
    Route::resource(pattern, ControlledBlob { page, content_type })
}

/// The conformance site on the upstream of that base URL.
pub fn site(upstream_url: String) -> Site {
    let upstream = Upstream::new(&upstream_url);
    let route = |pattern: &'static str, period| {
        Route::new(pattern, Controlled { upstream: upstream.clone(), pattern, period })
    };
    Site::new()
        .version("3.2.1")
        .route(route("/", Some(2)))
        .route(route("/never", None))
        .route(route("/maybe404", Some(2)))
        .route(route("/blog/{slug}", Some(2)))
        .route(route("/fb/{slug}", Some(2)).fallback(Fallback::Shell))
        .route(route("/nofb/{slug}", Some(2)).fallback(Fallback::NotFound))
        .route(route("/catch/{*all}", Some(2)))
        .route(route("/tagged/{slug}", None))
        .route(route("/vary/{slug}", Some(2)).query(Query::int("page", 1..=20)))
        .route(route("/mix/{slug}", Some(2)).fallback(Fallback::NotFound))
        .route(route("/mix/{*all}", Some(2)))
        .route(route("/ssr", None).dynamic())
        .redirect("/old/{id}", Redirect::permanent("/blog/{id}"))
        .rewrite("/alias/{slug}", "/blog/{slug}")
        .headers("/{*path}", [("x-site", "yes")])
        .headers("/blog/{slug}", [("x-blog", "yes")])
        .route(resource("/file/{name}", "application/json", &upstream_url, Some(2)))
        .route(resource("/img/{name}.png", "image/png", &upstream_url, Some(2)))
        .service(PREFIX, Echo::default())
        .not_found(|cx| error_page("custom-404", cx.path, None))
        .error(|cx| error_page("custom-500", cx.path, cx.error))
}

fn error_page(class: &str, path: &str, error: Option<&str>) -> String {
    let error = error.map_or_else(String::new, |e| format!("<pre>{}</pre>", escape(e)));
    format!(
        "<!doctype html><title>{class}</title><h1 class=\"{class}\">{class}</h1><p>{}</p>{error}",
        escape(path)
    )
}

/// A page that does what the upstream says.
struct Controlled {
    upstream: Upstream,
    pattern: &'static str,
    /// Seconds, unless the upstream says otherwise; `None` is for ever.
    period: Option<u32>,
}

impl Controlled {
    async fn listed(&self) -> Result<Vec<Params>, Failure> {
        let answer = self.upstream.get("paths", &[("route", self.pattern)]).await?;
        panic_if_asked(&answer)?;
        let listed = answer.get("params").and_then(Value::as_array);
        let listed =
            listed.ok_or_else(|| Failure::new(format!("paths of {}: no list `params`", self.pattern)))?;
        listed.iter().map(|params| Params::from_json(params).map_err(Failure::new)).collect()
    }

    /// What the upstream says of one render.
    async fn asked(&self, cx: &Context) -> Result<Value, Failure> {
        let query: serde_json::Map<String, Value> =
            cx.queries().iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let question = [
            ("route", cx.pattern()),
            ("path", cx.path()),
            ("params", &cx.params().to_json()),
            ("reason", cx.reason().as_str()),
            ("query", &Value::from(query).to_string()),
        ];
        self.upstream.get("props", &question).await
    }
}

/// A resource that does what the upstream says: bytes in base64, or the signature of a PNG and the data JSON of a page.
struct ControlledBlob {
    page: Controlled,
    /// Unless the upstream says otherwise.
    content_type: &'static str,
}

/// The signature at the start of every PNG: no UTF-8, and no text of one line (PNG specification section 5.2).
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

impl Resource for ControlledBlob {
    async fn paths(&self) -> Result<Vec<Params>, Failure> {
        self.page.listed().await
    }

    async fn blob(&self, cx: &Context) -> Result<Outcome<Blob>, Failure> {
        outcome(&self.page.asked(cx).await?, cx, self.page.period, |answer, cx| self.made(answer, cx))
    }
}

impl ControlledBlob {
    fn made(&self, answer: &Value, cx: &Context) -> Result<Blob, Failure> {
        let content_type = text(answer, "content_type")?.unwrap_or_else(|| self.content_type.to_owned());
        let (base64, props) = (text(answer, "base64")?, props(answer, cx)?);
        let signature = if self.content_type == "image/png" { PNG } else { b"" };
        let make = move || match (base64, &props.template) {
            (_, Template { throw: Some(message), .. }) => Err(Failure::new(message.clone())),
            (_, Template { empty: true, .. }) => Ok(Vec::new()),
            (Some(base64), _) => Ok(STANDARD.decode(base64)?),
            (None, template) => {
                let pad = pad(&props.id, template.pad_bytes);
                let json = serde_json::json!({ "props": props, "pad": pad }).to_string();
                Ok([signature, json.as_bytes()].concat())
            }
        };
        Ok(Blob::made_by(content_type, make))
    }
}

/// What the page shows, and what its template is to do.
#[derive(Serialize)]
struct Props {
    id: String,
    value: String,
    reason: &'static str,
    path: String,
    params: Value,
    build: String,
    #[serde(skip)]
    template: Template,
}

#[derive(Default)]
struct Template {
    throw: Option<String>,
    pad_bytes: usize,
    empty: bool,
}

impl Page for Controlled {
    type Props = Props;

    async fn paths(&self) -> Result<Vec<Params>, Failure> {
        self.listed().await
    }

    async fn props(&self, cx: &Context) -> Result<Outcome<Props>, Failure> {
        outcome(&self.asked(cx).await?, cx, self.period, props)
    }

    fn render(&self, props: &Props, cx: &Context) -> Result<String, Failure> {
        if let Some(message) = &props.template.throw {
            return Err(Failure::new(message.clone()));
        }
        if props.template.empty {
            return Ok(String::new());
        }
        Ok(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{value}</title>\
             <main data-id=\"{id}\" data-value=\"{value}\" data-reason=\"{reason}\" data-path=\"{path}\" \
             data-params=\"{params}\" data-build=\"{build}\"><p>{value}</p></main>{pad}</html>",
            id = escape(&props.id),
            value = escape(&props.value),
            reason = props.reason,
            path = escape(cx.path()),
            params = escape(&cx.params().to_json()),
            build = escape(cx.build()),
            pad = pad(&props.id, props.template.pad_bytes),
        ))
    }

    fn shell(&self) -> String {
        format!(
            "<!doctype html><title>loading</title><p>FALLBACK-LOADING</p><script data-url=\"{}\"></script>",
            perennial::SHELL_DATA_URL
        )
    }
}

/// Does what one answer of the upstream says.
fn outcome<P>(
    answer: &Value,
    cx: &Context,
    period: Option<u32>,
    page: impl Fn(&Value, &Context) -> Result<P, Failure>,
) -> Result<Outcome<P>, Failure> {
    if !answer.is_object() {
        return Err(Failure::new(format!("the upstream answered {answer}, which is not an object")));
    }
    if let Some(message) = text(answer, "throw")? {
        return Err(Failure::new(message));
    }
    panic_if_asked(answer)?;
    let redirect = answer.get("redirect").filter(|r| !r.is_null());
    let results = [flag(answer, "not_found")?, redirect.is_some(), flag(answer, "keep_stale")?];
    if results.iter().filter(|given| **given).count() > 1 {
        return Err(Failure::new("the upstream gave two results at once"));
    }
    let mut outcome = match (results, redirect) {
        ([true, _, _], _) => Outcome::not_found(),
        ([_, _, true], _) => Outcome::keep_stale(None),
        (_, Some(to)) => Outcome::redirect(redirect_to(to)?),
        _ => Outcome::page(page(answer, cx)?),
    };
    match (answer.get("revalidate"), period) {
        (Some(given), _) => outcome = outcome.revalidate(Revalidate::from(given)),
        (None, Some(seconds)) => outcome = outcome.revalidate(seconds),
        (None, None) => {}
    }
    for tag in answer.get("tags").and_then(Value::as_array).into_iter().flatten() {
        outcome =
            outcome.tag(tag.as_str().ok_or_else(|| Failure::new(format!("tag {tag} is not a string")))?);
    }
    for field in answer.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let [Some(name), Some(value)] = [0, 1].map(|n| field.get(n).and_then(Value::as_str)) else {
            return Err(Failure::new(format!("the header {field} is not a pair of strings")));
        };
        outcome = outcome.header(name, value);
    }
    if let Some(instant) = text(answer, "expires_at")? {
        let rfc3339 = &time::format_description::well_known::Rfc3339;
        outcome = outcome.expires_at(time::OffsetDateTime::parse(&instant, rfc3339)?.into());
    }
    Ok(outcome)
}

/// Panics with the upstream's words, or with some if it gives none.
fn panic_if_asked(answer: &Value) -> Result<(), Failure> {
    match answer.get("panic") {
        Some(Value::String(message)) => panic!("{message}"),
        _ if flag(answer, "panic")? => panic!("the upstream asked for a panic"),
        _ => Ok(()),
    }
}

fn props(answer: &Value, cx: &Context) -> Result<Props, Failure> {
    let id = match text(answer, "id")? {
        Some(id) => id,
        None => unique_id()?,
    };
    let throw = flag(answer, "render_throw")?.then(|| "the upstream asked the template to fail".to_owned());
    let pad_bytes = answer.get("pad_bytes").and_then(Value::as_u64).unwrap_or(0);
    Ok(Props {
        id,
        value: text(answer, "value")?.unwrap_or_default(),
        reason: cx.reason().as_str(),
        path: cx.path().to_owned(),
        params: serde_json::from_str(&cx.params().to_json())?,
        build: cx.build().to_owned(),
        template: Template { throw, pad_bytes: usize::try_from(pad_bytes)?, empty: flag(answer, "empty")? },
    })
}

fn redirect_to(given: &Value) -> Result<Redirect, Failure> {
    let destination =
        text(given, "destination")?.ok_or_else(|| Failure::new("a redirect needs a destination"))?;
    let redirect = match (
        given.get("permanent").and_then(Value::as_bool),
        given.get("status").and_then(Value::as_u64),
    ) {
        (Some(true), None) => Redirect::permanent(destination),
        (Some(false), None) => Redirect::temporary(destination),
        (None, Some(status)) => Redirect::with_status(destination, u16::try_from(status)?),
        _ => return Err(Failure::new(format!("redirect {given} needs either `permanent` or `status`"))),
    };
    let bare = ["base_path", "basePath"].iter().any(|name| given.get(name) == Some(&Value::Bool(false)));
    Ok(if bare { redirect.without_base_path() } else { redirect })
}

fn text(answer: &Value, field: &str) -> Result<Option<String>, Failure> {
    match answer.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(Failure::new(format!("`{field}` is {other}, not a string"))),
    }
}

fn flag(answer: &Value, field: &str) -> Result<bool, Failure> {
    match answer.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(yes)) => Ok(*yes),
        Some(other) => Err(Failure::new(format!("`{field}` is {other}, not true or false"))),
    }
}

/// Unique across renders, processes and restarts.
fn unique_id() -> Result<String, Failure> {
    Ok(format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?))
}

/// Text that hardly compresses and differs from id to id, so that a page torn between two renders shows.
pub fn pad(id: &str, bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // FNV-1a of the id seeds xorshift64.
    let mut state = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        LETTERS[(state >> 58) as usize] as char
    };
    (0..bytes).map(|_| next()).collect()
}

/// The data functions' way to the upstream: one connection and one request a call, no retries, no limits of its own.
#[derive(Clone)]
struct Upstream {
    base: String,
}

impl Upstream {
    fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    async fn get(&self, what: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let uri: Uri = format!("{}/{what}?{query}", self.base).parse()?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http"));
        let host =
            host.ok_or_else(|| Failure::new(format!("the upstream {} is not an http URL", self.base)))?;
        let stream =
            TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = http::Request::get(uri.path_and_query().map_or("/", PathAndQuery::as_str));
        let request = request
            .header("host", uri.authority().map_or("", Authority::as_str))
            .header("connection", "close");
        let (head, body) = sender.send_request(request.body(Empty::<Bytes>::new())?).await?.into_parts();
        if head.status != StatusCode::OK {
            let failure = Failure::new(format!("the upstream answered {}", head.status));
            let asked =
                matches!(head.status.as_u16(), 429 | 503).then(|| retry_after(&head.headers)).flatten();
            return Err(asked.into_iter().fold(failure, Failure::retry_after));
        }
        let bytes = body.collect().await?.to_bytes();
        drop(connection);
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}
