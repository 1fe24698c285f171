//! Deliveries as their publishers document them, and the rules for them: from the folders of the library.
//!
//! A folder of [`FOLDER`] is one publisher's. Each of its `payload*.json` has these members:
//!
//! | member | holds |
//! |---|---|
//! | `source` | where the publisher documents it, and what was changed |
//! | `headers`, `body` | the delivery, but for its signature; a body that is no JSON is a text |
//! | `renews` | the pages of the conformance site that change with it, by the rules in `rules.json` |
//! | `carries` | the tags of the renewed pages below `/tagged` |
//! | `again` | `duplicate` if the same delivery does nothing when it comes again |

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The publishers' folders.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/core/src/webhooks/providers");

/// A documented delivery.
#[derive(Clone, Debug)]
pub struct Documented {
    /// The folder: `ghost`.
    pub folder: String,
    /// The folder and the kind: `ghost_deleted`; the folder alone for the first one.
    pub name: String,
    /// Header fields, without a signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
    /// The pages that change with it.
    pub renews: Vec<String>,
    /// Tags of the pages below `/tagged`.
    pub carries: Vec<String>,
    /// Whether it does nothing when it comes again.
    pub is_known_again: bool,
}

/// All documented deliveries, by name.
pub fn deliveries() -> Vec<Documented> {
    let mut all: Vec<_> = folders().iter().flat_map(|folder| of_folder(folder)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The documented delivery of that name.
pub fn delivery(name: &str) -> Documented {
    let found = deliveries().into_iter().find(|delivery| delivery.name == name);
    found.unwrap_or_else(|| panic!("no publisher documents `{name}`"))
}

/// The rules of all folders.
pub fn rules() -> Vec<Value> {
    let rules = |folder: &PathBuf| match read(&folder.join("rules.json"))["rules"].take() {
        Value::Array(rules) => rules,
        other => panic!("{}: rules.json has {other}", folder.display()),
    };
    folders().iter().flat_map(rules).collect()
}

/// A file with the rules of all folders, for `PERENNIAL_WEBHOOKS`. `folder` is the caller's `CARGO_TARGET_TMPDIR`.
pub fn rules_file(folder: &str) -> String {
    let path = format!("{folder}/webhooks.json");
    // Several tests may write at once: each writes the same text.
    let unfinished = format!("{path}-{}-{:?}", std::process::id(), std::thread::current().id());
    std::fs::write(&unfinished, json!({ "rules": rules() }).to_string()).expect("a file is written");
    std::fs::rename(&unfinished, &path).expect("a file is renamed");
    path
}

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn of_folder(folder: &Path) -> Vec<Documented> {
    let own = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let stems = files.filter_map(|file| Some(file.file_name()?.to_str()?.strip_suffix(".json")?.to_owned()));
    let kinds = stems.filter_map(|stem| Some(stem.strip_prefix("payload")?.to_owned()));
    kinds.map(|kind| documented(folder, &own, &kind)).collect()
}

fn documented(folder: &Path, own: &str, kind: &str) -> Documented {
    let payload = read(&folder.join(format!("payload{kind}.json")));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let texts = |name: &str| payload[name].as_array().into_iter().flatten().map(text).collect();
    let headers = payload["headers"].as_object().expect("fields").iter();
    assert!(payload["source"].is_string(), "{own}{kind}: say where the publisher documents it");
    Documented {
        folder: own.to_owned(),
        name: format!("{own}{kind}"),
        headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
        body: payload["body"].clone(),
        renews: texts("renews"),
        carries: texts("carries"),
        is_known_again: payload["again"] == "duplicate",
    }
}

fn read(path: &Path) -> Value {
    let file = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&file).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
