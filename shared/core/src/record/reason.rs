//! The reason of a render.

/// The reason of a render, as logs, records and [`Context::reason`](crate::site::page::Context::reason) state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The build renders a listed page.
    Build,
    /// The page is missing, and a visitor waits for it.
    First,
    /// The page is stale: its period has passed, or one of its tags was invalidated.
    Stale,
    /// A publisher revalidates the page.
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
