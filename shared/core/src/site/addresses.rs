//! Paths of Perennial's own endpoints, below the site's base path.

use crate::key::encode::RESERVED_SEGMENT;
use crate::key::url::below;

/// The endpoint that publishers call. The addresses of publishes are below it.
pub const ENDPOINT: &str = "/api/revalidate";

/// The publishing page. The addresses of its script are below it.
pub const CONSOLE: &str = "/api/publish";

/// The endpoint that turns an editor's draft mode on; a call carries a secret.
pub const OPEN_DRAFT: &str = "/api/draft";

/// The endpoint that turns draft mode off.
pub const CLOSE_DRAFT: &str = "/api/draft/clear";

/// What Perennial answers itself of all paths of a route with this pattern: such a route is never reached. The functions
/// on AWS answer all paths below the endpoint and the publishing page, so no other server may give them to a page.
pub(crate) fn owned(pattern: &str) -> Option<String> {
    if let Some(own) = [ENDPOINT, CONSOLE].iter().find(|own| below(own, pattern).is_some()) {
        return Some(format!("`{own}` and all paths below it"));
    }
    [OPEN_DRAFT, CLOSE_DRAFT].contains(&pattern).then(|| format!("`{pattern}`"))
}

/// Whether Perennial itself answers a path without the base path, so that no service of the site gets it.
pub(crate) fn is_own(path: &str) -> bool {
    [ENDPOINT, OPEN_DRAFT, CONSOLE].iter().any(|own| below(own, path).is_some())
        || path.strip_prefix('/').is_some_and(|path| path.split('/').next() == Some(RESERVED_SEGMENT))
}
