//! Rules that make a publisher's own payload a call: which pages change with it. Pure.
//!
//! ```json
//! {"rules": [{
//!   "name": "a post",
//!   "when": {
//!     "provider": "contentful",
//!     "header x-contentful-topic": ["ContentManagement.Entry.publish", "ContentManagement.Entry.unpublish"],
//!     "/sys/contentType/sys/id": "post"
//!   },
//!   "paths": ["/blog/{/fields/slug/en-US}"],
//!   "tags": ["posts", "post:{/sys/id}"]
//! }]}
//! ```
//!
//! Every rule whose conditions hold counts; what they name adds up. A field that is missing takes away only what needs
//! it. With `each`, a pointer to a list, a rule judges every element of that list by itself: `when`, `paths` and `tags`
//! then point into the element, and `$/…` into the whole payload.
//!
//! `when` names a provider, fields of the request
//! (`header NAME`) and fields of the payload, by JSON pointer. Each is compared with a value, with several of which one
//! must be it, with `{"not": …}`, with `{"like": "a*b"}`, or with `{"exists": true}`. `paths`, `tags` (both with fields of the payload in them,
//! as `template` says), `routes` and `site` are what changes, and `mode` and `only_generated` how, as in a call.

pub mod exact;
mod pointer;
pub mod provider;
mod reference;
mod template;
mod when;

use crate::webhooks::provider::Provider;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::base::limits::Limits;
use crate::key::tags::check_tag;
use crate::key::tags::{SITE_TAG, route_tag, user_tag};
use crate::record::publish_request::Mode;
use crate::site::route::ReadyRoute;
use crate::webhooks::pointer::{Pointer, Scope};
use crate::webhooks::template::{Filled, REASONS_MAX, STEPS_MAX, Template};
use crate::webhooks::when::Condition;

/// Rules of one site.
const RULES_MAX: usize = 100;

/// Paths, tags and routes of one rule together.
const NAMES_MAX: usize = 100;

/// A site's rules.
#[derive(Debug, Default)]
pub struct Webhooks {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    /// The lists whose elements it judges one by one.
    each: Option<Pointer>,
    when: Vec<Condition>,
    paths: Vec<Template>,
    tags: Vec<Template>,
    routes: Vec<String>,
    site: bool,
    mode: Mode,
    only_generated: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: Option<String>,
    each: Option<String>,
    #[serde(default)]
    when: serde_json::Map<String, Value>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    site: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    only_generated: bool,
}

/// A payload, and what is known of who has sent it.
pub struct Payload<'a> {
    /// Whose it is.
    pub provider: Provider,
    /// Fields of the request.
    pub headers: &'a HeaderMap,
    /// The fields of the request that are the sender's own word; `None`: all of them. A rule that deletes goes by no others.
    pub vouched: Option<&'a [String]>,
    /// The body.
    pub body: &'a Value,
}

/// What a rule makes of a payload.
#[derive(Debug)]
pub struct Read<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// What changes, or why the rule does not count.
    pub result: Result<Changed, Unfit>,
    /// The elements of the lists that it goes through, each with its place as a JSON pointer, and why the rule does not
    /// count for it.
    pub elements: Vec<(String, Option<Unfit>)>,
}

/// What changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// How pages are revalidated.
    pub mode: Mode,
    /// Leave pages alone that nobody has generated.
    pub only_generated: bool,
    /// Canonical paths, without the base path.
    pub paths: Vec<String>,
    /// Tags, as pages give them.
    pub tags: Vec<String>,
    /// Routes, by their pattern.
    pub routes: Vec<String>,
    /// Everything.
    pub site: bool,
    /// What the payload names that is no path and no tag, or lacks, and why.
    pub left_out: Vec<String>,
    /// The payload names more than fits into a call; what is here is not all of it.
    pub too_many: bool,
    /// The list that the rule goes through, and by which of its elements each name was given last.
    pub last: Option<Last>,
}

/// Which element of a list has named something last: of two rules on one list, the later element has the last word.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Last {
    list: String,
    /// By path, or by tag as the store knows it.
    elements: HashMap<String, usize>,
}

/// Why a rule does not count. It shows without values, for logs; `found` is for whoever has the payload anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfit {
    /// What the rule asks for.
    pub reason: String,
    /// What is there instead.
    pub found: Option<String>,
    /// Where its conditions hold: what it would have named, and why it does not.
    pub left_out: Vec<String>,
}

impl Changed {
    /// Whether an element that comes later in the same list has given the same name by another rule. `name` is a path
    /// without the base path, or a tag as the store knows it.
    pub fn is_overtaken_by(&self, other: &Self, name: &str) -> bool {
        match (&self.last, &other.last) {
            (Some(own), Some(others)) if own.list == others.list => {
                others.elements.get(name) > own.elements.get(name)
            }
            _ => false,
        }
    }

    /// Adds what one element of a list names.
    fn take(&mut self, more: Self, list: &str, element: usize) {
        let last = self.last.get_or_insert_with(|| Last { list: list.to_owned(), ..Last::default() });
        let tags = more.tags.iter().map(|tag| user_tag(tag));
        let routes = more.routes.iter().map(|route| route_tag(route));
        let site = more.site.then(|| SITE_TAG.to_owned());
        for name in more.paths.iter().cloned().chain(tags).chain(routes).chain(site) {
            last.elements.insert(name, element);
        }
        add(&mut self.paths, more.paths);
        add(&mut self.tags, more.tags);
        add(&mut self.routes, more.routes);
        self.site |= more.site;
        self.too_many |= more.too_many;
        self.left_out.extend(more.left_out);
        self.left_out.truncate(REASONS_MAX);
    }

    fn is_something(&self) -> bool {
        let named = [&self.paths, &self.tags, &self.routes].iter().any(|names| !names.is_empty());
        named || self.site || self.too_many
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Unfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }
}

impl Webhooks {
    /// Reads rules, and compares them with the site's routes.
    ///
    /// # Errors
    /// Every mistake, where it is, and what to do.
    pub fn parse(text: &str, routes: &[Arc<ReadyRoute>]) -> Result<Self, Vec<String>> {
        let written: Written = serde_json::from_slice(&exact::readable(text.as_bytes()))
            .map_err(|e| vec![format!("the rules of webhooks cannot be read: {e}")])?;
        if written.rules.len() > RULES_MAX {
            return Err(vec![format!(
                "there are {} rules of webhooks, the limit is {RULES_MAX}",
                written.rules.len()
            )]);
        }
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for (i, rule) in written.rules.into_iter().enumerate() {
            let name = rule.name.clone().unwrap_or_else(|| format!("rule {}", i + 1));
            match Rule::new(name.clone(), rule, routes) {
                Ok(rule) => rules.push(rule),
                Err(mistakes) => errors.extend(
                    mistakes.into_iter().map(|m| format!("webhooks, rule {} (`{name}`): {m}", i + 1)),
                ),
            }
        }
        if errors.is_empty() { Ok(Self { rules }) } else { Err(errors) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What each rule makes of a payload.
    pub fn read(&self, payload: &Payload<'_>, limits: &Limits) -> Vec<Read<'_>> {
        self.rules.iter().map(|rule| rule.read(payload, limits)).collect()
    }
}

impl Rule {
    fn new(name: String, written: WrittenRule, routes: &[Arc<ReadyRoute>]) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut keep = |what: &str, text: &str, template: Result<Template, String>| match template {
            Ok(template) => Some(template),
            Err(error) => {
                errors.push(format!("{what} `{text}`: {error}"));
                None
            }
        };
        let paths: Vec<_> = written
            .paths
            .iter()
            .filter_map(|text| keep("path", text, Template::path(text).and_then(|t| fits_a_route(t, routes))))
            .collect();
        let tags: Vec<_> = written.tags.iter().filter_map(|t| keep("tag", t, Template::tag(t))).collect();
        let mut when = Vec::new();
        for (field, wanted) in &written.when {
            match Condition::parse(field, wanted) {
                Ok(condition) => when.push(condition),
                Err(error) => errors.push(format!("condition `{field}`: {error}")),
            }
        }
        let each = written.each.as_deref().map(Pointer::parse).transpose().unwrap_or_else(|error| {
            errors.push(format!("each: {error}"));
            None
        });
        // Whose it is comes first, in what is told as well.
        when.sort_by_key(Condition::rank);
        for route in &written.routes {
            if !routes.iter().any(|r| r.id() == route) {
                errors.push(format!("the site has no route `{route}`"));
            }
        }
        let names = written.paths.len() + written.tags.len() + written.routes.len();
        if names == 0 && !written.site {
            errors.push("it names nothing: give `paths`, `tags`, `routes` or `\"site\": true`".into());
        }
        if names > NAMES_MAX {
            errors.push(format!("it has {names} paths, tags and routes, the limit is {NAMES_MAX}"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let WrittenRule { routes, site, mode, only_generated, .. } = written;
        Ok(Self { name, each, when, paths, tags, routes, site, mode, only_generated })
    }

    fn read(&self, payload: &Payload<'_>, limits: &Limits) -> Read<'_> {
        let mut elements = Vec::new();
        let mut steps = STEPS_MAX;
        let scope = |element| Scope { whole: payload.body, element };
        let result = match &self.each {
            None => self
                .check(payload, scope(payload.body), |_| true)
                .and_then(|()| self.named(scope(payload.body), limits, &mut steps)),
            Some(list) => self
                .check(payload, scope(payload.body), |condition| !condition.is_of_element())
                .and_then(|()| self.of_each(list, payload, limits, &mut elements)),
        };
        Read { rule: &self.name, result, elements }
    }

    fn check(
        &self,
        payload: &Payload<'_>,
        scope: Scope<'_>,
        is_asked: impl Fn(&Condition) -> bool,
    ) -> Result<(), Unfit> {
        let deletes = self.mode == Mode::Delete;
        self.when.iter().filter(|c| is_asked(c)).try_for_each(|c| c.check(payload, scope, deletes))
    }

    /// Judges each element of a list by itself: one that is odd takes away nothing from the others.
    fn of_each(
        &self,
        list: &Pointer,
        payload: &Payload<'_>,
        limits: &Limits,
        elements: &mut Vec<(String, Option<Unfit>)>,
    ) -> Result<Changed, Unfit> {
        let Self { mode, only_generated, .. } = *self;
        let mut changed = Changed { mode, only_generated, ..Changed::default() };
        let mut steps = STEPS_MAX;
        for (i, (place, element)) in list.elements(payload.body).into_iter().enumerate() {
            let scope = Scope { whole: payload.body, element };
            let named = self
                .check(payload, scope, Condition::is_of_element)
                .and_then(|()| self.named(scope, limits, &mut steps));
            let unfit = match named {
                Ok(mut named) => {
                    put_before(&place, &mut named.left_out);
                    changed.take(named, list.as_str(), i);
                    None
                }
                Err(mut unfit) => {
                    put_before(&place, &mut unfit.left_out);
                    Some(unfit)
                }
            };
            elements.push((place, unfit));
            changed.too_many |= changed.paths.len() + changed.tags.len() > limits.max_revalidations;
            if changed.too_many {
                break;
            }
        }
        if changed.is_something() {
            return Ok(changed);
        }
        let reason = match elements.len() {
            0 => format!("the payload has no list with elements at `{}`", list.as_str()),
            _ => format!("it counts for no element of `{}`", list.as_str()),
        };
        Err(Unfit::new(reason))
    }

    /// What the rule names of a payload, or of one element of a list in it, for which its conditions hold.
    fn named(&self, scope: Scope<'_>, limits: &Limits, steps: &mut usize) -> Result<Changed, Unfit> {
        let Self { mode, only_generated, site, .. } = *self;
        let routes = self.routes.clone();
        let mut changed = Changed { mode, only_generated, site, routes, ..Changed::default() };
        let mut missing: Vec<String> = Vec::new();
        let most = limits.max_revalidations;
        let mut note = |filled: &mut Filled, changed: &mut Changed| {
            changed.too_many |= filled.too_many;
            changed.left_out.append(&mut filled.left_out);
            add(&mut missing, filled.missing.take());
        };
        for template in &self.paths {
            let mut filled = template.paths(scope, most, steps);
            note(&mut filled, &mut changed);
            add(&mut changed.paths, filled.texts);
        }
        for template in &self.tags {
            let mut filled = template.tags(scope, most, steps);
            note(&mut filled, &mut changed);
            let (good, bad): (Vec<_>, Vec<_>) = filled
                .texts
                .into_iter()
                .map(|tag| check_tag(&tag, limits).map(|()| tag))
                .partition(Result::is_ok);
            add(&mut changed.tags, good.into_iter().flatten());
            changed.left_out.extend(bad.into_iter().filter_map(Result::err));
        }
        let missing: Vec<_> =
            missing.iter().map(|pointer| format!("the payload has no text at `{pointer}`")).collect();
        if changed.is_something() {
            changed.left_out.splice(0..0, missing);
            return Ok(changed);
        }
        let found = (!changed.left_out.is_empty()).then(|| changed.left_out.join("; "));
        let reason = match &missing[..] {
            [] => "no field of the payload fits into its paths and tags".to_owned(),
            missing => missing.join("; "),
        };
        let mut left_out = missing;
        left_out.append(&mut changed.left_out);
        Err(Unfit { reason, found, left_out })
    }
}

/// Says of which element of a list reasons are.
fn put_before(place: &str, reasons: &mut [String]) {
    if !place.is_empty() {
        reasons.iter_mut().for_each(|why| *why = format!("{place}: {why}"));
    }
}

/// Each once.
fn add(all: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for text in more {
        if !all.contains(&text) {
            all.push(text);
        }
    }
}

/// A path that no page can have is a mistake; told when the site is made ready, and not by the first webhook.
fn fits_a_route(template: Template, routes: &[Arc<ReadyRoute>]) -> Result<Template, String> {
    let (segments, more) = template.segments();
    if routes.iter().any(|route| route.pattern.may_be(&segments, more)) {
        Ok(template)
    } else {
        Err("no route of the site has such pages".into())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;
    use crate::run::settings::Settings;
    use crate::site::route::Route;
    use crate::site::{ReadySite, Site};
    use crate::testing::Text;
    use crate::webhooks::exact::read_json;

    fn site(rules: &Value) -> Result<ReadySite, String> {
        let routes = ["/", "/blog/{slug}", "/docs/{*path}", "/tags/{tag}/all"];
        let site = routes.iter().fold(Site::new(), |site, route| site.route(Route::new(*route, Text)));
        site.webhooks(json!({ "rules": rules }).to_string()).ready(None, None).map_err(|e| e.to_string())
    }

    /// What the rule does with a payload of GitHub's that has the field `x-github-event`.
    fn read(rule: &Value, vouched: Option<&[String]>, body: &Value) -> Result<Changed, Unfit> {
        let site = site(&json!([rule])).unwrap();
        let event = (HeaderName::from_static("x-github-event"), HeaderValue::from_static("push"));
        let headers = HeaderMap::from_iter([event]);
        let payload = Payload { provider: Provider::GitHub, headers: &headers, vouched, body };
        site.webhooks().read(&payload, &Settings::default().limits).remove(0).result
    }

    #[test]
    fn what_a_rule_names_changes() {
        let rule = json!({
            "paths": ["/blog/{/slug}", "/blog/{/old?}", "/"],
            "tags": ["post:{/id}", "list"],
            "routes": ["/docs/{*path}"],
            "site": true,
            "mode": "stale",
            "only_generated": true,
        });
        let changed = read(&rule, None, &json!({"slug": "a b", "id": 7, "old": "a b"})).unwrap();
        let expected = Changed {
            mode: Mode::Stale,
            only_generated: true,
            paths: vec!["/blog/a%20b".into(), "/".into()],
            tags: vec!["post:7".into(), "list".into()],
            routes: vec!["/docs/{*path}".into()],
            site: true,
            ..Changed::default()
        };
        assert_eq!(changed, expected);
    }

    /// Strapi's payloads have `"entry":"null"`.
    #[test]
    fn a_field_that_is_missing_takes_away_only_what_needs_it() {
        let rule = json!({"paths": ["/blog/{/entry/slug}"], "tags": ["articles", "a:{/entry/id}"]});
        for body in [
            json!({"entry": "null"}),
            json!({"entry": null}),
            json!({}),
            json!({"entry": {"slug": {}}}),
            json!([]),
        ] {
            let changed = read(&rule, None, &body).unwrap();
            assert_eq!((changed.paths.len(), &changed.tags[..]), (0, &["articles".to_owned()][..]), "{body}");
            assert_eq!(
                changed.left_out,
                ["/entry/slug", "/entry/id"].map(|field| format!("the payload has no text at `{field}`"))
            );
        }
        let only = json!({"paths": ["/blog/{/entry/slug}", "/blog/{/old?}"]});
        let unfit = read(&only, None, &json!({"entry": "null"})).unwrap_err();
        assert_eq!(unfit.reason, "the payload has no text at `/entry/slug`");
        assert_eq!(unfit.left_out, std::slice::from_ref(&unfit.reason));
    }

    #[test]
    fn each_element_of_a_list_is_judged_by_itself() {
        let rule = |action: &str, mode: &str| {
            json!({
                "each": "/events", "mode": mode,
                "when": {"/type": "post", "/action": action, "$/site": "blog", "header x-github-event": "push"},
                "paths": ["/blog/{/slug}"], "tags": ["{$/site}:{/id}", "posts"],
            })
        };
        let body = json!({"site": "blog", "events": [
            {"type": "post", "action": "published", "slug": "kept", "id": 1},
            {"type": "post", "action": "unpublished", "slug": "gone", "id": 2},
            {"type": "author", "action": "published", "slug": "somebody", "id": 3},
            "odd", null, [],
            {"type": "post", "action": "published", "id": 4},
        ]});
        let now = read(&rule("published", "now"), None, &body).unwrap();
        assert_eq!(
            (&now.paths[..], &now.tags[..]),
            (
                &["/blog/kept".to_owned()][..],
                &["blog:1".to_owned(), "posts".to_owned(), "blog:4".to_owned()][..]
            )
        );
        assert_eq!(now.left_out, ["/events/6: the payload has no text at `/slug`"]);
        let delete = read(&rule("unpublished", "delete"), None, &body).unwrap();
        assert_eq!((delete.mode, &delete.paths[..]), (Mode::Delete, &["/blog/gone".to_owned()][..]));
        // The later element has the last word, in whichever rule.
        assert!(!now.is_overtaken_by(&now, "/blog/kept") && !now.is_overtaken_by(&delete, "/blog/kept"));
        assert!(delete.is_overtaken_by(&now, "tag:posts") && !now.is_overtaken_by(&delete, "tag:posts"));
        for (each, reason) in [
            ("/none", "the payload has no list with elements at `/none`"),
            ("/site", "the payload has no list with elements at `/site`"),
            ("/events/*/slug", "the payload has no list with elements at `/events/*/slug`"),
        ] {
            let rule = json!({"each": each, "site": true});
            assert_eq!(read(&rule, None, &body).unwrap_err().reason, reason);
        }
        let odd = json!({"each": "/events", "when": {"/type": "page"}, "site": true});
        assert_eq!(read(&odd, None, &body).unwrap_err().reason, "it counts for no element of `/events`");
        // What is of the whole payload is asked once, and first.
        let whole = json!({"each": "/events", "when": {"$/site": "shop"}, "site": true});
        assert_eq!(read(&whole, None, &body).unwrap_err().reason, "`$/site` must be \"shop\"");
    }

    /// A batch of CloudEvents is a list, one of slugs has texts, and one event may come without its list.
    #[test]
    fn a_payload_may_be_the_list() {
        let events = json!({"each": "", "when": {"/type": "post"}, "paths": ["/blog/{/slug}"]});
        let event = json!({"type": "post", "slug": "a"});
        for body in [json!([event, {"type": "x"}]), event] {
            assert_eq!(read(&events, None, &body).unwrap().paths, ["/blog/a"]);
        }
        let slugs = json!({"each": "/slugs", "when": {"": {"not": "b"}}, "paths": ["/blog/{}"]});
        assert_eq!(read(&slugs, None, &json!({"slugs": ["a", "b", null]})).unwrap().paths, ["/blog/a"]);
        let many = json!((0..200).map(|i| json!({"type": "post", "slug": i})).collect::<Vec<_>>());
        assert!(read(&events, None, &many).unwrap().too_many);
    }

    /// JSON has numbers of any size; a rule may name one.
    #[test]
    fn integers_are_compared_and_written_digit_for_digit() {
        let rules =
            r#"{"rules":[{"when":{"/id":18446744073709551616},"tags":["{/id}"],"paths":["/blog/{/id}"]}]}"#;
        let site =
            Site::new().route(Route::new("/blog/{slug}", Text)).webhooks(rules).ready(None, None).unwrap();
        let read = |body: &str| {
            let body = read_json(body.as_bytes()).unwrap();
            let payload = Payload {
                provider: Provider::Secret,
                headers: &HeaderMap::new(),
                vouched: None,
                body: &body,
            };
            site.webhooks().read(&payload, &Settings::default().limits).remove(0).result
        };
        let changed = read(r#"{"id": 18446744073709551616}"#).unwrap();
        assert_eq!(
            (&*changed.tags[0], &*changed.paths[0]),
            ("18446744073709551616", "/blog/18446744073709551616")
        );
        assert!(read(r#"{"id": 18446744073709551617}"#).is_err());
    }

    #[test]
    fn a_rule_counts_if_all_its_conditions_hold() {
        let body =
            json!({"type": "post", "n": 5, "draft": false, "tags": ["x", "y"], "null": null, "list": []});
        for (when, holds) in [
            (json!({}), true),
            (json!({"provider": "github"}), true),
            (json!({"provider": ["sanity", "github"]}), true),
            (json!({"provider": "sanity"}), false),
            (json!({"provider": {"not": "sanity"}}), true),
            (json!({"header X-GitHub-Event": "push"}), true),
            (json!({"header x-github-event": ["ping"]}), false),
            (json!({"header x-other": {"exists": false}}), true),
            (json!({"header x-other": {"not": "a"}}), false),
            (json!({"/type": "post"}), true),
            (json!({"/type": "post", "/n": 6}), false),
            (json!({"/n": [4, 5], "/draft": false}), true),
            (json!({"/n": "5"}), false),
            (json!({"/type": {"not": ["page", "note"]}}), true),
            (json!({"/type": {"not": "post"}}), false),
            (json!({"/none": {"not": "post"}}), false),
            (json!({"/none": {"exists": false}, "/null": {"exists": false}}), true),
            (json!({"/type": {"exists": true}, "/list": {"exists": true}}), true),
            (json!({"/tags": "y"}), true),
            (json!({"/tags/*": "z"}), false),
            (json!({"/tags/1": "y"}), true),
            (json!({"/*": "post"}), true),
            (json!({"/type": {"like": "po*t"}, "/tags": {"like": "y*"}}), true),
            (json!({"/type": {"like": "pos*ost"}}), false),
            (json!({"/none": {"like": "*"}}), false),
            (json!({"/n": {"like": "*"}}), false),
        ] {
            let result = read(&json!({"when": when, "site": true}), Some(&[]), &body);
            assert_eq!(result.is_ok(), holds, "{when}: {result:?}");
        }
    }

    /// A log has the rule's own words, and not the payload's.
    #[test]
    fn why_a_rule_does_not_count_is_told() {
        let body = json!({"type": "se\ncret"});
        for (when, reason, found) in [
            (
                json!({"/type": ["post", "page"]}),
                "`/type` must be \"post\" or \"page\"",
                Some(r#""se\ncret""#),
            ),
            (json!({"/none": "post"}), "`/none` must be \"post\"", Some("nothing")),
            (json!({"/type": {"exists": false}}), "`/type` must not be there", Some(r#""se\ncret""#)),
            (json!({"/none": {"exists": true}}), "`/none` must be there", Some("nothing")),
            (
                json!({"header x-github-event": {"not": "push"}}),
                "header x-github-event must be there, and not \"push\"",
                Some("\"push\""),
            ),
            (json!({"provider": "stripe"}), "provider must be \"stripe\"", Some("\"github\"")),
        ] {
            let unfit = read(&json!({"when": when, "site": true}), None, &body).unwrap_err();
            assert_eq!((&*unfit.reason, unfit.found.as_deref()), (reason, found));
        }
        let long = json!({"type": "\u{e9}".repeat(10_000)});
        let unfit = read(&json!({"when": {"/type": "a"}, "site": true}), None, &long).unwrap_err();
        assert!(unfit.found.unwrap().len() < 200);
    }

    #[test]
    fn what_is_no_tag_is_left_out() {
        let rule = json!({"tags": ["{/tags}"]});
        let long = "x".repeat(8_193);
        let changed = read(&rule, None, &json!({"tags": ["a", "", "d, e", long, "новости"]})).unwrap();
        assert_eq!((&*changed.tags.join("|"), changed.left_out.len()), ("a|d, e|новости", 2));
        let unfit = read(&rule, None, &json!({"tags": [""]})).unwrap_err();
        assert!(unfit.reason.contains("no field of the payload fits") && unfit.found.is_some());
        assert!(read(&rule, None, &json!({"tags": []})).is_err());
        let many = json!({"tags": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()});
        assert!(read(&rule, None, &many).unwrap().too_many);
    }

    /// Who has seen a delivery can send its body again with other fields: that must not remove a page.
    #[test]
    fn a_rule_that_deletes_goes_by_what_is_signed() {
        let rule =
            |mode: &str| json!({"when": {"header x-github-event": "push"}, "paths": ["/"], "mode": mode});
        let signed = ["x-github-event".to_owned()];
        assert!(read(&rule("delete"), None, &json!({})).is_ok(), "it came with a secret");
        assert!(read(&rule("delete"), Some(&signed), &json!({})).is_ok());
        assert!(read(&rule("delete"), Some(&[]), &json!({})).unwrap_err().reason.contains("does not cover"));
        assert!(read(&rule("now"), Some(&[]), &json!({})).is_ok());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (rule, part) in [
            (json!({}), "names nothing"),
            (json!({"path": ["/"]}), "unknown field `path`"),
            (json!({"site": true, "mode": "soon"}), "unknown variant `soon`"),
            (json!({"paths": ["/none/{/x}"]}), "no route of the site has such pages"),
            (json!({"site": true, "each": "x"}), "each: the field `x` must begin with `/`"),
            (json!({"paths": ["/{*/x|ftp://a/*}"]}), "a URL of the scheme `ftp` is no page"),
            (json!({"paths": ["/blog"]}), "no route of the site has such pages"),
            (json!({"paths": ["/tags/{/x}"]}), "no route of the site has such pages"),
            (json!({"routes": ["/none"]}), "no route `/none`"),
            (json!({"site": true, "when": {"type": "x"}}), "give `provider`"),
            (
                json!({"site": true, "when": {"provider": "wordpress"}}),
                "the providers are standard-webhooks, github",
            ),
            (json!({"site": true, "when": {"provider": {"exists": true}}}), "the providers are"),
            (json!({"site": true, "when": {"header a b": "x"}}), "names no field"),
            (json!({"site": true, "when": {"/x": {}}}), "give a value"),
            (json!({"site": true, "when": {"/x": {"like": "a"}}}), "must hold one `*`"),
            (json!({"site": true, "when": {"/x": {"like": 5}}}), "give a value"),
            (json!({"site": true, "when": {"/x": []}}), "give 1 to 100"),
            (json!({"site": true, "when": {"/x": [{}]}}), "give 1 to 100"),
            (json!({"site": true, "when": {"/x": null}}), "give 1 to 100"),
            (json!({"tags": vec!["a"; 101]}), "the limit is 100"),
        ] {
            let error = site(&json!([{"site": true}, rule])).map(|_| ()).unwrap_err();
            let place = error.contains("rule 2") || error.contains("line 1 column");
            assert!(error.contains(part) && place, "{rule}: {error}");
        }
        for good in ["/blog/{/x}", "/{/x}/{/y}", "/docs/a/{/x}", "/{*/x}", "/docs/{*/x}", "/", "/blog/x"] {
            site(&json!([{"paths": [good]}])).unwrap();
        }
        assert!(site(&json!(vec![json!({"site": true}); 101])).is_err());
        let error = Site::new().webhooks("{").ready(None, None).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("line 1 column 1"), "{error}");
    }
}
