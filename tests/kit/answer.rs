//! One HTTP answer as a test looks at it, and the request that gets it.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::until::until;

/// A request: the target is sent as it is written.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Of the request line.
    pub method: Method,
    /// Of the request line.
    pub target: String,
    /// In this order, besides `host`.
    pub headers: Vec<(String, String)>,
    /// Sent with a `content-length` unless it is empty.
    pub body: Bytes,
}

impl Ask {
    /// Any method.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// HEAD.
    pub fn head(target: impl Into<String>) -> Self {
        Self::new(Method::HEAD, target)
    }

    /// The same with another header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same from another user agent.
    pub fn agent(self, user_agent: &str) -> Self {
        self.header("user-agent", user_agent)
    }

    /// The same with a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// The user agents of the cases.
pub const PERSON: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";
/// A search crawler.
pub const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// Target of a page's data JSON; `path` is percent-encoded and begins with `/`.
pub fn data_target(build: &str, path: &str) -> String {
    let path = if path == "/" { "/index" } else { path };
    format!("/_perennial/data/{build}{path}.json")
}

/// Target of the on-demand endpoint for a page, with the fixture's secret.
pub fn revalidate_target(path: &str) -> String {
    let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    format!("/api/revalidate?secret=test-secret&path={path}")
}

/// Something that can be asked: a process over a socket, or the handlers themselves.
pub trait Asks: Sync {
    /// Sends one request; redirects are not followed, bodies are not decoded.
    fn ask(&self, ask: Ask) -> impl Future<Output = Answer> + Send;

    /// GET by a person.
    fn get(&self, target: &str) -> impl Future<Output = Answer> + Send {
        self.ask(Ask::get(target).agent(PERSON))
    }

    /// HEAD by a person.
    fn head(&self, target: &str) -> impl Future<Output = Answer> + Send {
        self.ask(Ask::head(target).agent(PERSON))
    }

    /// GET of the page's data JSON under the default build.
    fn data(&self, path: &str) -> impl Future<Output = Answer> + Send {
        self.ask(Ask::get(data_target("dev-build", path)).agent(PERSON))
    }

    /// An on-demand call for the page.
    fn revalidate(&self, path: &str) -> impl Future<Output = Answer> + Send {
        self.ask(Ask::get(revalidate_target(path)))
    }
}

/// Asks until the page is another than `old`.
pub async fn until_new(site: &impl Asks, target: &str, old: &str) -> Answer {
    until(&format!("a newer {target}"), async || {
        let answer = site.get(target).await;
        (answer.id() != old).then_some(answer)
    })
    .await
}

/// Status, headers and body, with the views the cases need.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of the status line.
    pub status: u16,
    /// All of them.
    pub headers: HeaderMap,
    /// As sent: never decoded.
    pub body: Bytes,
}

impl Answer {
    /// A header's text, empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap_or("not ASCII"))
    }

    /// `x-perennial-cache`, empty if it is absent.
    pub fn label(&self) -> &str {
        self.header("x-perennial-cache")
    }

    /// The answer's `etag`.
    #[track_caller]
    pub fn etag(&self) -> &str {
        assert!(self.headers.contains_key("etag"), "no etag: {self}");
        self.header("etag")
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, behind the signature of a PNG if it has one.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body.strip_prefix(crate::conformance::PNG).unwrap_or(&self.body))
            .unwrap_or_else(|e| panic!("not JSON ({e}): {self}"))
    }

    /// Whether the body is a conformance page: HTML with its `<main>`.
    pub fn is_page(&self) -> bool {
        self.main().is_some()
    }

    /// Whether the body is the site's shell.
    pub fn is_shell(&self) -> bool {
        self.text().contains("FALLBACK-LOADING")
    }

    fn main(&self) -> Option<String> {
        let text = self.text();
        let start = text.find("<main ")?;
        let end = start + text[start..].find('>')?;
        Some(text[start..end].to_owned())
    }

    /// An attribute of `<main data-*>`, or the same member of the data JSON's props.
    #[track_caller]
    pub fn prop(&self, name: &str) -> String {
        if let Some(main) = self.main() {
            let marker = format!(" data-{name}=\"");
            let from = main.find(&marker).unwrap_or_else(|| panic!("no data-{name}: {self}")) + marker.len();
            let to =
                from + main[from..].find('"').unwrap_or_else(|| panic!("data-{name} does not end: {self}"));
            return unescape(&main[from..to]);
        }
        match &self.json()["props"][name] {
            Value::String(text) => text.clone(),
            Value::Null => panic!("no props.{name}: {self}"),
            other => other.to_string(),
        }
    }

    /// The render's unique id.
    #[track_caller]
    pub fn id(&self) -> String {
        self.prop("id")
    }

    /// What the upstream gave the render to show.
    #[track_caller]
    pub fn value(&self) -> String {
        self.prop("value")
    }

    /// Why the render ran.
    #[track_caller]
    pub fn reason(&self) -> String {
        self.prop("reason")
    }

    /// The page's parameters.
    #[track_caller]
    pub fn params(&self) -> Value {
        serde_json::from_str(&self.prop("params"))
            .unwrap_or_else(|e| panic!("params are not JSON ({e}): {self}"))
    }

    /// `s-maxage`, if `cache-control` has one.
    pub fn s_maxage(&self) -> Option<u64> {
        self.directive("s-maxage")?.parse().ok()
    }

    /// The value of one `cache-control` directive; empty if it has none.
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.header("cache-control").split(',').map(str::trim).find_map(|part| {
            let (found, value) = part.split_once('=').unwrap_or((part, ""));
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Checks status and label (`""`: absent).
    #[track_caller]
    pub fn expect(self, status: u16, label: &str) -> Self {
        assert!(self.status == status && self.label() == label, "expected {status} {label:?}, got {self}");
        self
    }

    /// cc(N) of the cases: `s-maxage` between 1 and N.
    #[track_caller]
    pub fn cc(self, period: u64) -> Self {
        assert!(
            self.s_maxage().is_some_and(|s| (1..=period).contains(&s)),
            "expected s-maxage 1..={period}, got {self}"
        );
        self
    }

    /// cc(∞) of the cases: one year.
    #[track_caller]
    pub fn cc_forever(self) -> Self {
        assert_eq!(self.s_maxage(), Some(31_536_000), "{self}");
        self
    }

    /// Checks that no cache may keep the answer.
    #[track_caller]
    pub fn nostore(self) -> Self {
        assert!(
            self.directive("no-store").is_some() && self.s_maxage().is_none(),
            "expected no-store, got {self}"
        );
        self
    }

    /// Checks that the body holds a text.
    #[track_caller]
    pub fn holds(self, part: &str) -> Self {
        assert!(self.text().contains(part), "expected {part:?} in {self}");
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        let text = self.text();
        write!(f, "  {} bytes: {}", self.body.len(), text.chars().take(400).collect::<String>())
    }
}

fn unescape(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c))
}
