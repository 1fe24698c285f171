//! The time, reason and build of a page's render, shown at its foot.

use std::time::SystemTime;

use perennial::parts::base::rfc3339::to_rfc3339;
use perennial::{Context, Reason};

/// The time now, as RFC 3339 in UTC. `props` takes it once for a render, so that the HTML and the data JSON agree.
pub(crate) fn now() -> String {
    #[allow(clippy::disallowed_methods, reason = "the site's one clock; pages have no port to Perennial's")]
    let now = SystemTime::now();
    utc(now)
}

/// `2026-11-23T08:15:30Z`
fn utc(instant: SystemTime) -> String {
    to_rfc3339(instant.into())
}

/// The data at the foot of a page.
pub(crate) struct Stamp<'a> {
    /// RFC 3339, in UTC.
    pub(crate) rendered_at: &'a str,
    pub(crate) generation: u64,
    pub(crate) build: &'a str,
    pub(crate) reason: Reason,
}

impl<'a> Stamp<'a> {
    pub(crate) fn new(rendered_at: &'a str, cx: &'a Context) -> Self {
        Self { rendered_at, generation: cx.generation(), build: cx.build(), reason: cx.reason() }
    }

    /// The same instant for people: `2026-11-23 08:15:30 UTC`.
    pub(crate) fn time_for_people(&self) -> String {
        self.rendered_at.replace('T', " ").replace('Z', " UTC")
    }

    /// The reason for readers.
    pub(crate) fn reason_for_people(&self) -> &'static str {
        match self.reason {
            Reason::Build => "listed by the build",
            Reason::First => "nobody had asked for it before",
            Reason::Stale => "the one before it had grown old",
            Reason::OnDemand => "a publisher asked for it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn instants_are_written_in_utc() {
        assert_eq!(utc(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_421_730)), "2026-11-23T08:15:30Z");
    }
}
