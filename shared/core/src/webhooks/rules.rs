//! The site's rules: which pages change with a publisher's own payload. Pure.
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
//! A rule counts if all its conditions hold; the pages of all rules that count add up. A missing field takes away only the
//! paths and tags that need the field. With `each`, a pointer to a list, a rule judges every element of that list alone:
//! `when`, `paths` and `tags` then point into the element, and `$/…` into the whole payload.
//!
//! | member | means |
//! |---|---|
//! | `when` | the provider, header fields (`header NAME`) and fields of the payload (a JSON pointer), each with a value, a list of values, `{"not": …}`, `{"like": "a*b"}` or `{"exists": true}` |
//! | `paths`, `tags` | templates with fields of the payload, as the file `template.rs` says |
//! | `routes`, `site` | patterns of routes, or all pages |
//! | `mode`, `only_generated` | how, as in a call |

mod rule;

use serde::Deserialize;

use crate::base::limits::Limits;
use crate::key::pattern::Pattern;
use crate::webhooks::json;
use crate::webhooks::outcome::RuleOutcome;
use crate::webhooks::payload::Payload;
use crate::webhooks::rules::rule::{Rule, WrittenRule};

/// The most rules of one site.
const RULES_MAX: usize = 100;

/// A site's rules.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rules: Vec<WrittenRule>,
}

impl Rules {
    /// Reads rules, and compares them with the patterns of the site's routes.
    ///
    /// # Errors
    /// Every mistake, each with its place and what to do.
    pub fn parse(text: &str, routes: &[&Pattern]) -> Result<Self, Vec<String>> {
        let written: Written = serde_json::from_slice(&json::normalized(text.as_bytes()))
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

    /// Whether the site has no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies each rule to a payload.
    pub fn apply(&self, payload: &Payload<'_>, limits: &Limits) -> Vec<RuleOutcome<'_>> {
        self.rules.iter().map(|rule| rule.apply(payload, limits)).collect()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::{Value, json};

    use super::*;
    use crate::record::publish_request::Mode;
    use crate::run::settings::Settings;
    use crate::site::route::Route;
    use crate::site::{ReadySite, Site};
    use crate::testing::Text;
    use crate::webhooks::changes::Changes;
    use crate::webhooks::json::read_json;
    use crate::webhooks::mismatch::Mismatch;
    use crate::webhooks::providers::{github, other};

    fn site(rules: &Value) -> Result<ReadySite, String> {
        let routes = ["/", "/blog/{slug}", "/docs/{*path}", "/tags/{tag}/all"];
        let site = routes.iter().fold(Site::new(), |site, route| site.route(Route::new(*route, Text)));
        site.webhooks(json!({ "rules": rules }).to_string()).ready(None, None).map_err(|e| e.to_string())
    }

    /// What the rule does with a payload of GitHub's that has the field `x-github-event`.
    fn read(rule: &Value, signed_fields: Option<&[String]>, body: &Value) -> Result<Changes, Mismatch> {
        let site = site(&json!([rule])).unwrap();
        let event = (HeaderName::from_static("x-github-event"), HeaderValue::from_static("push"));
        let headers = HeaderMap::from_iter([event]);
        let payload = Payload { provider: &github::PROVIDER, headers: &headers, signed_fields, body };
        site.webhooks().apply(&payload, &Settings::default().limits).remove(0).result
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
        let expected = Changes {
            mode: Mode::Stale,
            only_generated: true,
            paths: vec!["/blog/a%20b".into(), "/".into()],
            tags: vec!["post:7".into(), "list".into()],
            routes: vec!["/docs/{*path}".into()],
            site: true,
            ..Changes::default()
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
        let mismatch = read(&only, None, &json!({"entry": "null"})).unwrap_err();
        assert_eq!(mismatch.reason, "the payload has no text at `/entry/slug`");
        assert_eq!(mismatch.left_out, std::slice::from_ref(&mismatch.reason));
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
        // The later element wins, whichever rule it matches.
        assert!(!now.is_superseded_by(&now, "/blog/kept") && !now.is_superseded_by(&delete, "/blog/kept"));
        assert!(delete.is_superseded_by(&now, "tag:posts") && !now.is_superseded_by(&delete, "tag:posts"));
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
        // Conditions on the whole payload are checked once, and first.
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

    /// A rule may name a number of any size, as JSON allows.
    #[test]
    fn integers_are_compared_and_written_digit_for_digit() {
        let rules =
            r#"{"rules":[{"when":{"/id":18446744073709551616},"tags":["{/id}"],"paths":["/blog/{/id}"]}]}"#;
        let site =
            Site::new().route(Route::new("/blog/{slug}", Text)).webhooks(rules).ready(None, None).unwrap();
        let read = |body: &str| {
            let body = read_json(body.as_bytes()).unwrap();
            let payload = Payload {
                provider: &other::PROVIDER,
                headers: &HeaderMap::new(),
                signed_fields: None,
                body: &body,
            };
            site.webhooks().apply(&payload, &Settings::default().limits).remove(0).result
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

    /// A log line has the rule's words, not the payload's.
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
            let mismatch = read(&json!({"when": when, "site": true}), None, &body).unwrap_err();
            assert_eq!((&*mismatch.reason, mismatch.found.as_deref()), (reason, found));
        }
        let long = json!({"type": "\u{e9}".repeat(10_000)});
        let mismatch = read(&json!({"when": {"/type": "a"}, "site": true}), None, &long).unwrap_err();
        assert!(mismatch.found.unwrap().len() < 200);
    }

    #[test]
    fn what_is_no_tag_is_left_out() {
        let rule = json!({"tags": ["{/tags}"]});
        let long = "x".repeat(8_193);
        let changed = read(&rule, None, &json!({"tags": ["a", "", "d, e", long, "новости"]})).unwrap();
        assert_eq!((&*changed.tags.join("|"), changed.left_out.len()), ("a|d, e|новости", 2));
        let mismatch = read(&rule, None, &json!({"tags": [""]})).unwrap_err();
        assert!(mismatch.reason.contains("no field of the payload fits") && mismatch.found.is_some());
        assert!(read(&rule, None, &json!({"tags": []})).is_err());
        let many = json!({"tags": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()});
        assert!(read(&rule, None, &many).unwrap().too_many);
    }

    /// An attacker who has seen a delivery can send its body with other header fields: that must not remove a page.
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
