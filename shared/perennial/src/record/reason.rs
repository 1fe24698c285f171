//! Why a page is rendered.

/// Why a page is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Listed by `paths`, before the build goes live.
    Build,
    /// Nobody had generated it.
    First,
    /// Its period has passed, or something it carries a tag of was invalidated.
    Stale,
    /// A publisher asked for it.
    OnDemand,
}

impl Reason {
    /// `build`, `first`, `stale` or `on-demand`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Build => "build",
            Reason::First => "first",
            Reason::Stale => "stale",
            Reason::OnDemand => "on-demand",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
