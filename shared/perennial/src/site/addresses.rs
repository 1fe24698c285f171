//! Addresses of Perennial's own that pages link to.

/// Where a draft is opened, with a secret: below the site's base path.
pub const OPEN_DRAFT: &str = "/api/draft";

/// Where it is closed.
pub const CLOSE_DRAFT: &str = "/api/draft/clear";
