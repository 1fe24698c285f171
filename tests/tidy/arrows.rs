//! Who may name whom. The arrows are drawn in one direction only, so that a part can be read without the rest.

use crate::source::{File, Tree, places};

const LIBRARY: &str = "shared/perennial/src/";
const FUNCTIONS: [&str; 3] = ["serve", "regenerate", "revalidate"];
const PORTS: [&str; 5] = ["pages", "bodies", "jobs", "edge", "publishes"];
/// Decide without looking at the world.
const PURE: [&str; 7] = ["key", "pattern", "record", "freshness", "route", "tags", "url"];
/// What ports may name beside themselves: the words they speak in.
const PORT_WORDS: [&str; 10] =
    ["key", "record", "freshness", "route", "page", "clock", "store", "tags", "url", "wish"];
/// Programs that an adapter is for; they are named where it is implemented and where it is chosen.
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

pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let manifests = tree.files.iter().filter(|f| f.path.ends_with("/Cargo.toml"));
    let mut complaints: Vec<String> = manifests.flat_map(functions_alone).collect();
    for file in tree.rust() {
        complaints
            .extend([pure(file), ports(file), adapters(file), one_writer(file), process(file)].concat());
    }
    complaints
}

/// The module a file of the library belongs to: `pages` for `pages.rs` and `pages/sqlite.rs`.
fn module(file: &File) -> Option<&str> {
    let inside = file.path.strip_prefix(LIBRARY)?;
    inside.split('/').next().map(|name| name.trim_end_matches(".rs"))
}

fn is_main(file: &File) -> bool {
    file.path.starts_with("functions/standalone/")
        || (file.path.starts_with("functions/") && file.path.ends_with("/main.rs"))
}

fn functions_alone(manifest: &File) -> Vec<String> {
    let Some(own) = manifest.path.strip_prefix("functions/").and_then(|p| p.split('/').next()) else {
        return vec![];
    };
    if own == "standalone" {
        return vec![];
    }
    let names_another = |line: &str| {
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        name != own && (FUNCTIONS.contains(&name) || name == "standalone")
    };
    let dependencies = manifest.text.split_inclusive('\n').scan(0, |at, line| {
        *at += line.len();
        Some((*at - line.len(), line))
    });
    dependencies
        .filter(|(_, line)| names_another(line))
        .map(|(at, _)| {
            manifest.complain(at, "a function never depends on another: move what they share to `perennial`")
        })
        .collect()
}

fn pure(file: &File) -> Vec<String> {
    let Some(own) = module(file).filter(|m| PURE.contains(m)) else { return vec![] };
    let advice = format!(
        "`{own}` decides without looking at the world: a port cannot be named here, pass the value in"
    );
    used_modules(file)
        .filter(|(_, used)| PORTS.contains(used))
        .map(|(at, _)| file.complain(at, &advice))
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

fn ports(file: &File) -> Vec<String> {
    let suite = file.path.ends_with("/suite.rs") || file.path.contains("/suite/");
    let Some(own) = module(file).filter(|m| PORTS.contains(m) && !suite) else { return vec![] };
    let may = |used: &str| used == own || PORT_WORDS.contains(&used) || ADAPTER_PARTS.contains(&used);
    used_modules(file)
        .filter(|(_, used)| !may(used))
        .map(|(at, used)| {
            let what = format!(
                "port `{own}` names `{used}`: a port speaks of keys, records and time, not of who uses it"
            );
            file.complain(at, &what)
        })
        .collect()
}

/// Modules that implementations of several ports share.
const ADAPTER_PARTS: [&str; 2] = ["aws", "sqlite"];
/// Paths that name an implementation of this crate.
const IMPLEMENTATIONS: [&str; 4] =
    ["sqlite", "embedded", "crate::aws", "perennial::parts::stores::aws::account"];

fn adapters(file: &File) -> Vec<String> {
    let implements =
        module(file).is_some_and(|m| PORTS.contains(&m) || ADAPTER_PARTS.contains(&m) || m == "embedded");
    let chooses = is_main(file) || module(file) == Some("function");
    if implements || chooses || file.path.starts_with("tests/") {
        return vec![];
    }
    let named = ADAPTERS.iter().chain(&IMPLEMENTATIONS).flat_map(|name| places(file.product_code(), name));
    named
        .filter(|&at| !declares_module(file, at))
        .map(|at| {
            file.complain(
                at,
                "names an adapter: only `function` and `standalone` choose one, use the port's trait",
            )
        })
        .collect()
}

fn declares_module(file: &File, at: usize) -> bool {
    let start = file.code[..at].rfind('\n').map_or(0, |n| n + 1);
    let before = file.code[start..at].trim();
    before.ends_with("mod") || before.starts_with("#[cfg(feature")
}

/// Commits of pages, which have arguments; those of a database transaction have none.
fn one_writer(file: &File) -> Vec<String> {
    let may = module(file).is_some_and(|m| m == "refresh" || PORTS.contains(&m));
    if may || file.path.starts_with("tests/") {
        return vec![];
    }
    let code = file.product_code();
    let commits = places(code, ".commit(").filter(|at| !code[at + ".commit(".len()..].starts_with(')'));
    let publishes = places(code, ".publish(").filter(|_| module(file) != Some("build"));
    commits
        .chain(publishes)
        .map(|at| {
            file.complain(at, "commits a page: `refresh` alone does (and `build`, all at once), call it")
        })
        .collect()
}

fn process(file: &File) -> Vec<String> {
    let library = module(file).is_some_and(|m| !["clock", "settings", "telemetry"].contains(&m));
    let function = file.path.starts_with("functions/") && !is_main(file);
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

/// Modules of its own crate that a file names: `a` and `b` of `crate::{a, b::C}`.
fn used_modules(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let code = file.product_code();
    places(code, "crate::").flat_map(move |at| {
        let rest = &code[at + "crate::".len()..];
        let group = rest.strip_prefix('{').map(first_names);
        group.unwrap_or_else(|| vec![first_name(rest)]).into_iter().map(move |name| (at, name))
    })
}

fn first_name(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// First names of the items of a group, nested groups skipped.
fn first_names(group: &str) -> Vec<&str> {
    let (mut names, mut depth, mut start) = (vec![], 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(first_name(&group[start..]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(first_name(&group[start..]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn each_arrow_can_be_broken() {
    let library = |name: &str, text: &str| File::new(format!("{LIBRARY}{name}"), text);
    assert_eq!(pure(&library("freshness.rs", "use crate::{clock::Millis, pages::{Pages, Slot}};")).len(), 1);
    assert!(pure(&library("freshness.rs", "use crate::record::Record; // crate::pages")).is_empty());
    assert_eq!(ports(&library("pages/sqlite.rs", "use crate::refresh::Refresh;")).len(), 1);
    assert!(
        ports(&library("pages/sqlite.rs", "use crate::pages::Pages;\nuse crate::key::PageKey;")).is_empty()
    );
    assert_eq!(
        adapters(&File::new("functions/serve/src/lib.rs", "use perennial::parts::stores::embedded;")).len(),
        1
    );
    assert!(
        adapters(&File::new("functions/serve/src/main.rs", "use perennial::parts::stores::embedded;"))
            .is_empty()
    );
    assert!(adapters(&library("function.rs", "use crate::embedded;")).is_empty());
    assert!(adapters(&library("lib.rs", "#[cfg(feature = \"embedded\")]\npub mod embedded;")).is_empty());
    assert_eq!(adapters(&library("engine.rs", "use crate::aws::errors;")).len(), 1);
    assert!(adapters(&library("jobs/sqs.rs", "use crate::aws::errors; use aws_sigv4::sign;")).is_empty());
    assert!(ports(&library("jobs/sqs.rs", "use crate::aws::errors;")).is_empty());
    assert_eq!(one_writer(&library("engine.rs", "pages.commit(&key, &record)")).len(), 1);
    assert!(one_writer(&library("engine.rs", "tx.commit()")).is_empty());
    assert_eq!(one_writer(&library("engine.rs", "pages.publish(&records, &listed)")).len(), 1);
    assert!(one_writer(&library("build.rs", "pages.publish(&records, &listed)")).is_empty());
    assert_eq!(says_pure(&library("judge.rs", "//! Judges. Pure.\nasync fn f() {}")).len(), 1);
    assert!(says_pure(&library("judge.rs", "//! Judges. Pure.\nfn f() {} // async")).is_empty());
    assert!(says_pure(&library("engine.rs", "//! Looks.\nasync fn f() {}")).is_empty());
    assert_eq!(process(&library("engine.rs", "let t = Instant::now();")).len(), 1);
    assert_eq!(process(&library("clock.rs", "let t = Instant::now();")).len(), 0);
    let manifest = |text: &str| File::new("functions/serve/Cargo.toml", text);
    assert_eq!(functions_alone(&manifest("[dependencies]\nrevalidate.workspace = true\n")).len(), 1);
    assert!(
        functions_alone(&manifest("name = \"serve\"\n[dependencies]\nserve = 1\nperennial = 1\n")).is_empty()
    );
}
