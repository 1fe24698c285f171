//! Paths of Perennial's own endpoints for drafts, below the site's base path.

/// The endpoint that turns an editor's draft mode on; a call carries a secret.
pub const OPEN_DRAFT: &str = "/api/draft";

/// The endpoint that turns draft mode off.
pub const CLOSE_DRAFT: &str = "/api/draft/clear";
