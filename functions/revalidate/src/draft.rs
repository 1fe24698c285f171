//! Opens and closes drafts: a secret in, a signed cookie out, and on to the page.

use std::time::Duration;

use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use perennial::parts::base::limits::Limits;
use perennial::parts::base::text::read;
use perennial::parts::look::body::Body;
use perennial::parts::run::preview::{DRAFT_COOKIE, DRAFT_MAX, Drafts};
use perennial::{Millis, ReadySite};

use crate::plan;

/// How long a draft stays open unless the call says otherwise.
const DRAFT_DEFAULT: Duration = Duration::from_secs(3600);

/// The redirect to the page, with the cookie that shows it as a draft, signed with a key of the secret of that name.
///
/// # Errors
/// Says what is wrong with the call.
pub(crate) fn open(
    request: &Parts,
    (drafts, key_id): (&Drafts, &str),
    site: &ReadySite,
    limits: &Limits,
    now: Millis,
) -> Result<Response<Body>, String> {
    let lasts = match parameter(request, "seconds") {
        None => DRAFT_DEFAULT,
        Some(text) => match Duration::from_secs(read("seconds", &text)?) {
            lasts if lasts > Duration::ZERO && lasts <= DRAFT_MAX => lasts,
            lasts => {
                let (given, most) = (lasts.as_secs(), DRAFT_MAX.as_secs());
                return Err(format!("seconds is {given}: give 1 to {most}"));
            }
        },
    };
    let to = location(request, site, limits)?;
    let value = drafts.sign(key_id, now.plus(lasts)).ok_or("there is no secret to sign with")?;
    redirect(&to, &value, lasts, site.base_path())
}

/// The redirect to the page as everybody sees it. Needs no secret: it only takes away.
///
/// # Errors
/// Says what is wrong with the call.
pub(crate) fn close(request: &Parts, site: &ReadySite, limits: &Limits) -> Result<Response<Body>, String> {
    redirect(&location(request, site, limits)?, "", Duration::ZERO, site.base_path())
}

fn parameter(request: &Parts, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.uri.query().unwrap_or("").as_bytes());
    pairs.find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

/// Where to go: a page of this site, spelt canonically, so never to another host.
fn location(request: &Parts, site: &ReadySite, limits: &Limits) -> Result<String, String> {
    let path = parameter(request, "path").unwrap_or_else(|| "/".to_owned());
    let pages = plan::pages(&path, site, limits)?;
    let page = pages.first().map_or("/", |page| page.key().path());
    let base = site.base_path();
    Ok(if page == "/" && !base.is_empty() { base.to_owned() } else { format!("{base}{page}") })
}

fn redirect(to: &str, value: &str, lasts: Duration, base: &str) -> Result<Response<Body>, String> {
    let scope = if base.is_empty() { "/" } else { base };
    // A CMS shows drafts in a frame of its own site: that needs SameSite=None, and so Secure.
    let cookie = format!(
        "{DRAFT_COOKIE}={value}; Path={scope}; Max-Age={}; HttpOnly; Secure; SameSite=None",
        lasts.as_secs()
    );
    let field = |text: &str| HeaderValue::try_from(text).map_err(|e| e.to_string());
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, field(to)?);
    response.headers_mut().insert(SET_COOKIE, field(&cookie)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}
