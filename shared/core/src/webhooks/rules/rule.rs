//! One rule: its conditions and the pages that it names. Pure.

use serde::Deserialize;
use serde_json::Value;

use crate::base::limits::Limits;
use crate::key::pattern::Pattern;
use crate::key::tags::check_tag;
use crate::record::publish_request::Mode;
use crate::webhooks::changes::{Changes, add_new};
use crate::webhooks::condition::Condition;
use crate::webhooks::mismatch::Mismatch;
use crate::webhooks::outcome::RuleOutcome;
use crate::webhooks::payload::Payload;
use crate::webhooks::pointer::{Pointer, Scope};
use crate::webhooks::template::Template;
use crate::webhooks::template::fill::{Filled, STEPS_MAX};

/// Paths, tags and routes of one rule together.
const NAMES_MAX: usize = 100;

/// A rule that was checked against the site's routes.
#[derive(Debug)]
pub(super) struct Rule {
    name: String,
    /// The list whose elements the rule judges one by one.
    each: Option<Pointer>,
    when: Vec<Condition>,
    paths: Vec<Template>,
    tags: Vec<Template>,
    routes: Vec<String>,
    site: bool,
    mode: Mode,
    only_generated: bool,
}

/// A rule as the site's author writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRule {
    pub(super) name: Option<String>,
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

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// Every mistake in the rule.
    pub(super) fn new(name: String, written: WrittenRule, routes: &[&Pattern]) -> Result<Self, Vec<String>> {
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
        // A rule of another provider says so first, whatever else does not hold.
        when.sort_by_key(Condition::rank);
        for route in &written.routes {
            if !routes.iter().any(|r| r.as_str() == route) {
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

    /// Checks the conditions, and fills the templates with the payload's fields.
    pub(super) fn apply(&self, payload: &Payload<'_>, limits: &Limits) -> RuleOutcome<'_> {
        let mut elements = Vec::new();
        let mut steps = STEPS_MAX;
        let scope = |element| Scope { whole: payload.body, element };
        let result = match &self.each {
            None => self
                .check(payload, scope(payload.body), |_| true)
                .and_then(|()| self.named_pages(scope(payload.body), limits, &mut steps)),
            Some(list) => self
                .check(payload, scope(payload.body), |condition| !condition.is_of_element())
                .and_then(|()| self.apply_to_elements(list, payload, limits, &mut elements)),
        };
        RuleOutcome { rule: &self.name, result, elements }
    }

    fn check(
        &self,
        payload: &Payload<'_>,
        scope: Scope<'_>,
        selects: impl Fn(&Condition) -> bool,
    ) -> Result<(), Mismatch> {
        let deletes = self.mode == Mode::Delete;
        self.when.iter().filter(|c| selects(c)).try_for_each(|c| c.check(payload, scope, deletes))
    }

    /// Judges each element of a list alone: an element of another kind takes nothing away from the others.
    fn apply_to_elements(
        &self,
        list: &Pointer,
        payload: &Payload<'_>,
        limits: &Limits,
        elements: &mut Vec<(String, Option<Mismatch>)>,
    ) -> Result<Changes, Mismatch> {
        let Self { mode, only_generated, .. } = *self;
        let mut changes = Changes { mode, only_generated, ..Changes::default() };
        let mut steps = STEPS_MAX;
        for (i, (place, element)) in list.elements(payload.body).into_iter().enumerate() {
            let scope = Scope { whole: payload.body, element };
            let named = self
                .check(payload, scope, Condition::is_of_element)
                .and_then(|()| self.named_pages(scope, limits, &mut steps));
            let mismatch = match named {
                Ok(mut named) => {
                    prefix_with(&place, &mut named.left_out);
                    changes.add_element(named, list.as_str(), i);
                    None
                }
                Err(mut mismatch) => {
                    prefix_with(&place, &mut mismatch.left_out);
                    Some(mismatch)
                }
            };
            elements.push((place, mismatch));
            changes.too_many |= changes.paths.len() + changes.tags.len() > limits.max_revalidations;
            if changes.too_many {
                break;
            }
        }
        if changes.names_pages() {
            return Ok(changes);
        }
        let reason = match elements.len() {
            0 => format!("the payload has no list with elements at `{}`", list.as_str()),
            _ => format!("it counts for no element of `{}`", list.as_str()),
        };
        Err(Mismatch::new(reason))
    }

    /// The pages that the rule names for a payload, or for one element of a list, once the conditions hold.
    fn named_pages(&self, scope: Scope<'_>, limits: &Limits, steps: &mut usize) -> Result<Changes, Mismatch> {
        let Self { mode, only_generated, site, .. } = *self;
        let routes = self.routes.clone();
        let mut changes = Changes { mode, only_generated, site, routes, ..Changes::default() };
        let mut missing: Vec<String> = Vec::new();
        let most = limits.max_revalidations;
        let mut note = |filled: &mut Filled, changes: &mut Changes| {
            changes.too_many |= filled.too_many;
            changes.left_out.append(&mut filled.left_out);
            add_new(&mut missing, filled.missing.take());
        };
        for template in &self.paths {
            let mut filled = template.paths(scope, most, steps);
            note(&mut filled, &mut changes);
            add_new(&mut changes.paths, filled.texts);
        }
        for template in &self.tags {
            let mut filled = template.tags(scope, most, steps);
            note(&mut filled, &mut changes);
            let (good, bad): (Vec<_>, Vec<_>) = filled
                .texts
                .into_iter()
                .map(|tag| check_tag(&tag, limits).map(|()| tag))
                .partition(Result::is_ok);
            add_new(&mut changes.tags, good.into_iter().flatten());
            changes.left_out.extend(bad.into_iter().filter_map(Result::err));
        }
        let missing: Vec<_> =
            missing.iter().map(|pointer| format!("the payload has no text at `{pointer}`")).collect();
        if changes.names_pages() {
            changes.left_out.splice(0..0, missing);
            return Ok(changes);
        }
        let found = (!changes.left_out.is_empty()).then(|| changes.left_out.join("; "));
        let reason = match &missing[..] {
            [] => "no field of the payload fits into its paths and tags".to_owned(),
            missing => missing.join("; "),
        };
        let mut left_out = missing;
        left_out.append(&mut changes.left_out);
        Err(Mismatch { reason, found, left_out })
    }
}

/// Puts the place of a list's element before each reason.
fn prefix_with(place: &str, reasons: &mut [String]) {
    if !place.is_empty() {
        reasons.iter_mut().for_each(|why| *why = format!("{place}: {why}"));
    }
}

/// Checks that some route has such paths: the author learns of a mistake at the start, not at the first delivery.
fn fits_a_route(template: Template, routes: &[&Pattern]) -> Result<Template, String> {
    let (segments, more) = template.segments();
    if routes.iter().any(|route| route.may_be(&segments, more)) {
        Ok(template)
    } else {
        Err("no route of the site has such pages".into())
    }
}
