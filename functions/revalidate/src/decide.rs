//! Decides what the endpoint does with an authenticated request. A dry run calls [`decide`], too. Pure.

use std::time::Duration;

use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use perennial_core::base::clock::Millis;
use perennial_core::base::limits::Limits;
use perennial_core::record::publish_request::{Mode, PublishRequest};
use perennial_core::site::ReadySite;

use crate::delivery::Delivery;
use crate::payload_plans::{PayloadPlans, payload_plans};
use crate::plan::{EndpointRequest, Overrides, Plan, parse};

/// The latest time of a scheduled publish: a year from now.
const SCHEDULED_MAX: Duration = Duration::from_secs(366 * 86_400);

/// The message for a payload for which no rule counts.
pub const NOTHING_MATCHED: &str = "nothing matched";

/// The header field `Prefer` (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The decision about a request.
#[derive(Debug)]
pub struct Decision<'a> {
    /// For a payload, the results of the site's rules; `None` for a call.
    pub rules: Option<PayloadPlans<'a>>,
    /// The publishes to carry out, in this order; empty if no rule counts.
    pub publishes: Vec<PlannedPublish>,
    /// The status for a publish that is accepted and carried out later. A call gets 202. Some publishers count any status but 200
    /// as a failure: a delivery gets 200, unless its sender prefers 202 (RFC 7240, section 4.1: `Prefer: respond-async`).
    pub accepted: StatusCode,
}

/// A publish to carry out.
#[derive(Debug)]
pub struct PlannedPublish {
    /// The request, with the pages of each path.
    pub request: PublishRequest,
    /// The time of a scheduled publish; `None` for now.
    pub at: Option<Millis>,
}

/// The reason why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The answer's status.
    pub status: StatusCode,
    /// The mistake, and what to do.
    pub message: String,
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message }
    }
}

/// Checks the size of a body.
///
/// # Errors
/// The body is larger than `PERENNIAL_MAX_WEBHOOK_BYTES`.
pub fn check_size(body: &[u8], limits: &Limits) -> Result<(), Refused> {
    if body.len() <= limits.max_webhook_bytes {
        return Ok(());
    }
    let message = "The body is too large (PERENNIAL_MAX_WEBHOOK_BYTES)".into();
    Err(Refused { status: StatusCode::PAYLOAD_TOO_LARGE, message })
}

impl Decision<'_> {
    /// The status of the answer if everything succeeds.
    pub fn status(&self) -> StatusCode {
        let is_later = |planned: &PlannedPublish| {
            planned.at.is_some() || (planned.request.mode == Mode::Now && !planned.request.tags.is_empty())
        };
        if self.publishes.iter().any(is_later) { self.accepted } else { StatusCode::OK }
    }
}

/// Decides about a request.
///
/// # Errors
/// The request has a mistake: nothing is carried out.
pub fn decide<'a>(
    request: &Parts,
    body: &[u8],
    delivery: &Delivery,
    site: &'a ReadySite,
    limits: &Limits,
    now: Millis,
) -> Result<Decision<'a>, Refused> {
    check_size(body, limits)?;
    let (parsed, is_delivery) = parse(request, body, delivery.provider, site, limits)?;
    let accepted = match is_delivery && !prefers_async(&request.headers) {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    // A signature covers the body, not the URL. An attacker who has seen a delivery could send it with another URL, and
    // have pages rendered, but not removed.
    let deletes_by_url = matches!(
        &parsed,
        EndpointRequest::Plan(Plan { mode: Mode::Delete, .. })
            | EndpointRequest::Payload(_, Overrides { mode: Some(Mode::Delete), .. })
    );
    if delivery.is_signed() && deletes_by_url {
        return Err(Refused::from(
            "mode delete needs a secret: a signature does not cover the URL".to_owned(),
        ));
    }
    let (rules, plans) = match parsed {
        EndpointRequest::Plan(plan) => (None, vec![plan]),
        EndpointRequest::Payload(payload, over) => {
            let mut by_rules = payload_plans(site, limits, delivery, &request.headers, &payload, over)?;
            let plans = std::mem::take(&mut by_rules.plans);
            (Some(by_rules), plans)
        }
    };
    let publishes =
        plans.into_iter().map(|plan| planned(plan, site, limits, now)).collect::<Result<_, _>>()?;
    Ok(Decision { rules, publishes, accepted })
}

fn planned(plan: Plan, site: &ReadySite, limits: &Limits, now: Millis) -> Result<PlannedPublish, Refused> {
    let at = plan.at.filter(|at| now < *at);
    if at.is_some_and(|at| at.since(now) > SCHEDULED_MAX) {
        return Err(Refused::from("at is more than a year from now".to_owned()));
    }
    Ok(PlannedPublish { request: plan.into_request(site, limits)?, at })
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let name = |preference: &str| preference.split([';', '=']).next().unwrap_or_default().trim().to_owned();
    values.flat_map(|value| value.split(',')).any(|one| name(one).eq_ignore_ascii_case("respond-async"))
}

#[cfg(test)]
mod tests {
    use perennial_core::run::settings::Settings;
    use perennial_core::site::Site;
    use perennial_core::site::route::Route;
    use perennial_core::testing::Text;
    use perennial_core::webhooks::providers::github;

    use super::*;
    use crate::delivery::Authenticated;

    fn decided(
        uri: &str,
        prefer: &str,
        authenticated: Authenticated,
        body: &str,
    ) -> Result<(StatusCode, usize), Refused> {
        let rules = r#"{"rules":[{"paths":["/"],"when":{"/a":1}},{"tags":["t"],"when":{"/a":2}}]}"#;
        let site = Site::new().route(Route::new("/", Text)).webhooks(rules).ready(None, None).unwrap();
        let request = http::Request::post(uri).header("prefer", prefer).body(()).unwrap().into_parts().0;
        let provider = &github::PROVIDER;
        let key_id = String::new();
        let delivery = Delivery { provider, id: None, fingerprint: None, key_id, authenticated };
        let limits = Settings::default().limits;
        let decided = decide(&request, body.as_bytes(), &delivery, &site, &limits, Millis(0))?;
        Ok((decided.status(), decided.publishes.len()))
    }

    /// Some publishers count any status but 200 as a failure.
    #[test]
    fn a_delivery_is_answered_200_unless_its_sender_prefers_202() {
        let ask =
            |uri: &str, prefer: &str, body: &str| decided(uri, prefer, Authenticated::Request, body).unwrap();
        for (uri, prefer, body, found) in [
            ("/", "", r#"{"a":1}"#, (200, 1)),
            ("/", "", r#"{"a":2}"#, (200, 1)),
            ("/?tag=t", "", "{}", (200, 1)),
            ("/", "", r#"{"a":3}"#, (200, 0)),
            ("/", "respond-async", r#"{"a":1}"#, (200, 1)),
            ("/", "wait=10, Respond-Async; x=y", r#"{"a":2}"#, (202, 1)),
            ("/?tag=t", "respond-async", "{}", (202, 1)),
            ("/?path=/&at=1970-01-02T00:00:00Z", "", "{}", (200, 1)),
            ("/", "respond-async-not", r#"{"a":2}"#, (200, 1)),
        ] {
            let (status, publishes) = ask(uri, prefer, body);
            assert_eq!((status.as_u16(), publishes), found, "{uri} {prefer} {body}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let signed = || Authenticated::Body(Vec::new());
        let large = format!("\"{}\"", "x".repeat(Settings::default().limits.max_webhook_bytes));
        for (uri, authenticated, body, status, part) in [
            ("/?path=/nowhere", Authenticated::Request, "", 400, "no route"),
            ("/?path=/&at=1999-01-01T00:00:00Z", Authenticated::Request, "", 400, "more than a year"),
            ("/?path=/&mode=delete", signed(), "", 400, "does not cover the URL"),
            ("/?mode=delete", signed(), "{}", 400, "does not cover the URL"),
            ("/", Authenticated::Request, &large, 413, "PERENNIAL_MAX_WEBHOOK_BYTES"),
        ] {
            let refused = decided(uri, "", authenticated, body).unwrap_err();
            assert_eq!(refused.status.as_u16(), status, "{uri}");
            assert!(refused.message.contains(part), "{uri}: {}", refused.message);
        }
    }
}
