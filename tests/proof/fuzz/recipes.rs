//! Rules for publishers, of their folders and of the guide, with every field of every documented delivery missing or of
//! another type: each rule names all pages that do not need that field and no others, and tells what it leaves out.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};
use perennial::parts::record::publish_request::Mode;
use perennial::parts::testing::Text;
use perennial::parts::webhooks::providers;
use perennial::parts::webhooks::providers::other;
use perennial::{ReadySite, Route, Site};
use perennial_revalidate::delivery::{Authenticated, Delivery};
use perennial_revalidate::payload_plans::{PayloadPlans, payload_plans};
use perennial_revalidate::plan::Overrides;
use serde_json::{Value, json};
use tests::publishers;

use crate::world::LIMITS;

const GUIDE: &str = include_str!("../../../shared/site/content/guides/webhooks.md");

/// What values that stand in for others can be seen by, in paths and tags.
const STAND_INS: [&str; 4] = ["zz-other", "424242", "null", "true"];

/// How, and a path or a tag.
type Named = BTreeSet<(&'static str, String)>;

/// A documented delivery, as its publisher sends it.
struct Recipe {
    name: String,
    delivery: Delivery,
    headers: HeaderMap,
    body: Value,
}

/// One path or tag of one rule, alone, and what its rule and itself read.
struct Atom {
    name: String,
    site: ReadySite,
    reads: Vec<String>,
    /// What decides whether the rule counts.
    decides: Vec<String>,
    is_optional: bool,
}

fn recipes() -> Vec<Recipe> {
    let read = publishers::deliveries().into_iter().map(|documented| {
        let name = documented.folder.replace('_', "-");
        let provider = providers::by_name(&name).unwrap_or(&other::PROVIDER);
        let authenticated =
            if provider.signs() { Authenticated::Body(Vec::new()) } else { Authenticated::Request };
        let delivery = Delivery { provider, authenticated, ..Delivery::with_secret(&HeaderMap::new(), "") };
        let fields = documented.headers.iter();
        let headers = fields.map(|(name, value)| {
            (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
        });
        Recipe { name: documented.name, delivery, headers: headers.collect(), body: documented.body }
    });
    // A form that is no JSON has no fields.
    read.filter(|recipe| recipe.body.is_object()).collect()
}

fn site(rules: &[Value]) -> ReadySite {
    let routes = ["/", "/blog/{slug}", "/guides/{slug}", "/products/{handle}", "/catch/{*path}", "/{*path}"];
    let site = routes.iter().fold(Site::new(), |site, route| site.route(Route::new(*route, Text)));
    site.webhooks(json!({ "rules": rules }).to_string()).ready(None, None).expect("rules")
}

/// What the guide shows as rules.
fn rules_of_the_guide() -> Vec<Value> {
    let blocks = GUIDE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks = blocks.map(|block| serde_json::from_str::<Value>(block).expect("JSON"));
    blocks.flat_map(|block| block["rules"].as_array().cloned().unwrap_or_else(|| vec![block])).collect()
}

fn apply<'a>(site: &'a ReadySite, recipe: &Recipe, body: &Value) -> PayloadPlans<'a> {
    payload_plans(site, &LIMITS, &recipe.delivery, &recipe.headers, body, Overrides::default())
        .expect("no error")
}

fn named(made: &PayloadPlans<'_>) -> Named {
    let of = |mode: Mode| match mode {
        Mode::Delete => "delete",
        Mode::Now => "now",
        Mode::Stale => "stale",
    };
    let plans = made.plans.iter();
    plans
        .flat_map(|plan| plan.paths.iter().chain(&plan.tags).map(move |name| (of(plan.mode), name.clone())))
        .collect()
}

/// The fields that a template reads.
fn fields(template: &str) -> Vec<&str> {
    let fields = template.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    fields
        .map(|field| field.split('|').next().unwrap_or(field).trim_start_matches('*').trim_end_matches('?'))
        .collect()
}

fn atoms(rules: &[Value]) -> Vec<Atom> {
    let mut atoms = Vec::new();
    for rule in rules {
        let each = rule["each"].as_str();
        // Where a pointer of the rule leads to in the whole payload.
        let place = |pointer: &str| match (pointer.strip_prefix('$'), each) {
            (Some(whole), _) => whole.to_owned(),
            (None, Some(each)) => format!("{each}/*{pointer}"),
            (None, None) => pointer.to_owned(),
        };
        let when = rule["when"].as_object().into_iter().flatten().map(|(what, _)| what);
        let when = when.filter(|what| what.starts_with(['/', '$'])).map(|what| place(what));
        let decides: Vec<_> = when.chain(each.map(str::to_owned)).collect();
        for kind in ["paths", "tags"] {
            for template in rule[kind].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let mut alone = rule.clone();
                for kind in ["paths", "tags"] {
                    alone.as_object_mut().expect("a rule").remove(kind);
                }
                alone[kind] = json!([template]);
                atoms.push(Atom {
                    name: format!("{}: {template}", rule["name"]),
                    site: site(&[alone]),
                    reads: fields(template).into_iter().map(place).collect(),
                    decides: decides.clone(),
                    is_optional: template.contains("?}") || template.contains('|'),
                });
            }
        }
    }
    atoms
}

/// Every field of a value, at any depth, with the pointer to it.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(all) => all.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(all) => all.iter().enumerate().map(|(i, child)| (i.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        pointers(child, &place, found);
        found.push(place);
    }
}

/// A payload without a field, or with something else in its place.
fn changes(body: &Value, pointer: &str) -> Vec<(String, Value)> {
    let others = [
        Value::Null,
        json!("null"),
        json!(424_242),
        json!(true),
        json!({}),
        json!([]),
        json!([null]),
        json!(["zz-other"]),
        json!({ "zz": "zz-other" }),
    ];
    let with = |other: Value| {
        let mut changed = body.clone();
        let what = format!("{pointer} = {other}");
        *changed.pointer_mut(pointer).expect("a field") = other;
        (what, changed)
    };
    let mut changed = body.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a field");
    match changed.pointer_mut(parent).expect("a parent") {
        Value::Object(all) => drop(all.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(all) => drop(all.remove(name.parse().expect("a place"))),
        _ => unreachable!("a parent has fields"),
    }
    others.into_iter().map(with).chain([(format!("no {pointer}"), changed)]).collect()
}

/// Whether one of two pointers leads through the other; `*` in the first is any name.
fn meets(read: &str, changed: &str) -> bool {
    let same = |(a, b): (&str, &str)| a == "*" || a == b;
    read.split('/').zip(changed.split('/')).all(same)
}

fn stands_in(name: &str) -> bool {
    STAND_INS.iter().any(|part| name.contains(part))
}

/// How much was tried: changes of payloads that a recipe is for, and those that took something away.
#[derive(Default)]
struct Tried {
    changes: usize,
    losses: usize,
}

fn try_all(rules: &[Value]) -> Tried {
    let (all, atoms) = (site(rules), atoms(rules));
    let mut tried = Tried::default();
    for recipe in recipes() {
        let before = named(&apply(&all, &recipe, &recipe.body));
        let atoms = atoms.iter().map(|atom| (atom, named(&apply(&atom.site, &recipe, &recipe.body))));
        let atoms: Vec<_> = atoms.filter(|(_, named)| !named.is_empty()).collect();
        let mut places = Vec::new();
        pointers(&recipe.body, "", &mut places);
        for place in &places {
            for (what, body) in changes(&recipe.body, place) {
                let what = format!("{}: {what}", recipe.name);
                let whole = apply(&all, &recipe, &body);
                let now = named(&whole);
                tried.changes += usize::from(!before.is_empty());
                let foreign = now.difference(&before).find(|(_, name)| !stands_in(name));
                assert_eq!(foreign, None, "{what} names what the payload does not");
                let mut together = Named::new();
                for (atom, before) in &atoms {
                    let own = named(&apply(&atom.site, &recipe, &body));
                    let meets = |fields: &[String]| fields.iter().any(|read| meets(read, place));
                    if !meets(&atom.reads) && !meets(&atom.decides) {
                        assert_eq!(&own, before, "{what} changes {}, which does not read it", atom.name);
                    }
                    // Of several elements of a list, some may be no texts.
                    let is_less = own.is_empty();
                    tried.losses += usize::from(is_less);
                    // What has no elements names nothing, and says so itself.
                    let is_empty =
                        body.pointer(place).is_some_and(|value| [json!([]), json!({})].contains(value));
                    if is_less && !atom.is_optional && !is_empty && !meets(&atom.decides) {
                        assert!(!whole.left_out.is_empty(), "{what} takes {} away unsaid", atom.name);
                    }
                    together.extend(own);
                }
                let known = |name: &&(&str, String)| !stands_in(&name.1);
                let (now, together) = (now.iter().filter(known), together.iter().filter(known));
                assert!(now.eq(together), "{what}: all rules do what each of them does alone");
            }
        }
    }
    tried
}

#[test]
fn a_recipe_does_without_any_field_what_does_not_need_it() {
    let tried = try_all(&publishers::rules());
    assert!(tried.changes > 3000 && tried.losses > 300, "{} {}", tried.changes, tried.losses);
}

#[test]
fn a_recipe_of_the_guide_does_so_too() {
    let tried = try_all(&rules_of_the_guide());
    assert!(tried.changes > 3000 && tried.losses > 300, "{} {}", tried.changes, tried.losses);
}
