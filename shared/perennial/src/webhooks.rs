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
//! Every rule whose conditions hold counts; what they name adds up. `when` names a provider, fields of the request
//! (`header NAME`) and fields of the payload, by JSON pointer. Each is compared with a value, with several of which one
//! must be it, with `{"not": …}`, with `{"like": "a*b"}`, or with `{"exists": true}`. `paths`, `tags` (both with fields of the payload in them,
//! as `template` says), `routes` and `site` are what changes, and `mode` and `only_generated` how, as in a call.

mod pointer;
mod template;
mod when;

use std::sync::Arc;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::judge::check_tag;
use crate::route::ReadyRoute;
use crate::settings::Limits;
use crate::wish::Mode;
use template::{Filled, Missing, Template};
use when::Condition;

/// Rules of one site.
const RULES_MAX: usize = 100;

/// Paths, tags and routes of one rule together.
const NAMES_MAX: usize = 100;

/// Whose payload it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Who signs by <https://www.standardwebhooks.com>: Clerk, Resend, Supabase, and others through Svix.
    StandardWebhooks,
    /// GitHub.
    GitHub,
    /// Stripe.
    Stripe,
    /// Shopify.
    Shopify,
    /// Contentful.
    Contentful,
    /// Sanity.
    Sanity,
    /// Storyblok.
    Storyblok,
    /// Strapi.
    Strapi,
    /// Anybody else who has shown a secret.
    Secret,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::StandardWebhooks,
        Self::GitHub,
        Self::Stripe,
        Self::Shopify,
        Self::Contentful,
        Self::Sanity,
        Self::Storyblok,
        Self::Strapi,
        Self::Secret,
    ];

    /// Whether its deliveries carry a signature. Others show a secret.
    pub fn signs(self) -> bool {
        !matches!(self, Self::Strapi | Self::Secret)
    }

    /// Its name in rules, logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::GitHub => "github",
            Self::Stripe => "stripe",
            Self::Shopify => "shopify",
            Self::Contentful => "contentful",
            Self::Sanity => "sanity",
            Self::Storyblok => "storyblok",
            Self::Strapi => "strapi",
            Self::Secret => "secret",
        }
    }
}

/// A site's rules.
#[derive(Debug, Default)]
pub struct Webhooks {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: String,
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
    /// What the payload names that is no path and no tag, and why.
    pub left_out: Vec<String>,
    /// The payload names more than fits into a call; what is here is not all of it.
    pub too_many: bool,
}

/// Why a rule does not count. It shows without values, for logs; `found` is for whoever has the payload anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What the rule asks for.
    pub reason: String,
    /// What is there instead.
    pub found: Option<String>,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Unfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), found: None }
    }
}

impl Webhooks {
    /// Reads rules, and compares them with the site's routes.
    ///
    /// # Errors
    /// Every mistake, where it is, and what to do.
    pub fn parse(text: &str, routes: &[Arc<ReadyRoute>]) -> Result<Self, Vec<String>> {
        let written: Written = serde_json::from_str(text)
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
        let read = |rule: &'_ Rule| rule.read(payload, limits);
        self.rules.iter().map(|rule| Read { rule: &rule.name, result: read(rule) }).collect()
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
        Ok(Self { name, when, paths, tags, routes, site, mode, only_generated })
    }

    fn read(&self, payload: &Payload<'_>, limits: &Limits) -> Result<Changed, Unfit> {
        for condition in &self.when {
            condition.check(payload, self.mode == Mode::Delete)?;
        }
        let Self { mode, only_generated, site, .. } = *self;
        let mut changed =
            Changed { mode, only_generated, site, routes: self.routes.clone(), ..Changed::default() };
        let most = limits.max_revalidations;
        for template in &self.paths {
            let filled = template.paths(payload.body, most).map_err(missing)?;
            changed.too_many |= filled.too_many;
            changed.left_out.extend(filled.left_out);
            add(&mut changed.paths, filled.texts);
        }
        for template in &self.tags {
            let Filled { texts, left_out, too_many } = template.tags(payload.body, most).map_err(missing)?;
            changed.too_many |= too_many;
            changed.left_out.extend(left_out);
            let (good, bad): (Vec<_>, Vec<_>) =
                texts.into_iter().map(|tag| check_tag(&tag, limits).map(|()| tag)).partition(Result::is_ok);
            add(&mut changed.tags, good.into_iter().flatten());
            changed.left_out.extend(bad.into_iter().filter_map(Result::err));
        }
        let is_something =
            !changed.paths.is_empty() || !changed.tags.is_empty() || !changed.routes.is_empty();
        if is_something || site || changed.too_many {
            return Ok(changed);
        }
        let found = (!changed.left_out.is_empty()).then(|| changed.left_out.join("; "));
        Err(Unfit { reason: "no field of the payload fits into its paths and tags".into(), found })
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

fn missing(Missing(pointer): Missing) -> Unfit {
    Unfit::new(format!("the payload has no text at `{pointer}`"))
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
    use crate::route::Route;
    use crate::settings::Settings;
    use crate::site::{ReadySite, Site};
    use crate::testing::Text;

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
        let unfit = read(&rule, None, &json!({"slug": "a"})).unwrap_err();
        assert_eq!(unfit, Unfit::new("the payload has no text at `/id`"));
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
        let rule = json!({"tags": ["t:{/tags}"]});
        let long = "x".repeat(300);
        let changed = read(&rule, None, &json!({"tags": ["a", "b c", "d,e", long, "f"]})).unwrap();
        assert_eq!(
            (&changed.tags[..], changed.left_out.len()),
            (&["t:a".to_owned(), "t:f".to_owned()][..], 3)
        );
        let unfit = read(&rule, None, &json!({"tags": ["a b"]})).unwrap_err();
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
            (json!({"paths": ["/blog"]}), "no route of the site has such pages"),
            (json!({"paths": ["/tags/{/x}"]}), "no route of the site has such pages"),
            (json!({"routes": ["/none"]}), "no route `/none`"),
            (json!({"tags": ["a b"]}), "printable ASCII"),
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
