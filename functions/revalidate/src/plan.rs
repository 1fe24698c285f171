//! Parses calls to the revalidate endpoint. Pure: query and body in, a [`Plan`] out.

use http::Method;
use http::request::Parts;
use perennial_core::base::clock::Millis;
use perennial_core::base::limits::Limits;
use perennial_core::base::rfc3339::parse_rfc3339;
use perennial_core::base::text;
use perennial_core::key::tags::{SITE_TAG, check_tag, route_tag, user_tag};
use perennial_core::record::publish_request::{Mode, PublishRequest, RequestedPath};
use perennial_core::site::ReadySite;
use perennial_core::webhooks::posted::Posted;
use perennial_core::webhooks::provider::Provider;
use perennial_core::webhooks::providers;
use perennial_core::webhooks::providers::other;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::paths::pages;

/// A parsed request to the endpoint.
#[derive(Debug, PartialEq, Eq)]
pub enum EndpointRequest {
    /// A call that names what has changed.
    Plan(Plan),
    /// A payload for the site's webhook rules, and the query's settings.
    Payload(Value, Overrides),
}

/// The settings of a request's query, which win over the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The mode; `None` leaves the rules' mode.
    pub mode: Option<Mode>,
    /// Whether pages without a stored render are left alone.
    pub only_generated: bool,
    /// The time of a scheduled publish; `None` for now.
    pub at: Option<Millis>,
    /// Seconds after which the pages are rendered once more (a second look).
    pub look_again_after_s: Option<u32>,
}

/// A checked call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How pages are revalidated.
    pub mode: Mode,
    /// Whether pages that have not been generated are left alone.
    pub only_generated: bool,
    /// Paths of pages, as the publisher wrote them.
    pub paths: Vec<String>,
    /// Stored tags, with their prefixes: own tags, and implicit ones of routes and the site.
    pub tags: Vec<String>,
    /// The time of a scheduled publish; `None`: now.
    pub at: Option<Millis>,
    /// Seconds after which the pages are rendered once more (a second look).
    pub look_again_after_s: Option<u32>,
}

/// The JSON body of a POST. Every member is optional; query parameters have the same names. The body is read only if the query
/// names no path, tag, route or site. Any other body is a payload for the site's webhook rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Call {
    mode: Mode,
    only_generated: bool,
    path: Option<String>,
    paths: Vec<String>,
    tag: Option<String>,
    tags: Vec<String>,
    route: Option<String>,
    routes: Vec<String>,
    site: bool,
    at: Option<String>,
    #[serde(deserialize_with = "whole_seconds")]
    look_again_after: Option<u32>,
}

/// Parses seconds with a message for publishers: serde's own would speak of `u32`.
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    if seconds.is_none() && !value.is_null() {
        return Err(D::Error::custom(format!("look_again_after is {value}: it must be a whole number")));
    }
    Ok(seconds)
}

/// The names of the members of [`Call`].
const MEMBERS: [&str; 11] = [
    "mode",
    "only_generated",
    "path",
    "paths",
    "tag",
    "tags",
    "route",
    "routes",
    "site",
    "at",
    "look_again_after",
];

/// Parses an authenticated request.
///
/// # Errors
/// A message for the caller that says what is wrong.
pub fn plan(
    request: &Parts,
    body: &[u8],
    site: &ReadySite,
    limits: &Limits,
) -> Result<EndpointRequest, String> {
    parse(request, body, providers::of_request(&request.headers), site, limits).map(|(parsed, _)| parsed)
}

/// Parses a request, and tells whether it is a delivery of a webhook rather than a call. A call names what has changed, in its
/// query or in its body. The webhook rules read a body in three cases: the query has `rules=true`; the headers are those of
/// a provider; or the body is no call.
pub(crate) fn parse(
    request: &Parts,
    body: &[u8],
    provider: &Provider,
    site: &ReadySite,
    limits: &Limits,
) -> Result<(EndpointRequest, bool), String> {
    let (mut call, mode, asks_rules) = of_query(request)?;
    let names_target =
        !call.paths.is_empty() || !call.tags.is_empty() || !call.routes.is_empty() || call.site;
    let has_rules = !site.webhooks().is_empty();
    if asks_rules && names_target {
        return Err("rules=true has the site's rules name what has changed: name nothing in the query".into());
    }
    if asks_rules && !has_rules {
        return Err("rules=true, and the site has no rules (`Site::webhooks`, PERENNIAL_WEBHOOKS)".into());
    }
    let is_for_rules = asks_rules || provider != &other::PROVIDER;
    let posted = match request.method == Method::POST {
        true => Posted::read(&request.headers, body),
        false => Ok(Posted::Nothing),
    };
    let is_call = posted.as_ref().is_ok_and(is_call);
    let is_empty = matches!(posted, Ok(Posted::Nothing));
    // A CMS may post its own payload to a URL whose query names what has changed: then the payload is not read.
    let is_delivery = is_for_rules || !(is_call || is_empty);
    let is_body_read = !names_target && (request.method == Method::POST || asks_rules);
    if is_body_read && has_rules && (is_for_rules || !is_call) {
        let payload =
            posted.map_err(|error| format!("the body is not a JSON call, nor a payload: {error}"))?;
        let at = call.at.as_deref().map(parse_time).transpose()?;
        let look_again_after_s = call.look_again_after;
        look_again_after_s.map_or(Ok(()), check_look)?;
        let overrides = Overrides { mode, only_generated: call.only_generated, at, look_again_after_s };
        return Ok((EndpointRequest::Payload(payload.into_value(), overrides), true));
    }
    if is_body_read && !is_empty {
        let body_call = of_body(body).map_err(|error| {
            let hint = if has_rules || is_call {
                ""
            } else {
                "; for payloads, the site has no rules (`Site::webhooks`, PERENNIAL_WEBHOOKS)"
            };
            format!("the body is not a JSON call: {error}{hint}")
        })?;
        call = Call {
            mode: mode.unwrap_or(body_call.mode),
            only_generated: call.only_generated || body_call.only_generated,
            at: call.at.or(body_call.at),
            look_again_after: call.look_again_after.or(body_call.look_again_after),
            ..body_call
        };
    }
    Ok((EndpointRequest::Plan(checked_plan(call, site, limits)?), is_delivery))
}

/// Whether a body is meant as a call: an object with no other member names than those of a call.
fn is_call(posted: &Posted) -> bool {
    match posted {
        Posted::Json(Value::Object(members)) => {
            !members.is_empty() && members.keys().all(|name| MEMBERS.contains(&&**name))
        }
        _ => false,
    }
}

fn checked_plan(call: Call, site: &ReadySite, limits: &Limits) -> Result<Plan, String> {
    let paths: Vec<_> = call.path.into_iter().chain(call.paths).collect();
    let mut tags = Vec::new();
    for tag in call.tag.iter().chain(&call.tags) {
        check_tag(tag, limits)?;
        tags.push(user_tag(tag));
    }
    for route in call.route.into_iter().chain(call.routes) {
        if !site.routes().iter().any(|r| r.id() == route) {
            return Err(unknown_route(&route, site));
        }
        tags.push(route_tag(&route));
    }
    if call.site {
        tags.push(SITE_TAG.to_owned());
    }
    let at = call.at.as_deref().map(parse_time).transpose()?;
    let (mode, only_generated) = (call.mode, call.only_generated);
    let look_again_after_s = call.look_again_after;
    check(Plan { mode, only_generated, paths, tags, at, look_again_after_s }, limits)
}

/// What a caller is told who names a route that there is not: a route with nearly that name, if there is one.
fn unknown_route(named: &str, site: &ReadySite) -> String {
    let shown = named.escape_debug();
    let without_braces = |id: &str| id.replace(['{', '}'], "");
    let routes = || site.routes().iter().map(|route| route.id());
    if let Some(meant) = routes().find(|id| without_braces(id) == named) {
        return format!(
            "the site has no route `{shown}`, but `{meant}`: write the braces, and call curl with `-g`, \
             because it takes braces for its own"
        );
    }
    match text::nearest(named, routes(), 1)[..] {
        [nearest] => format!("the site has no route `{shown}`; did you mean `{nearest}`?"),
        _ => format!("the site has no route `{shown}`"),
    }
}

/// Parses a call from a JSON object. Serde alone would accept a list, too.
fn of_body(body: &[u8]) -> Result<Call, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("it is not an object".into());
    }
    serde_json::from_slice(body).map_err(|e| e.to_string())
}

/// Parses the query: the call, the mode if given, and whether `rules=true`.
fn of_query(request: &Parts) -> Result<(Call, Option<Mode>, bool), String> {
    let (mut call, mut given_mode, mut asks_rules) = (Call::default(), None, false);
    for (name, value) in form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes()) {
        let value = value.into_owned();
        match &*name {
            "secret" => {}
            "path" => call.paths.push(value),
            "tag" => call.tags.push(value),
            "route" => call.routes.push(value),
            "site" => call.site = flag("site", &value)?,
            "rules" => asks_rules = flag("rules", &value)?,
            "only_generated" => call.only_generated = flag("only_generated", &value)?,
            "at" => call.at = Some(value),
            "look_again_after" => call.look_again_after = Some(text::read("look_again_after", &value)?),
            "mode" => {
                if given_mode.is_some() {
                    return Err("mode is given more than once".into());
                }
                let mode = serde_json::Value::from(value);
                let mode = Mode::deserialize(&mode)
                    .map_err(|_| format!("mode is {mode}: give now, stale or delete"))?;
                (call.mode, given_mode) = (mode, Some(mode));
            }
            other => return Err(format!("`{}` is no parameter of this endpoint", other.escape_debug())),
        }
    }
    Ok((call, given_mode, asks_rules))
}

fn check(plan: Plan, limits: &Limits) -> Result<Plan, String> {
    let items = plan.paths.len() + plan.tags.len();
    if items == 0 {
        return Err("name what has changed: path=/a/page, tag=…, route=…, or site=true".into());
    }
    if items > limits.max_revalidations {
        return Err(format!(
            "{items} paths and tags in one call, the limit is {} (PERENNIAL_MAX_REVALIDATIONS)",
            limits.max_revalidations
        ));
    }
    if let Some(seconds) = plan.look_again_after_s {
        if plan.mode != Mode::Now {
            return Err("look_again_after goes with mode now".into());
        }
        check_look(seconds)?;
    }
    Ok(plan)
}

fn check_look(seconds: u32) -> Result<(), String> {
    if (1..=LOOK_AGAIN_MAX_S).contains(&seconds) {
        return Ok(());
    }
    Err(format!("look_again_after is {seconds}: give 1 to {LOOK_AGAIN_MAX_S} seconds"))
}

/// The latest second look, in seconds: the longest delay of a message in SQS, 15 minutes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
const LOOK_AGAIN_MAX_S: u32 = 900;

fn parse_time(text: &str) -> Result<Millis, String> {
    // A query decodes a plus sign that is not percent-encoded to a space.
    let restored =
        text.replace(' ', "+").replacen('+', "T", usize::from(text.as_bytes().get(10) == Some(&b' ')));
    parse_rfc3339(&restored).ok_or_else(|| {
        format!("at is `{}`: give an instant like 2026-11-23T09:00:00Z (RFC 3339)", text.escape_debug())
    })
}

impl Plan {
    /// The publish request, with the keys of each path's pages. One bad path fails the whole call.
    ///
    /// # Errors
    /// A message for the caller that says what is wrong with a path.
    pub fn into_request(self, site: &ReadySite, limits: &Limits) -> Result<PublishRequest, String> {
        let mut paths = Vec::with_capacity(self.paths.len());
        for path in self.paths {
            let keys =
                pages(&path, site, limits)?.iter().map(|page| page.key().as_str().to_owned()).collect();
            paths.push(RequestedPath { path, keys });
        }
        let Self { mode, only_generated, tags, look_again_after_s, .. } = self;
        Ok(PublishRequest { mode, only_generated, paths, tags, look_again_after_s })
    }
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    text::read(name, value)
}

#[cfg(test)]
mod tests {
    use perennial_core::run::settings::Settings;
    use perennial_core::site::Site;
    use perennial_core::site::route::Route;
    use perennial_core::testing::Text;

    use super::*;

    fn site() -> ReadySite {
        let site =
            ["/", "/never", "/blog/{slug}"].iter().fold(Site::new(), |s, p| s.route(Route::new(*p, Text)));
        site.ready(None, None).unwrap()
    }

    fn read(uri: &str, body: &str) -> Result<Plan, String> {
        let request = http::Request::post(uri).body(()).unwrap().into_parts().0;
        match plan(&request, body.as_bytes(), &site(), &Settings::default().limits)? {
            EndpointRequest::Plan(plan) => Ok(plan),
            EndpointRequest::Payload(..) => panic!("the site has no rules"),
        }
    }

    #[test]
    fn query_and_body_have_the_same_parameters() {
        let expected = Plan {
            mode: Mode::Stale,
            only_generated: true,
            paths: vec!["/a".into()],
            tags: vec!["tag:t".into()],
            ..Plan::default()
        };
        assert_eq!(read("/?secret=x&path=/a&tag=t&mode=stale&only_generated=true", "").unwrap(), expected);
        let body = r#"{"path":"/a","tags":["t"],"mode":"stale","only_generated":true}"#;
        assert_eq!(read("/", body).unwrap(), expected);
        let payload = r#"{"sys":{"id":"x"},"path":"/b"}"#;
        assert_eq!(read("/?path=/a", payload).unwrap().paths, ["/a"], "a CMS's own payload");
        assert_eq!(read("/?site=true&route=/never", "").unwrap().tags, ["route:/never", "site"]);
        assert_eq!(read("/?route=/&route=/never", "").unwrap().tags, ["route:/", "route:/never"]);
        let body = r#"{"route":"/","routes":["/never"]}"#;
        assert_eq!(read("/", body).unwrap().tags, ["route:/", "route:/never"]);
    }

    /// The headers and the query decide first whether a request is a call or a payload; then its body does.
    #[test]
    fn calls_and_payloads_are_told_apart() {
        let rules = r#"{"rules":[{"site":true}]}"#;
        let site = ["/", "/never"].iter().fold(Site::new(), |s, p| s.route(Route::new(*p, Text)));
        let site = site.webhooks(rules).ready(None, None).unwrap();
        let limits = Settings::default().limits;
        let ask = |method: Method, uri: &str, field: &str, body: &str| {
            let mut request = http::Request::builder().method(method).uri(uri);
            if let Some((name, value)) = field.split_once(": ") {
                request = request.header(name, value);
            }
            let request = request.body(()).unwrap().into_parts().0;
            let provider = providers::of_request(&request.headers);
            parse(&request, body.as_bytes(), provider, &site, &limits)
        };
        const LIKE_A_CALL: &str = r#"{"site":true,"path":"/never"}"#;
        for (uri, field, body, is_payload, is_delivery) in [
            ("/", "", LIKE_A_CALL, false, false),
            ("/", "", "\u{feff}{\"site\":true,\"path\":\"/never\"}", false, false),
            ("/?path=/", "", "", false, false),
            ("/?path=/", "", LIKE_A_CALL, false, false),
            ("/?path=/", "", r#"{"a":1}"#, false, true),
            ("/?path=/", "", "no JSON", false, true),
            ("/?path=/", "x-github-event: push", "{}", false, true),
            ("/", "x-github-event: push", LIKE_A_CALL, true, true),
            ("/", "x-hub-signature-256: sha256=00", LIKE_A_CALL, true, true),
            ("/?rules=true", "", LIKE_A_CALL, true, true),
            ("/?rules=true&mode=stale", "", "", true, true),
            ("/?rules=false", "", LIKE_A_CALL, false, false),
            ("/", "", "", true, true),
            ("/", "", "{}", true, true),
            ("/", "", "[]", true, true),
            ("/", "", "null", true, true),
            ("/", "", "webhook_id=2", true, true),
            ("/", "", r#"{"site":true,"and":"more"}"#, true, true),
        ] {
            let (parsed, delivers) = ask(Method::POST, uri, field, body).unwrap();
            let kind = (matches!(parsed, EndpointRequest::Payload(..)), delivers);
            assert_eq!(kind, (is_payload, is_delivery), "{uri} {field} {body}");
        }
        for (uri, field, body, part) in [
            ("/?rules=true&path=/", "", "", "name nothing in the query"),
            ("/?rules=yes", "", "", "must be `true` or `false`"),
            ("/", "", r#"{"site":"blog","path":"/a"}"#, "not a JSON call"),
            ("/", "", "{", "not a JSON call"),
            ("/", "x-github-event: push", "{", "not a JSON call, nor a payload"),
            ("/?rules=true", "", "{\0", "UTF-8"),
        ] {
            let error = ask(Method::POST, uri, field, body).unwrap_err();
            assert!(error.contains(part), "{uri} {field} {body}: {error}");
        }
        // A GET has no body: only its query counts.
        assert!(ask(Method::GET, "/", "", "{}").unwrap_err().contains("name what has changed"));
        assert!(matches!(ask(Method::GET, "/?rules=true", "", "").unwrap().0, EndpointRequest::Payload(..)));
        // A site without rules reads no payload.
        assert!(read("/?rules=true", "").unwrap_err().contains("has no rules"));
        assert_eq!(read("/", LIKE_A_CALL).unwrap().paths, ["/never"]);
        assert!(read("/", "{}").unwrap_err().contains("name what has changed"));
        assert!(read("/", "webhook_id=2").unwrap_err().contains("the site has no rules"));
    }

    #[test]
    fn a_call_may_be_scheduled_or_look_twice() {
        let at = |uri: &str, body: &str| read(uri, body).unwrap().at;
        for (uri, body) in [
            ("/?path=/a&at=2027-01-15T08:00:00Z", ""),
            ("/?path=/a&at=2027-01-15T09:00:00%2B01:00", ""),
            ("/?path=/a&at=2027-01-15T09:00:00+01:00", ""),
            ("/", r#"{"path":"/a","at":"2027-01-15T08:00:00Z"}"#),
            ("/?at=2027-01-15T08:00:00Z", r#"{"tag":"a"}"#),
        ] {
            assert_eq!(at(uri, body), Some(Millis(1_800_000_000_000)), "{uri} {body}");
        }
        assert_eq!(read("/?path=/a&look_again_after=30", "").unwrap().look_again_after_s, Some(30));
        let body = r#"{"path":"/a","look_again_after":30}"#;
        assert_eq!(read("/", body).unwrap().look_again_after_s, Some(30));
    }

    #[test]
    fn a_bad_call_is_told_what_is_wrong() {
        let many = "path=/a&".repeat(101);
        for (uri, body, part) in [
            ("/", "", "name what has changed"),
            ("/?path=/a&mode=soon", "", "now, stale or delete"),
            ("/?path=/a&mode=now&mode=delete", "", "more than once"),
            ("/?path=/a&only_generated=1", "", "must be `true` or `false`"),
            ("/?pfad=/a", "", "`pfad` is no parameter"),
            ("/?tag=", "", "a tag is empty"),
            ("/", &*format!("{{\"tag\":\"{}\"}}", "x".repeat(8193)), "PERENNIAL_MAX_TAG_BYTES"),
            ("/?route=/a/very/other/one", "", "no route"),
            ("/?route=/nevr", "", "no route `/nevr`; did you mean `/never`?"),
            ("/?route=/blog/slug", "", "no route `/blog/slug`, but `/blog/{slug}`"),
            ("/?route=/blog/slug", "", "curl with `-g`"),
            ("/?path=/a&at=tomorrow", "", "like 2026-11-23T09:00:00Z"),
            ("/?path=/a&look_again_after=soon", "", "must be a whole number"),
            ("/?path=/a&look_again_after=0", "", "1 to 900"),
            ("/?path=/a&look_again_after=901", "", "1 to 900"),
            ("/?path=/a&look_again_after=9&mode=stale", "", "with mode now"),
            ("/", "{\"paths\":\"/a\"}", "not a JSON call"),
            ("/", "{\"look_again_after\":\"x\"}", "look_again_after is \"x\": it must be a whole number"),
            ("/", "{\"look_again_after\":-1}", "must be a whole number"),
            ("/", "{\"unknown\":1}", "not a JSON call"),
            (&format!("/?{many}"), "", "PERENNIAL_MAX_REVALIDATIONS"),
        ] {
            let error = read(uri, body).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
