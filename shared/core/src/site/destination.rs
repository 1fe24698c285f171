//! Where a redirect may lead. Pure.

use crate::key::encode::encode_into;
use crate::site::page::Redirect;

/// Checks a redirect, and percent-encodes what is not ASCII in its destination.
///
/// # Errors
/// A sentence that names the mistake and its correction.
pub(crate) fn checked(redirect: &Redirect) -> Result<Redirect, String> {
    let Redirect { destination, status, base_path } = redirect;
    if ![301, 302, 303, 307, 308].contains(status) {
        return Err(format!("a redirect cannot have status {status}: give 301, 302, 303, 307 or 308"));
    }
    let escaped = destination.escape_debug();
    if destination.chars().any(|c| c.is_ascii_control()) {
        return Err(format!("the redirect to `{escaped}` holds a control character"));
    }
    let lower = destination.to_ascii_lowercase();
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| lower.strip_prefix(scheme));
    let is_internal = destination.starts_with('/') && !destination[1..].starts_with(['/', '\\']);
    if !is_internal && after_scheme.is_none_or(|rest| rest.is_empty() || rest.starts_with(['/', '\\'])) {
        return Err(format!(
            "the redirect to `{escaped}` must be a path that begins with one `/`, or an http or https URL"
        ));
    }
    let mut encoded = String::with_capacity(destination.len());
    for c in destination.chars() {
        if c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}') {
            encoded.push(c);
        } else {
            encode_into(&mut encoded, c.encode_utf8(&mut [0; 4]));
        }
    }
    Ok(Redirect { destination: encoded, status: *status, base_path: *base_path })
}
