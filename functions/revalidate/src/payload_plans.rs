//! Applies the site's rules to a publisher's payload: the result is plans, as a call makes them. Pure.

use std::collections::HashSet;

use http::HeaderMap;
use perennial_core::base::limits::Limits;
use perennial_core::key::tags::{SITE_TAG, route_tag, user_tag};
use perennial_core::key::url::below;
use perennial_core::record::publish_request::Mode;
use perennial_core::site::ReadySite;
use perennial_core::webhooks::changes::Changes;
use perennial_core::webhooks::outcome::RuleOutcome;
use perennial_core::webhooks::payload::Payload;
use serde_json::Value;

use crate::delivery::{Authenticated, Delivery};
use crate::paths::pages;
use crate::plan::{Overrides, Plan};

/// The plans for one payload.
#[derive(Debug)]
pub struct PayloadPlans<'a> {
    /// The outcome of each rule.
    pub outcomes: Vec<RuleOutcome<'a>>,
    /// The plans, in the order of their execution; none if no rule counts.
    pub plans: Vec<Plan>,
    /// Parts of the payload that were left out, each with a reason.
    pub left_out: Vec<String>,
}

impl PayloadPlans<'_> {
    /// The names of the rules that count.
    pub fn counting(&self) -> impl Iterator<Item = &str> {
        self.outcomes.iter().filter(|outcome| outcome.result.is_ok()).map(|outcome| outcome.rule)
    }
}

/// Applies the site's rules to a payload. The pages of all rules that count add up.
///
/// # Errors
/// All rules together ask for something impossible; nothing has been done.
pub fn payload_plans<'a>(
    site: &'a ReadySite,
    limits: &Limits,
    delivery: &Delivery,
    headers: &HeaderMap,
    body: &Value,
    overrides: Overrides,
) -> Result<PayloadPlans<'a>, String> {
    let signed_fields = match &delivery.authenticated {
        Authenticated::Request => None,
        Authenticated::Body(fields) => Some(&fields[..]),
    };
    let payload = Payload { provider: delivery.provider, headers, signed_fields, body };
    let outcomes = site.webhooks().apply(&payload, limits);
    let mut left_out = left_out(&outcomes);
    let mut plans: Vec<Plan> = Vec::new();
    let mut too_many = false;
    for changed in counting(&outcomes) {
        too_many |= changed.too_many;
        let mode = overrides.mode.unwrap_or(changed.mode);
        let only_generated = overrides.only_generated || changed.only_generated;
        let found = plans.iter().position(|plan| plan.mode == mode && plan.only_generated == only_generated);
        let at = found.unwrap_or_else(|| {
            let look_again_after_s = overrides.look_again_after_s.filter(|_| mode == Mode::Now);
            plans.push(Plan {
                mode,
                only_generated,
                at: overrides.at,
                look_again_after_s,
                ..Plan::default()
            });
            plans.len() - 1
        });
        let others: Vec<&Changes> = counting(&outcomes).filter(|other| other.last.is_some()).collect();
        add(&mut plans[at], changed, &others, site, limits, &mut left_out);
    }
    // Deleted pages are deleted first, and not rendered again. Rendered pages need no mark as well.
    plans.sort_by_key(|plan| (rank(plan.mode), plan.only_generated));
    let mut seen: Vec<String> = Vec::new();
    for plan in &mut plans {
        plan.paths.retain(|path| !seen.contains(path));
        seen.extend(plan.paths.iter().cloned());
    }
    plans.sort_by_key(|plan| plan.mode == Mode::Now);
    plans.retain(|plan| !plan.paths.is_empty() || !plan.tags.is_empty());
    let asked: usize = plans.iter().map(|plan| plan.paths.len() + plan.tags.len()).sum();
    if too_many || asked > limits.max_revalidations {
        plans = vec![all(&plans, limits)?];
    }
    Ok(PayloadPlans { outcomes, plans, left_out })
}

fn rank(mode: Mode) -> u8 {
    match mode {
        Mode::Delete => 0,
        Mode::Now => 1,
        Mode::Stale => 2,
    }
}

fn counting<'a>(outcomes: &'a [RuleOutcome<'_>]) -> impl Iterator<Item = &'a Changes> {
    outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok())
}

/// Paths and tags that rules could not name although their conditions hold, and the elements of lists for which no rule
/// counts; each reason once.
fn left_out(outcomes: &[RuleOutcome<'_>]) -> Vec<String> {
    let elements = || outcomes.iter().flat_map(|outcome| &outcome.elements);
    let mut seen: HashSet<&str> =
        elements().filter(|(_, mismatch)| mismatch.is_none()).map(|(place, _)| &**place).collect();
    let mut all: Vec<String> = Vec::new();
    for outcome in outcomes {
        match &outcome.result {
            Ok(changed) => all.extend(changed.left_out.iter().cloned()),
            Err(mismatch) => all.extend(mismatch.left_out.iter().cloned()),
        }
    }
    let passed = || elements().filter_map(|(place, mismatch)| Some((&**place, mismatch.as_ref()?)));
    for (place, mismatch) in passed().filter(|(_, mismatch)| !mismatch.left_out.is_empty()) {
        seen.insert(place);
        all.extend(mismatch.left_out.iter().cloned());
    }
    for (place, mismatch) in passed() {
        // A payload that is no list is no odd element of one.
        if !place.is_empty() && seen.insert(place) {
            all.push(format!("{place}: {mismatch}"));
        }
    }
    let mut told = HashSet::new();
    all.retain(|why| told.insert(why.clone()));
    all
}

/// Adds a rule's pages to a plan, without those that another rule has named by a later element of the same list.
fn add(
    plan: &mut Plan,
    changed: &Changes,
    others: &[&Changes],
    site: &ReadySite,
    limits: &Limits,
    left_out: &mut Vec<String>,
) {
    let is_last = |name: &str| !others.iter().any(|other| changed.is_superseded_by(other, name));
    for path in changed.paths.iter().filter(|path| is_last(path)) {
        // Below the base path, whatever the payload's own path looks like; but a whole URL has the base path in it.
        let whole = format!("{}{path}", site.base_path());
        let found = pages(&whole, site, limits).map(|_| whole);
        let found = found.or_else(|why| match below(site.base_path(), path) {
            Some(_) => pages(path, site, limits).map(|_| path.clone()),
            None => Err(why),
        });
        match found {
            Ok(path) if plan.paths.contains(&path) => {}
            Ok(path) => plan.paths.push(path),
            Err(why) => left_out.push(why),
        }
    }
    let tags = changed.tags.iter().map(|tag| user_tag(tag));
    let routes = changed.routes.iter().map(|route| route_tag(route));
    for tag in tags.chain(routes).chain(changed.site.then(|| SITE_TAG.to_owned())) {
        if is_last(&tag) && !plan.tags.contains(&tag) {
            plan.tags.push(tag);
        }
    }
}

/// The whole site, for a payload that names more than one call may: to renew too much is better than a page that stays
/// old.
fn all(plans: &[Plan], limits: &Limits) -> Result<Plan, String> {
    let most = limits.max_revalidations;
    if plans.iter().any(|plan| plan.mode == Mode::Delete) {
        return Err(format!(
            "the payload deletes among more than {most} paths and tags (PERENNIAL_MAX_REVALIDATIONS)"
        ));
    }
    let now = plans.is_empty() || plans.iter().any(|plan| plan.mode == Mode::Now);
    let mode = if now { Mode::Now } else { Mode::Stale };
    let only_generated = !plans.is_empty() && plans.iter().all(|plan| plan.only_generated);
    let at = plans.first().and_then(|plan| plan.at);
    let look_again_after_s = plans.iter().find_map(|plan| plan.look_again_after_s);
    let tags = vec![SITE_TAG.to_owned()];
    Ok(Plan { mode, only_generated, tags, at, look_again_after_s, ..Plan::default() })
}

#[cfg(test)]
mod tests {
    use perennial_core::run::settings::Settings;
    use perennial_core::site::Site;
    use perennial_core::site::route::Route;
    use perennial_core::testing::Text;
    use serde_json::json;

    use super::*;

    fn site(base: &str, rules: &Value) -> ReadySite {
        let routes = ["/", "/never", "/blog/{slug}", "/old/{*path}"];
        let site = routes.iter().fold(Site::new(), |site, route| site.route(Route::new(*route, Text)));
        site.webhooks(json!({ "rules": rules }).to_string()).ready(Some(base), None).unwrap()
    }

    /// A payload that came with a secret.
    fn delivery() -> Delivery {
        Delivery::with_secret(&HeaderMap::new(), "k")
    }

    fn plans(base: &str, rules: &Value, body: &Value, overrides: Overrides) -> Result<Vec<Plan>, String> {
        let limits = Settings::default().limits;
        let site = site(base, rules);
        payload_plans(&site, &limits, &delivery(), &HeaderMap::new(), body, overrides).map(|made| made.plans)
    }

    fn plan(mode: Mode, paths: &[&str], tags: &[&str]) -> Plan {
        let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
        Plan { mode, paths: texts(paths), tags: texts(tags), ..Plan::default() }
    }

    #[test]
    fn rules_add_up() {
        let rules = json!([
            {"paths": ["/blog/{/slug}"], "tags": ["posts"]},
            {"paths": ["/blog/{/slug}", "/"], "routes": ["/blog/{slug}"], "site": true, "tags": ["posts"]},
            {"when": {"/slug": "other"}, "paths": ["/never"]},
            {"paths": ["/blog/{/old}", "/"], "mode": "delete"},
            {"paths": ["/never", "/blog/{/slug}"], "mode": "stale", "tags": ["nav"]},
        ]);
        let body = json!({"slug": "a b", "old": "z"});
        let expected = [
            plan(Mode::Delete, &["/blog/z", "/"], &[]),
            plan(Mode::Stale, &["/never"], &["tag:nav"]),
            plan(Mode::Now, &["/blog/a%20b"], &["tag:posts", "route:/blog/{slug}", "site"]),
        ];
        assert_eq!(plans("", &rules, &body, Overrides::default()).unwrap(), expected);
        // Below a base path, and never another page by it.
        let docs = json!([{"paths": ["/blog/{/slug}", "/old/{*/slug}", "/"]}]);
        let found = plans("/blog", &docs, &json!({"slug": "never"}), Overrides::default()).unwrap();
        assert_eq!(found, [plan(Mode::Now, &["/blog/blog/never", "/blog/old/never", "/blog/"], &[])]);
    }

    #[test]
    fn the_query_wins() {
        let rules = json!([{"paths": ["/"]}, {"paths": ["/never"], "mode": "stale"}]);
        let overrides = Overrides { mode: Some(Mode::Delete), only_generated: true, ..Overrides::default() };
        let found = plans("", &rules, &json!({}), overrides).unwrap();
        assert_eq!(found, [Plan { only_generated: true, ..plan(Mode::Delete, &["/", "/never"], &[]) }]);
        let tags = json!([{"tags": ["a"]}]);
        let found = plans("", &tags, &json!({}), overrides).unwrap();
        assert_eq!(found, [Plan { only_generated: true, ..plan(Mode::Delete, &[], &["tag:a"]) }]);
    }

    #[test]
    fn more_than_fits_is_the_whole_site() {
        let rules = json!([{"tags": ["{/n}"], "mode": "stale"}, {"paths": ["/"], "mode": "stale"}]);
        let many = |n: u32| json!({"n": (0..n).collect::<Vec<_>>()});
        let all = plans("", &rules, &many(99), Overrides::default()).unwrap();
        assert_eq!(all[0].paths.len() + all[0].tags.len(), 100);
        for n in [100, 101, 1000] {
            let found = plans("", &rules, &many(n), Overrides::default()).unwrap();
            assert_eq!(found, [plan(Mode::Stale, &[], &["site"])], "{n}");
        }
        let delete = json!([{"paths": ["/blog/{/n}"], "mode": "delete"}]);
        assert!(plans("", &delete, &many(100), Overrides::default()).is_ok());
        let error = plans("", &delete, &many(101), Overrides::default()).unwrap_err();
        assert!(error.contains("PERENNIAL_MAX_REVALIDATIONS"), "{error}");
    }

    #[test]
    fn what_is_no_page_is_left_out() {
        let rules = json!([{"paths": ["/{*/slug}"]}]);
        assert!(
            plans("", &rules, &json!({"slug": "settings/menu"}), Overrides::default()).unwrap().is_empty()
        );
        let long = "x".repeat(5000);
        let found =
            plans("", &rules, &json!({"slug": ["never", "none", "blog/..", long]}), Overrides::default());
        assert_eq!(found.unwrap(), [plan(Mode::Now, &["/never"], &[])]);
    }

    fn of_batch(rules: &Value, body: &Value) -> (Vec<Plan>, Vec<String>) {
        let limits = Settings::default().limits;
        let site = site("/docs", rules);
        let made = payload_plans(&site, &limits, &delivery(), &HeaderMap::new(), body, Overrides::default())
            .expect("no mistake");
        (made.plans, made.left_out)
    }

    /// A whole URL of a site below a base path has it in it.
    #[test]
    fn a_whole_url_is_below_the_base_path() {
        let rules = json!([{"paths": ["/{*/url|https://www.example.org/*}"]}]);
        for (base, path, expected) in [
            ("/docs", "docs/blog/a", "/docs/blog/a"),
            ("/docs", "blog/a", "/docs/blog/a"),
            ("/docs", "docs", "/docs"),
            ("/blog", "blog/never", "/blog/blog/never"),
        ] {
            let url = format!("https://www.example.org/{path}");
            let found = plans(base, &rules, &json!({ "url": url }), Overrides::default()).unwrap();
            assert_eq!(found, [plan(Mode::Now, &[expected], &[])], "{base} {path}");
        }
        let other = json!({"url": "https://www.example.org/docsblog/a"});
        assert!(plans("/docs", &rules, &other, Overrides::default()).unwrap().is_empty());
    }

    /// Two rules on one list: published is rendered, unpublished is gone, and anything else is passed over and told.
    #[test]
    fn each_element_of_a_batch_is_treated_by_its_own_action() {
        let rule = |action: &str, mode: &str| {
            json!({
                "each": "/notifications", "mode": mode, "when": {"/type": "post", "/action": action},
                "paths": ["/blog/{/slug}"], "tags": ["post:{/slug}"],
            })
        };
        let rules = json!([rule("published", "now"), rule("unpublished", "delete")]);
        let event =
            |kind: &str, action: &str, slug: &str| json!({"type": kind, "action": action, "slug": slug});
        let body = json!({"notifications": [
            event("post", "published", "kept"),
            event("post", "unpublished", "gone"),
            event("author", "published", "somebody"),
            5,
        ]});
        let (plans, left_out) = of_batch(&rules, &body);
        assert_eq!(
            plans,
            [
                plan(Mode::Delete, &["/docs/blog/gone"], &["tag:post:gone"]),
                plan(Mode::Now, &["/docs/blog/kept"], &["tag:post:kept"]),
            ]
        );
        assert_eq!(
            left_out,
            [
                "/notifications/2: `/type` must be \"post\"",
                "/notifications/3: `/action` must be \"published\"",
            ]
        );
        // Of several events of one page, the last one counts.
        for (first, second, mode) in
            [("published", "unpublished", Mode::Delete), ("unpublished", "published", Mode::Now)]
        {
            let body = json!({"notifications": [event("post", first, "a"), event("post", second, "a")]});
            assert_eq!(
                of_batch(&rules, &body).0,
                [plan(mode, &["/docs/blog/a"], &["tag:post:a"])],
                "{first}"
            );
        }
        // Nothing but odd elements is nothing, and told.
        let (plans, left_out) = of_batch(&rules, &json!({"notifications": [null, "x"]}));
        assert!(plans.is_empty() && left_out.len() == 2, "{left_out:?}");
    }

    /// A rule of which nothing is left says what it would have named.
    #[test]
    fn what_is_left_out_is_told_even_if_nothing_is_left() {
        let rules = json!([{"paths": ["/blog/{/entry/slug}"]}, {"when": {"/x": "y"}, "site": true}]);
        let (plans, left_out) = of_batch(&rules, &json!({"entry": "null"}));
        assert!(plans.is_empty());
        assert_eq!(left_out, ["the payload has no text at `/entry/slug`"]);
    }
}
