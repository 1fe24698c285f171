//! Who may name whom. Every arrow points back on the data's way, so that a part can be read without what comes after.

use std::collections::BTreeSet;

use crate::graph::{Arrow, Graph, Node};
use crate::source::{File, Tree, places};

const LIBRARY: &str = "shared/core/src/";
const FUNCTIONS: [&str; 3] = ["serve", "regenerate", "revalidate"];

/// The stations of the library on the data's way, then what is built on it. A file names only files of its own station
/// and of those before it.
const ORDER: [&str; 29] = [
    "base",
    "key",
    "record",
    "freshness",
    "webhooks",
    "ports",
    "guard",
    "memory",
    "site",
    "process",
    "render",
    "visit",
    "look",
    "publish",
    "work",
    "build",
    "overview",
    "engine",
    "stores",
    "cdn",
    "run",
    "testing",
    "lib",
    "functions/serve",
    "functions/regenerate",
    "functions/revalidate",
    "functions/standalone",
    "shared/perennial",
    "shared/site",
];

/// Ports, and the files that implement one, speak of pages and time and not of who uses them.
const PORT_WORDS: [&str; 5] = ["base", "key", "record", "freshness", "ports"];
/// Where the ports of a backend are put together for a site.
const ASSEMBLIES: [&str; 2] = ["stores/embedded.rs", "stores/aws/stores.rs"];
/// Routes are resolved without looking at the world.
const RESOLVES: &str = "site/route.rs";
/// Commit pages: what was rendered, and that a page is gone.
const WRITERS: [&str; 2] = ["render/refresh.rs", "render/tombstone.rs"];
/// Crates that an adapter is for; they are named where it is implemented.
const ADAPTERS: [&str; 3] = ["rusqlite", "aws_sigv4", "hyper_rustls"];
/// The machine's clock, environment and process.
const PROCESS: [&str; 8] = [
    "SystemTime::now",
    "Instant::now",
    "env::var",
    "env::vars",
    "env::args",
    "process::exit",
    "thread::sleep",
    "time::sleep",
];
/// The files that touch it.
const TOUCH_THE_PROCESS: [&str; 3] = ["base/clock.rs", "run/settings.rs", "run/telemetry.rs"];

/// What is wrong, and what was looked at.
pub(crate) struct Findings {
    pub(crate) complaints: Vec<String>,
    pub(crate) summary: String,
}

pub(crate) fn find(tree: &Tree) -> Findings {
    let manifests = tree.files.iter().filter(|f| f.path.ends_with("/Cargo.toml"));
    let mut complaints: Vec<String> = manifests.flat_map(functions_alone).collect();
    for file in tree.rust() {
        complaints.extend([says_pure(file), crates(file), one_writer(file), process(file)].concat());
    }
    let graph = Graph::of(tree);
    let arrows = graph.arrows();
    let circles = circles(&graph, &arrows);
    let mut pairs: Vec<_> = arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let (files, number) = (graph.nodes.len(), circles.len());
    let summary = format!("{} arrows between {files} files, {number} circles", pairs.len());
    complaints.extend(graph.nodes.iter().filter_map(no_station));
    complaints.extend(stations_without_files(&graph));
    complaints.extend(arrows.iter().flat_map(|arrow| wrong_arrow(&graph, arrow)));
    complaints.extend(methods(&graph));
    complaints.extend(circles);
    once(&mut complaints);
    Findings { complaints, summary }
}

/// Keeps the first of complaints that only differ in their line.
fn once(complaints: &mut Vec<String>) {
    let mut said = BTreeSet::new();
    complaints.retain(|complaint| {
        let mut parts = complaint.splitn(3, ':');
        said.insert((parts.next().map(str::to_owned), parts.nth(1).map(str::to_owned)))
    });
}

/// Where a file stands in the order.
fn station(node: &Node<'_>) -> &'static str {
    let path = &node.file.path;
    let outside = ORDER.iter().find(|s| path.strip_prefix(**s).is_some_and(|rest| rest.starts_with('/')));
    let inside = node.module.first().copied().unwrap_or("lib");
    let station = outside.or_else(|| ORDER.iter().find(|s| **s == inside && node.krate == "perennial_core"));
    station.copied().unwrap_or_default()
}

fn rank(node: &Node<'_>) -> usize {
    ORDER.iter().position(|s| *s == station(node)).unwrap_or_default()
}

fn no_station(node: &Node<'_>) -> Option<String> {
    let advice =
        "has no place on the data's way: move it into a station, or name a new one in `ORDER` of tidy";
    station(node).is_empty().then(|| node.file.complain(0, advice))
}

/// The order names what is there.
fn stations_without_files(graph: &Graph<'_>) -> Vec<String> {
    let empty = ORDER.iter().filter(|s| !graph.nodes.iter().any(|node| station(node) == **s));
    empty.map(|s| format!("`{s}` of the order has no file: take it out of `ORDER` of tidy")).collect()
}

fn wrong_arrow(graph: &Graph<'_>, arrow: &Arrow<'_>) -> Vec<String> {
    let from = &graph.nodes[arrow.from];
    let to = arrow.defined.unwrap_or(arrow.to);
    let (own, other) = (station(from), station(&graph.nodes[to]));
    let file = graph.name(to);
    let mut wrong = vec![];
    if arrow.defined.is_some() {
        let (by, item) = (graph.name(arrow.to), arrow.item.unwrap_or_default());
        wrong.push(format!("names `{item}` by {by}, which only passes it on: name {file}, which defines it"));
    }
    if !own.is_empty() && rank(&graph.nodes[to]) > rank(from) {
        wrong.push(format!(
            "`{own}` names {file}, and `{other}` comes after `{own}`: pass the value in, or move what both need \
             to the earlier of them"
        ));
    }
    let name = graph.name(arrow.from);
    let is_backend = ["stores", "cdn"].contains(&own);
    if (own == "ports" || is_backend && !ASSEMBLIES.contains(&name))
        && !PORT_WORDS.contains(&other)
        && !(is_backend && ["stores", "cdn"].contains(&other))
        && rank(&graph.nodes[to]) < rank(from)
    {
        wrong.push(format!("names {file}: a port speaks of keys, records and time, not of those who use it"));
    }
    if name == RESOLVES && ["ports", "guard", "memory"].contains(&other) {
        wrong.push(format!(
            "names {file}: routes are resolved without looking at the world, pass the value in"
        ));
    }
    if ["stores", "cdn"].contains(&other) && !may_name_backend(from, file) {
        wrong.push(format!(
            "names the backend {file}: only `run/function.rs` and standalone choose one, use the \
             port's trait"
        ));
    }
    wrong.into_iter().map(|what| from.file.complain(arrow.at, &what)).collect()
}

fn may_name_backend(from: &Node<'_>, backend: &str) -> bool {
    let own = station(from);
    ["stores", "cdn", "lib", "functions/standalone", "shared/perennial"].contains(&own)
        || from.file.path.ends_with("src/run/function.rs")
        // A backend reads its own settings.
        || from.file.path.ends_with("src/run/settings.rs") && backend.ends_with("/settings.rs")
}

fn circles(graph: &Graph<'_>, arrows: &[Arrow<'_>]) -> Vec<String> {
    let describe = |(circle, files): (Vec<usize>, usize)| {
        let names: Vec<_> = circle.iter().chain(circle.first()).map(|&n| graph.name(n)).collect();
        let (from, to) = (circle[0], circle[1 % circle.len()]);
        let first =
            arrows.iter().find(|arrow| arrow.from == from && arrow.to == to).map_or(0, |arrow| arrow.at);
        let what = format!(
            "a circle in a knot of {files} files, {}: move what both ends need into a file before them",
            names.join(" → ")
        );
        graph.nodes[from].file.complain(first, &what)
    };
    graph.circles(arrows).into_iter().map(describe).collect()
}

/// Calls of methods name no file, so that methods elsewhere could hide an arrow.
fn methods(graph: &Graph<'_>) -> Vec<String> {
    let mut complaints = vec![];
    for (from, defined, named) in graph.methods() {
        let (here, there) = (&graph.nodes[from], &graph.nodes[defined]);
        let at_home = from == defined
            || here.krate == there.krate
                && !there.module.is_empty()
                && here.module.starts_with(&there.module);
        if !at_home {
            let (name, home) = (named.names.join("::"), graph.name(defined));
            let what = format!(
                "methods of `{name}`, which {home} defines: put them there or into its folder, or make them \
                 functions or methods of a part of its own"
            );
            complaints.push(here.file.complain(named.at, &what));
        }
    }
    complaints
}

/// The path of a file of the library, from its root.
fn in_library(file: &File) -> Option<&str> {
    file.path.strip_prefix(LIBRARY)
}

fn is_program(file: &File) -> bool {
    file.path.starts_with("functions/standalone/")
}

fn functions_alone(manifest: &File) -> Vec<String> {
    let Some(own) = manifest.path.strip_prefix("functions/").and_then(|p| p.split('/').next()) else {
        return vec![];
    };
    if own == "standalone" {
        return vec![];
    }
    let names_another = |line: &str| {
        let name = line.split(['.', ' ', '=']).next().and_then(|name| name.strip_prefix("perennial-"));
        let name = name.unwrap_or_default();
        name != own && (FUNCTIONS.contains(&name) || name == "standalone")
    };
    let dependencies = manifest.text.split_inclusive('\n').scan(0, |at, line| {
        *at += line.len();
        Some((*at - line.len(), line))
    });
    dependencies
        .filter(|(_, line)| names_another(line))
        .map(|(at, _)| {
            manifest
                .complain(at, "a function never depends on another: move what they share to `perennial-core`")
        })
        .collect()
}

/// A file that calls itself pure in its first lines keeps the promise.
fn says_pure(file: &File) -> Vec<String> {
    let header = file.text.lines().take_while(|line| line.starts_with("//!"));
    if !header.into_iter().any(|line| line.contains("Pure")) {
        return vec![];
    }
    let advice = "is not pure, as the file says it is: fetch in the caller and pass the value in";
    let deeds = ["async", "await", "tokio", "std::fs", "std::net", "std::io", "Mutex"];
    deeds
        .iter()
        .flat_map(|deed| places(file.product_code(), deed))
        .map(|at| file.complain(at, advice))
        .collect()
}

/// Crates for an adapter are used by that adapter alone.
fn crates(file: &File) -> Vec<String> {
    let implements =
        in_library(file).is_some_and(|path| path.starts_with("stores/") || path.starts_with("cdn/"));
    if implements || file.path.starts_with("tests/") {
        return vec![];
    }
    let advice = "names a crate that one adapter is for: only `stores` and `cdn` do, use the port's trait";
    ADAPTERS
        .iter()
        .flat_map(|name| places(file.product_code(), name))
        .map(|at| file.complain(at, advice))
        .collect()
}

/// Commits of pages, which have arguments; those of a database transaction have none.
fn one_writer(file: &File) -> Vec<String> {
    let stations = ["ports/", "guard/", "stores/"];
    let may = in_library(file).is_some_and(|path| {
        WRITERS.contains(&path) || stations.iter().any(|station| path.starts_with(station))
    });
    if may || file.path.starts_with("tests/") {
        return vec![];
    }
    let code = file.product_code();
    let commits = places(code, ".commit(").filter(|at| !code[at + ".commit(".len()..].starts_with(')'));
    let of_pages = |at: &usize| {
        let before = code[..*at].trim_end();
        before.ends_with("pages()") || before.ends_with("pages")
    };
    let publishes =
        places(code, ".publish(").filter(of_pages).filter(|_| in_library(file) != Some("build.rs"));
    commits
        .chain(publishes)
        .map(|at| {
            file.complain(at, "commits a page: `render` alone does (and `build`, all at once), call it")
        })
        .collect()
}

fn process(file: &File) -> Vec<String> {
    let library = in_library(file).is_some_and(|path| !TOUCH_THE_PROCESS.contains(&path));
    let function = file.path.starts_with("functions/") && !is_program(file);
    if !library && !function {
        return vec![];
    }
    let advice = "touches the process: time comes from the `Clock` port, the environment from `settings`";
    PROCESS
        .iter()
        .flat_map(|name| places(file.product_code(), name))
        .map(|at| file.complain(at, advice))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, text: &str) -> File {
        File::new(format!("{LIBRARY}{name}"), text)
    }

    /// What the rules about arrows say of a product of these files.
    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![library("lib.rs", "")];
        for (name, text) in files {
            let path = if name.contains("/src/") { (*name).to_owned() } else { format!("{LIBRARY}{name}") };
            all.retain(|file| file.path != path);
            all.push(File::new(path, *text));
        }
        for krate in ["shared/site", "functions/serve", "functions/standalone"] {
            let path = format!("{krate}/src/lib.rs");
            if !all.iter().any(|file| file.path == path) {
                all.push(File::new(path, ""));
            }
        }
        let findings = find(&Tree { files: all });
        findings
            .complaints
            .into_iter()
            .filter(|complaint| !complaint.contains("of the order has no file"))
            .collect()
    }

    #[track_caller]
    fn nothing(files: &[(&str, &str)]) {
        assert_eq!(said(files), [""; 0]);
    }

    /// One complaint, which begins with the place and holds the words.
    #[track_caller]
    fn one(files: &[(&str, &str)], place: &str, words: &str) {
        let said = said(files);
        let holds = said.len() == 1 && said[0].contains(place) && said[0].contains(words);
        assert!(holds, "not one with {place} and {words}: {said:#?}");
    }

    #[test]
    fn arrows_lead_to_earlier_stations() {
        let clock = ("base/clock.rs", "pub struct Millis;");
        let refresh = ("render/refresh.rs", "pub fn refresh() {}");
        nothing(&[clock, ("render/refresh.rs", "use crate::base::clock::Millis;")]);
        nothing(&[
            refresh,
            ("base/clock.rs", "//! [`crate::render::refresh`]\n// crate::render::refresh::refresh\n"),
        ]);
        nothing(&[
            refresh,
            ("base/clock.rs", "#[cfg(test)]\nmod tests { use crate::render::refresh::refresh; }"),
        ]);
        let own = ("base/clock.rs", "#[cfg(test)]\npub(crate) mod cases;");
        nothing(&[refresh, own, ("base/clock/cases.rs", "use crate::render::refresh::refresh;")]);
        let later = "`base` names render/refresh.rs, and `render` comes after `base`";
        for code in [
            "use crate::render::refresh::refresh;",
            "use crate::{render::{refresh::{self, refresh as again}}};",
            "pub use crate::render::refresh::*;",
            "fn f() { crate::render::refresh::refresh() }",
            "use super::super::render::refresh::refresh;",
            "mod inner { fn f() { super::super::super::render::refresh::refresh() } }",
            "fn f() { let x = [1]; x[0..crate::render::refresh::LONG] }",
        ] {
            let said = said(&[refresh, ("base/clock.rs", code)]);
            assert!(!said.is_empty() && said.iter().all(|one| one.contains(later)), "{code}: {said:#?}");
        }
        // The deepest file that a path through an import leads to.
        let front = ("render.rs", "pub mod refresh;");
        let code = "use crate::base;\nuse crate::render;\n\nfn f() { render::refresh::refresh() }";
        let said = said(&[refresh, front, ("base.rs", ""), ("freshness.rs", code)]);
        let places: Vec<_> = said.iter().map(|one| one.split(": ").next().unwrap_or_default()).collect();
        let here = "shared/core/src/freshness.rs";
        assert_eq!(places, [format!("{here}:2"), format!("{here}:4")], "{said:#?}");
    }

    #[test]
    fn every_file_has_a_station_and_every_station_a_file() {
        one(&[("stuff/a.rs", "")], "stuff/a.rs:1", "no place on the data's way");
        let missing =
            find(&Tree { files: vec![library("lib.rs", ""), library("key/url.rs", "")] }).complaints;
        assert_eq!(missing.len(), ORDER.len() - 2, "{missing:#?}");
        assert!(missing[0].starts_with("`base` of the order has no file"));
    }

    #[test]
    fn files_of_a_circle_are_named_on_the_shortest_way() {
        let a = ("key/a.rs", "use crate::key::b::B;");
        let b = ("key/b.rs", "pub struct B;");
        nothing(&[a, b]);
        let words = "files, key/a.rs → key/b.rs → key/a.rs";
        one(&[a, ("key/b.rs", "\npub struct B(super::a::A);")], "key/a.rs:1", words);
        // The way over `c` and `d` is longer.
        let detour = [("key/c.rs", "use crate::key::{a::A, d::D};"), ("key/d.rs", "use crate::key::b::B;")];
        one(&[a, ("key/b.rs", "use crate::key::{a::A, c::C};"), detour[0], detour[1]], "key/a.rs:1", words);
        // A parent and its child: by `pub use`, by a bare path, and by `super`.
        for parent in ["mod a;\npub use a::A;\npub struct P;", "mod a;\npub struct P(a::A);"] {
            one(
                &[("key.rs", parent), ("key/a.rs", "use super::P;")],
                "key.rs:2",
                "key.rs → key/a.rs → key.rs",
            );
        }
        // Declaring a module is no arrow, and neither is a path to one's own file.
        nothing(&[
            ("key.rs", "mod a;\npub struct P;"),
            ("key/a.rs", "use crate::key::{P, a::A};\nmod i { use super::A; }"),
        ]);
        // Two knots are two complaints.
        let two = said(&[
            a,
            ("key/b.rs", "use crate::key::a::A;"),
            ("memory.rs", "mod m; use m::M;"),
            ("memory/m.rs", "use super::N;"),
        ]);
        assert_eq!(two.len(), 2, "{two:#?}");
    }

    #[test]
    fn names_are_taken_from_the_file_that_defines_them() {
        let defines = ("key/tags.rs", "pub struct Tag;\npub fn check() {}");
        let passes = ("key.rs", "pub mod tags;\npub use tags::Tag;\nuse tags::check;");
        nothing(&[defines, passes, ("record/content.rs", "use crate::key::tags::Tag;\nuse crate::key;\n")]);
        let words = "names `Tag` by key.rs, which only passes it on: name key/tags.rs";
        one(&[defines, passes, ("record/content.rs", "use crate::key::Tag;")], "content.rs:1", words);
        let root = (
            "lib.rs",
            "pub use key::tags::Tag;\nmod key;\npub mod parts { pub mod key { pub use crate::key::*; } }",
        );
        let words = "by lib.rs, which only passes it on: name key/tags.rs";
        one(&[defines, root, ("record/content.rs", "use crate::Tag;")], "content.rs:1", words);
        // Also what a child reads of its parent's imports.
        let said = said(&[defines, passes, ("key/url.rs", "fn f() { super::check() }")]);
        assert!(said.len() == 1 && said[0].contains("names `check` by key.rs"), "{said:#?}");
        // Another crate's front is there to be named.
        nothing(&[
            defines,
            passes,
            root,
            ("functions/serve/src/lib.rs", "use perennial_core::{Tag, key::tags::check};"),
        ]);
        let said = find(&Tree {
            files: vec![
                library(root.0, root.1),
                library("key.rs", ""),
                library(defines.0, defines.1),
                File::new(
                    "functions/serve/src/lib.rs",
                    "use perennial_core::key::tags::check; use perennial_core::Tag;",
                ),
            ],
        });
        assert!(said.summary.starts_with("3 arrows between 4 files, 0 circles"), "{}", said.summary);
    }

    #[test]
    fn methods_are_where_their_type_is() {
        let engine = ("engine.rs", "pub struct Engine<S>(S);\nimpl<S: Stores> Engine<S> {}");
        nothing(&[engine, ("engine/start.rs", "use super::Engine;\nimpl<S> Engine<S> { fn f() {} }")]);
        nothing(&[
            engine,
            (
                "run/a.rs",
                "use crate::engine::Engine;\nimpl<S: for<'a> F<'a>> Show for Engine<S> {}\nstruct Own;\nimpl Own {}",
            ),
        ]);
        nothing(&[engine, ("run/a.rs", "use crate::engine::Engine;\nfn f() -> impl Fn(Engine<u8>) {}")]);
        for code in [
            "use crate::engine::Engine;\nimpl<S: Stores<Jobs = Own>> Engine<S> where S: for<'a> F<'a> { fn f(&self) {} }",
            "use crate::engine::{Engine as E};\nimpl E<u8> {}",
            "\nimpl crate::engine::Engine<u8> {}",
        ] {
            one(&[engine, ("run/a.rs", code)], "run/a.rs:2", "which engine.rs defines");
        }
        one(
            &[
                ("functions/serve/src/lib.rs", "pub struct S;"),
                ("functions/serve/src/a.rs", "impl super::S {}"),
            ],
            "src/a.rs:1",
            "methods of `super::S`",
        );
    }

    #[test]
    fn ports_speak_their_own_words() {
        let site = ("site.rs", "pub struct Site;");
        let pages = ("ports/pages.rs", "pub trait Pages {}");
        nothing(&[pages, ("ports/suite/pages.rs", "use crate::ports::pages::Pages;")]);
        nothing(&[pages, site, ("stores/aws/pages.rs", "use crate::ports::pages::Pages;")]);
        nothing(&[pages, site, ("stores/aws/stores.rs", "use crate::site::Site;")]);
        one(
            &[pages, site, ("stores/aws/pages.rs", "use crate::site::Site;")],
            "pages.rs:1",
            "a port speaks of keys",
        );
        one(
            &[("webhooks.rs", ""), ("ports/pages.rs", "use crate::webhooks::Rule;")],
            "pages.rs:1",
            "a port speaks of keys",
        );
        one(
            &[pages, ("site/route.rs", "use crate::ports::pages::Pages;")],
            "route.rs:1",
            "routes are resolved without",
        );
    }

    #[test]
    fn backends_are_named_where_they_are_chosen() {
        let store = ("stores/embedded/pages.rs", "pub struct SqlitePages;");
        let named = "perennial_core::stores::embedded::pages::SqlitePages";
        let fronts = ("lib.rs", "pub mod stores;");
        let names = format!("use {named};");
        nothing(&[store, fronts, ("functions/standalone/src/start.rs", &names)]);
        one(
            &[store, fronts, ("functions/serve/src/lib.rs", &names)],
            "serve/src/lib.rs:1",
            "names the backend",
        );
        let names = "use crate::stores::embedded::pages::SqlitePages;";
        nothing(&[store, ("run/function.rs", names), ("cdn/fastly.rs", names)]);
        one(&[store, ("run/metrics.rs", names)], "metrics.rs:1", "names the backend");
        let settings = ("stores/aws/settings.rs", "pub struct Aws;");
        nothing(&[settings, ("run/settings.rs", "use crate::stores::aws::settings::Aws;")]);
        one(&[store, ("run/settings.rs", names)], "settings.rs:1", "names the backend");
        assert_eq!(crates(&library("engine.rs", "use rusqlite::Connection;")).len(), 1);
        assert!(crates(&library("stores/embedded/queue.rs", "use rusqlite::Connection;")).is_empty());
    }

    #[test]
    fn each_other_rule_can_be_broken() {
        assert_eq!(one_writer(&library("engine.rs", "pages.commit(&key, &record)")).len(), 1);
        assert!(one_writer(&library("engine.rs", "tx.commit()")).is_empty());
        assert!(one_writer(&library("render/refresh.rs", "pages.commit(&key, &record)")).is_empty());
        assert_eq!(one_writer(&library("engine.rs", "stores.pages().publish(&records, &listed)")).len(), 1);
        assert_eq!(one_writer(&library("render/quota.rs", "pages.commit(&key, &record)")).len(), 1);
        assert_eq!(one_writer(&library("engine.rs", "self.pages()\n    .publish(&records)")).len(), 1);
        assert!(one_writer(&library("engine.rs", "self.publishers.publish(request)")).is_empty());
        assert!(one_writer(&library("build.rs", "stores.pages().publish(&records, &listed)")).is_empty());
        assert_eq!(says_pure(&library("judge.rs", "//! Judges. Pure.\nasync fn f() {}")).len(), 1);
        assert!(says_pure(&library("judge.rs", "//! Judges. Pure.\nfn f() {} // async")).is_empty());
        assert!(says_pure(&library("engine.rs", "//! Looks.\nasync fn f() {}")).is_empty());
        assert_eq!(process(&library("engine.rs", "let t = Instant::now();")).len(), 1);
        assert_eq!(process(&library("base/clock.rs", "let t = Instant::now();")).len(), 0);
        let manifest = |text: &str| File::new("functions/serve/Cargo.toml", text);
        assert_eq!(
            functions_alone(&manifest("[dependencies]\nperennial-revalidate.workspace = true\n")).len(),
            1
        );
        assert!(
            functions_alone(&manifest(
                "name = \"perennial-serve\"\n[dependencies]\nserve = 1\nperennial-core = 1\n"
            ))
            .is_empty()
        );
    }
}
