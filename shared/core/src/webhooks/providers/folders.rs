//! The publishers' folders: complete, with rules that fit the documented deliveries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use http::HeaderName;
use serde_json::Value;

use super::*;
use crate::key::pattern::Pattern;
use crate::run::settings::Settings;
use crate::webhooks::payload::Payload;
use crate::webhooks::posted::Posted;
use crate::webhooks::rules::Rules;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/webhooks/providers");

/// Routes of the conformance site, on which `rules.json` is tried.
const CONFORMANCE_ROUTES: [&str; 2] = ["/blog/{slug}", "/catch/{*path}"];

/// Routes of the guide's examples.
const GUIDE_ROUTES: [&str; 4] = ["/blog/{slug}", "/guides/{slug}", "/products/{handle}", "/{*path}"];

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().replace('_', "-")
}

/// The provider of a folder: [`other::PROVIDER`] for a publisher that no header field tells.
fn provider(folder: &Path) -> &'static Provider {
    by_name(&name(folder)).unwrap_or(&other::PROVIDER)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rules(rules: &Value, routes: &[&str]) -> Result<Rules, Vec<String>> {
    let patterns: Vec<_> = routes.iter().map(|route| Pattern::parse(route).unwrap()).collect();
    Rules::parse(&rules.to_string(), &patterns.iter().collect::<Vec<_>>())
}

#[test]
fn every_provider_has_a_file_and_a_complete_folder() {
    for provider in all().filter(|provider| *provider != &other::PROVIDER) {
        assert!(folders().iter().any(|folder| name(folder) == provider.name), "{provider:?} has no folder");
    }
    for folder in folders() {
        let has_file = folder.with_extension("rs").exists();
        let provider = by_name(&name(&folder));
        assert_eq!(has_file, provider.is_some(), "{} has no row in the table", folder.display());
        let signs = provider.is_some_and(Provider::signs);
        let always = ["payload.json", "rules.json", "guide.md"].map(|file| (file, true));
        for (file, is_needed) in always.into_iter().chain([("signed.json", signs), ("key.md", signs)]) {
            assert_eq!(folder.join(file).exists(), is_needed, "{}/{file}", folder.display());
        }
    }
}

#[test]
fn names_and_header_fields_are_of_one_provider() {
    for (at, provider) in PROVIDERS.iter().enumerate() {
        for other in &PROVIDERS[at + 1..] {
            assert_ne!(provider.name, other.name);
            let spelt = |provider: &Provider| provider.header.map(str::to_ascii_lowercase);
            assert_ne!(spelt(provider), spelt(other), "{provider:?} and {other:?}");
        }
        for scheme in provider.schemes {
            assert_eq!(scheme.header, scheme.header.to_ascii_lowercase());
        }
    }
}

/// By its folder's rules, a documented delivery renews the pages and tags that the folder says, and no others.
#[test]
fn rules_name_the_pages_of_the_documented_deliveries() {
    let limits = Settings::default().limits;
    for folder in folders() {
        let rules = rules(&json(&folder.join("rules.json")), &CONFORMANCE_ROUTES).unwrap();
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let is_payload = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("payload") && name.ends_with(".json")
        };
        for path in files.filter(is_payload) {
            let file = json(&path);
            let field = |(name, value): (&String, &Value)| {
                (name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap())
            };
            let headers: HeaderMap = file["headers"].as_object().unwrap().iter().map(field).collect();
            let body = match &file["body"] {
                Value::String(text) => Posted::read(&headers, text.as_bytes()).unwrap().into_value(),
                body => body.clone(),
            };
            let provider = provider(&folder);
            let signed_fields = provider.signs().then_some(&[][..]);
            let payload = Payload { provider, headers: &headers, signed_fields, body: &body };
            let outcomes = rules.apply(&payload, &limits);
            let changes: Vec<_> =
                outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()).collect();
            let texts = |name: &str| file[name].as_array().cloned().unwrap_or_default();
            let (tagged, pages): (Vec<_>, Vec<_>) =
                texts("renews").into_iter().partition(|page| page.as_str().unwrap().starts_with("/tagged"));
            let named: BTreeSet<_> = changes.iter().flat_map(|c| &c.paths).map(String::as_str).collect();
            let pages: BTreeSet<_> = pages.iter().filter_map(Value::as_str).collect();
            assert_eq!(named, pages, "{}", path.display());
            let carried = texts("carries");
            assert_eq!(carried.is_empty(), tagged.is_empty(), "{}", path.display());
            for tag in carried.iter().filter_map(Value::as_str) {
                assert!(changes.iter().any(|c| c.tags.iter().any(|t| t == tag)), "{}: {tag}", path.display());
            }
        }
    }
}

/// A folder's section of the guide shows rules, and rules of no other provider.
#[test]
fn the_guides_sections_show_rules() {
    for folder in folders() {
        let guide = read(&folder.join("guide.md"));
        assert!(guide.starts_with("## ") && guide.ends_with('\n') && !guide.ends_with("\n\n"));
        let blocks = guide.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let blocks: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
        assert!(!blocks.is_empty(), "{} shows no rule", folder.display());
        for block in blocks {
            let shown =
                if block["rules"].is_array() { block } else { serde_json::json!({ "rules": [block] }) };
            rules(&shown, &GUIDE_ROUTES).unwrap_or_else(|e| panic!("{}: {e:?}", folder.display()));
            for rule in shown["rules"].as_array().unwrap() {
                let wanted = &rule["when"]["provider"];
                assert!(wanted.is_null() || wanted == provider(&folder).name, "{}", folder.display());
            }
        }
    }
}
