//! The pages that a path of a publisher's call may mean. Pure.

use std::borrow::Cow;

use perennial_core::base::limits::Limits;
use perennial_core::key::encode::decode_path;
use perennial_core::key::url::below;
use perennial_core::site::ReadySite;
use perennial_core::site::route::Resolved;
use perennial_core::site::tables::Sent;

/// The pages that a path may mean, the page of the most exact route first. A query, a fragment, a trailing slash and the base
/// path are tolerated. The path must be the page's own, not the source of a rewrite.
///
/// # Errors
/// A message for the caller: the path is malformed, or no route accepts it.
pub fn pages(path: &str, site: &ReadySite, limits: &Limits) -> Result<Vec<Resolved>, String> {
    let shown = path.escape_debug();
    if path.len() > limits.max_path_bytes {
        return Err(format!(
            "the path is longer than {} bytes (PERENNIAL_MAX_PATH_BYTES)",
            limits.max_path_bytes
        ));
    }
    let path = path.split(['?', '#']).next().unwrap_or(path);
    if !path.starts_with('/') || path.starts_with("//") || path.contains('\\') {
        return Err(format!("the path `{shown}` must be a page's own, like /blog/a"));
    }
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let candidates = |path: &str| -> Result<Vec<Resolved>, String> {
        let segments = decode_path(path).map_err(|e| format!("the path `{shown}` cannot be read: {e}"))?;
        if let Some(sent) = sent_elsewhere(site, &segments) {
            return Err(format!("the path `{shown}` {sent}"));
        }
        Ok(site.candidates(&segments, None).collect())
    };
    let mut pages = match below(site.base_path(), trimmed) {
        Some(below) => candidates(below)?,
        None => Vec::new(),
    };
    if pages.is_empty() {
        pages = candidates(trimmed)?;
    }
    if pages.is_empty() { Err(format!("no route of the site accepts the path `{shown}`")) } else { Ok(pages) }
}

/// Why no page has these segments, if one of the site's tables sends them elsewhere.
fn sent_elsewhere(site: &ReadySite, segments: &[Cow<'_, str>]) -> Option<String> {
    Some(match site.tables().send(segments)? {
        Sent::Elsewhere(to) => {
            format!("is redirected to `{}`, and no page is there: name a page's own path", to.destination())
        }
        Sent::To(page) => format!("is rewritten to `/{}`: name that path", page.join("/").escape_debug()),
    })
}

#[cfg(test)]
mod tests {
    use perennial_core::run::settings::Settings;
    use perennial_core::site::Site;
    use perennial_core::site::route::Route;
    use perennial_core::testing::Text;

    use super::*;

    fn site(base: &str) -> ReadySite {
        let site =
            ["/", "/never", "/blog/{slug}"].iter().fold(Site::new(), |s, p| s.route(Route::new(*p, Text)));
        site.ready(Some(base), None).unwrap()
    }

    #[test]
    fn a_path_is_the_pages_own_however_it_is_spelt() {
        let limits = Settings::default().limits;
        let key = |base: &str, path: &str| {
            pages(path, &site(base), &limits).map(|p| p[0].key().as_str().to_owned())
        };
        for path in ["/blog/caf%C3%A9", "/blog/café", "/blog/caf%c3%a9/", "/blog/café?x=1#y"] {
            assert_eq!(key("", path).unwrap(), "/blog/{slug}|caf%C3%A9", "{path}");
        }
        assert_eq!(key("", "/").unwrap(), "/");
        for path in ["/docs", "/docs/", "/"] {
            assert_eq!(key("/docs", path).unwrap(), "/", "{path}");
        }
        assert_eq!(key("/docs", "/docs/blog/a").unwrap(), key("/docs", "/blog/a").unwrap());
        for path in
            ["", "blog/a", "https://x/", "//x", "/\\x", "/unknown", "/blog//a", "/blog/%", "/docsblog/a"]
        {
            assert!(key("/docs", path).is_err(), "{path}");
        }
    }
}
