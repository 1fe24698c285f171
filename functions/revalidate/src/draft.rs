//! Opens and closes drafts (the draft mode of Next.js): a call with a secret gets a signed cookie and a redirect to the page.

use std::time::Duration;

use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use perennial_core::base::clock::Millis;
use perennial_core::base::limits::Limits;
use perennial_core::base::text::read;
use perennial_core::look::body::Body;
use perennial_core::run::preview::{DRAFT_COOKIE, DRAFT_MAX, Drafts};
use perennial_core::site::ReadySite;

use crate::paths::pages;

/// The default of `seconds`: how long a draft stays open.
const DRAFT_DEFAULT: Duration = Duration::from_secs(3600);

/// A redirect to the page with a draft cookie, signed for the secret with this `key_id`.
///
/// # Errors
/// A message for the caller that says what is wrong with the call.
pub(crate) fn open(
    request: &Parts,
    (drafts, key_id): (&Drafts, &str),
    site: &ReadySite,
    limits: &Limits,
    now: Millis,
) -> Result<Response<Body>, String> {
    let lifetime = match parameter(request, "seconds") {
        None => DRAFT_DEFAULT,
        Some(text) => match Duration::from_secs(read("seconds", &text)?) {
            lifetime if lifetime > Duration::ZERO && lifetime <= DRAFT_MAX => lifetime,
            lifetime => {
                let (given, most) = (lifetime.as_secs(), DRAFT_MAX.as_secs());
                return Err(format!("seconds is {given}: give 1 to {most}"));
            }
        },
    };
    let to = location(request, site, limits)?;
    let value = drafts.sign(key_id, now.plus(lifetime)).ok_or("there is no secret to sign with")?;
    redirect(&to, &value, lifetime, site.base_path())
}

/// A redirect to the page that removes the draft cookie. Needs no secret, because it gives nothing.
///
/// # Errors
/// A message for the caller that says what is wrong with the call.
pub(crate) fn close(request: &Parts, site: &ReadySite, limits: &Limits) -> Result<Response<Body>, String> {
    redirect(&location(request, site, limits)?, "", Duration::ZERO, site.base_path())
}

fn parameter(request: &Parts, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes());
    pairs.find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

/// The target of the redirect: a page of this site in canonical spelling, never another host.
fn location(request: &Parts, site: &ReadySite, limits: &Limits) -> Result<String, String> {
    let path = parameter(request, "path").unwrap_or_else(|| "/".to_owned());
    let pages = pages(&path, site, limits)?;
    let page = pages.first().map_or("/", |page| page.key().path());
    let base = site.base_path();
    Ok(if page == "/" && !base.is_empty() { base.to_owned() } else { format!("{base}{page}") })
}

fn redirect(to: &str, value: &str, lifetime: Duration, base: &str) -> Result<Response<Body>, String> {
    let scope = if base.is_empty() { "/" } else { base };
    // A CMS shows drafts in a frame on its own site: the cookie needs SameSite=None there, and SameSite=None needs Secure
    // (RFC 6265bis, section 4.1.2.7).
    let cookie = format!(
        "{DRAFT_COOKIE}={value}; Path={scope}; Max-Age={}; HttpOnly; Secure; SameSite=None",
        lifetime.as_secs()
    );
    let field = |text: &str| HeaderValue::try_from(text).map_err(|e| e.to_string());
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, field(to)?);
    response.headers_mut().insert(SET_COOKIE, field(&cookie)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}
