//! The upstream: what pages are made of. It changes, and it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::world::World;

/// What a path is, from some moment on.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) kind: Kind,
    pub(crate) period_s: Option<u32>,
    pub(crate) tags: Vec<&'static str>,
    /// How long after its fetch it ends.
    pub(crate) ends_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Page,
    NotFound,
    Redirect,
}

/// How the upstream answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    Fails,
    /// So many seconds, it says, until it is well again.
    FailsFor(u64),
    Hangs,
    KeepsStale,
    Panics,
    /// A period that is none.
    GivesNonsense,
    /// The template fails, after the data were fetched.
    TemplateFails,
    GivesNothing,
    GivesTooMuch,
}

const MOODS: [Mood; 10] = [
    Mood::Well,
    Mood::Fails,
    Mood::FailsFor(3),
    Mood::Hangs,
    Mood::KeepsStale,
    Mood::Panics,
    Mood::GivesNonsense,
    Mood::TemplateFails,
    Mood::GivesNothing,
    Mood::GivesTooMuch,
];

const TAGS: [&str; 3] = ["red", "green", "blue"];

#[derive(Debug, Default)]
pub(crate) struct Upstream {
    pub(crate) versions: Vec<Version>,
    /// The newest version of each path.
    pub(crate) current: BTreeMap<Arc<str>, usize>,
    pub(crate) moods: BTreeMap<Arc<str>, Mood>,
    /// Whether pages are large enough to be compressed.
    pub(crate) large: bool,
}

/// Paths that there are to begin with, and whether they have a period.
pub(crate) const PATHS: [(&str, bool); 12] = [
    ("/", true),
    ("/never", false),
    ("/blog/a", true),
    ("/blog/b", true),
    ("/blog/c", false),
    ("/listed/a", true),
    ("/listed/b", false),
    ("/shell/a", true),
    ("/list", true),
    ("/strict/a", true),
    ("/hard/a", true),
    ("/event", true),
];

impl World {
    /// A path changes.
    pub(crate) fn change(&mut self, path: &str) {
        let timed = PATHS.iter().find(|(known, _)| *known == path).map(|(_, timed)| *timed);
        let kind = match (timed, self.rng.below(12)) {
            // Nobody has ever heard of it.
            (None, _) | (_, 0) => Kind::NotFound,
            // A listed page that redirects fails its build.
            (_, 1) if !path.starts_with("/listed") && !["/", "/never", "/list", "/event"].contains(&path) => {
                Kind::Redirect
            }
            _ => Kind::Page,
        };
        let period_s = (timed != Some(false)).then(|| self.rng.between(1, 6) as u32);
        let tags = TAGS.into_iter().filter(|_| self.rng.permille(300)).collect();
        let ends_after = (path == "/event").then(|| Duration::from_secs(self.rng.between(2, 5)));
        let path: Arc<str> = path.into();
        let version = Version { kind, period_s, tags, ends_after };
        self.upstream.versions.push(version);
        let number = self.upstream.versions.len() - 1;
        self.number();
        self.say(|| format!("{path} is v{number} now: {kind:?} for {period_s:?} s"));
        self.upstream.current.insert(path, number);
    }

    /// The upstream answers otherwise from now on.
    pub(crate) fn change_mood(&mut self, path: &str) {
        let mood = match self.rng.permille(400) {
            true => Mood::Well,
            false => *self.rng.pick(&MOODS),
        };
        self.number();
        self.say(|| format!("{path}: the upstream is {mood:?} now"));
        self.upstream.moods.insert(path.into(), mood);
    }

    pub(crate) fn newest_version(&mut self, path: &str) -> usize {
        if !self.upstream.current.contains_key(path) {
            self.change(path);
        }
        self.upstream.current[path]
    }
}
