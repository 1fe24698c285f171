//! The invariants, as visitors see them: every answer is looked at.

use std::collections::BTreeMap;

use perennial::parts::record::page_record::Ticket;

use crate::gate::ActorId;
use crate::history::{Aim, Render, Seen, Visit, render_of, tags_of};
use crate::mistake::Mistake;
use crate::site::Shown;
use crate::upstream::{Kind, Version};
use crate::visitors::{Answer, MARK};
use crate::world::World;

/// What `Cache-Control` of an answer allows, in seconds.
struct Cacheable {
    stored: bool,
    fresh_s: u64,
    stale_s: u64,
}

fn cacheable(control: &str) -> Cacheable {
    let parts: BTreeMap<_, _> =
        control.split(", ").map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
    let seconds = |name: &str| parts.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    Cacheable {
        stored: !parts.contains_key("no-store"),
        fresh_s: seconds("s-maxage"),
        stale_s: seconds("stale-while-revalidate"),
    }
}

/// A year: fresh until somebody says otherwise.
const NEVER_S: u64 = 31_536_000;

/// An answer that shows a page.
struct PageView<'a> {
    actor: ActorId,
    visit: &'a Visit,
    answer: &'a Answer,
    label: &'a str,
    number: usize,
    render: Render,
    /// When it was fetched, and what.
    fetched: usize,
    version: usize,
    shown: Version,
}

impl World {
    /// A visitor is answered.
    pub(crate) fn answered(&mut self, actor: ActorId, visit: &Visit, mut answer: Answer) {
        self.spoil(&mut answer);
        self.number();
        let label = answer.field("x-perennial-cache").to_owned();
        let tags = answer.field("cache-tag").to_owned();
        let control = answer.field("cache-control").to_owned();
        self.say(|| format!("n{} #{actor} gets {} {label} {control} {tags}", visit.node, answer.status));
        *self.tally.answers.entry(format!("{} {label}", answer.status)).or_default() += 1;
        let sent = answer.head.iter().any(|(_, value)| value.as_bytes() == MARK.as_bytes());
        if sent || answer.body.contains(MARK) {
            return self.breaks(9, format!("#{actor} is shown what a visitor sent"));
        }
        if !answer.field("etag").is_empty() && !visit.data {
            self.history.etags.insert(visit.path.clone(), answer.field("etag").to_owned());
        }
        let (status, fresh_s) = (answer.status, cacheable(&control).fresh_s);
        self.history.last =
            Some(Seen { status, label: label.clone(), fresh_s, version: None, fetched: None });
        let render = render_of(tags.split(',').filter_map(|tag| tag.strip_prefix("tag:")));
        let Some(number) = render else { return self.without_page(actor, visit, &answer, &label) };
        let Some(render) = self.history.renders.get(number).cloned() else {
            return self.breaks(3, format!("#{actor} is shown r{number}, which there is not"));
        };
        let Some((fetched, version)) = render.fetched else {
            return self.breaks(3, format!("#{actor} is shown r{number}, which fetched nothing"));
        };
        if let Some(seen) = &mut self.history.last {
            (seen.version, seen.fetched) = (Some(version), Some(fetched));
        }
        let shown = self.upstream.versions[version].clone();
        let (label, answer) = (&*label, &answer);
        let sight = PageView { actor, visit, answer, label, number, render, fetched, version, shown };
        self.belongs_together(&sight);
        self.is_as_cacheable_as_fresh(&sight);
        self.is_as_fresh_as_told(&sight);
        if !visit.faulted {
            self.never_older(&sight);
        }
        self.is_new_enough(&sight);
    }

    /// Planted mistakes of whoever stands between the functions and their visitors.
    fn spoil(&mut self, answer: &mut Answer) {
        let stale = answer.field("x-perennial-cache") == "STALE";
        let fails = answer.status >= 500;
        if (stale && self.has(Mistake::StaleIsCacheable)) || (fails && self.has(Mistake::ErrorsAreCacheable))
        {
            let control = "public, max-age=0, s-maxage=60, stale-while-revalidate=60";
            answer.head.insert("cache-control", http::HeaderValue::from_static(control));
        }
    }

    /// Errors, shells, and paths that do not exist: no cache may keep them (8), and nobody gets one for whom there is
    /// something to show (3).
    fn without_page(&mut self, actor: ActorId, visit: &Visit, answer: &Answer, label: &str) {
        if cacheable(answer.field("cache-control")).stored {
            return self
                .breaks(8, format!("#{actor}: {} {label} of {} may be kept", answer.status, visit.path));
        }
        let still = self.history.bare.get(&visit.place).is_none_or(|deleted| *deleted < visit.began);
        if visit.servable && still && !visit.faulted {
            let what = format!(
                "#{actor} gets {} although there is something to show of {}",
                answer.status, visit.path
            );
            self.breaks(3, what);
        }
    }

    /// 5 and 10: status, fields and body are of one render of one page of this build.
    fn belongs_together(&mut self, sight: &PageView<'_>) {
        let PageView { actor, visit, answer, version, render, shown, .. } = sight;
        if render.build != visit.build {
            return self.breaks(
                10,
                format!("#{actor} of {} is shown {} of {}", visit.build, visit.path, render.build),
            );
        }
        let page = Shown::new(&visit.path, &visit.query, *version, &visit.build, self.upstream.large);
        let status = match (shown.kind, answer.status) {
            (Kind::Page, 304) if visit.conditional => 304,
            (Kind::Page, _) => 200,
            (Kind::NotFound, _) => 404,
            (Kind::Redirect, _) => {
                if visit.data {
                    200
                } else {
                    307
                }
            }
        };
        let location = format!("/to/v{version}");
        let right_field = match shown.kind {
            Kind::Redirect => visit.data || answer.field("location") == location,
            _ => visit.data || answer.field("x-version") == version.to_string(),
        };
        let empty = visit.head || status == 304;
        let right_body = match (shown.kind, visit.data) {
            _ if empty => answer.body.is_empty(),
            (Kind::Page, false) => answer.body == page.html(),
            (Kind::Page, true) => same_json(&answer.body, &page.data()),
            (Kind::NotFound, false) => answer.body.contains("404"),
            (Kind::NotFound, true) => answer.body == perennial::parts::render::pool::NOT_FOUND_DATA,
            (Kind::Redirect, _) => answer.body.contains(&location),
        };
        let length = answer.field("content-length");
        let right_length = empty || length == answer.body.len().to_string();
        let same_page = render.path == visit.path && render.query == visit.query;
        if answer.status != status || !right_field || !right_body || !right_length || !same_page {
            let what =
                format!("#{actor} gets parts of several pages: {answer:?} instead of {render:?} {shown:?}");
            self.breaks(5, what);
        }
    }

    /// 8: a stale answer may be kept no longer than a fresh one, and none for longer than its page is fresh.
    fn is_as_cacheable_as_fresh(&mut self, sight: &PageView<'_>) {
        let PageView { actor, label, number, render, shown, answer, .. } = sight;
        let allowed = cacheable(answer.field("cache-control"));
        let age_s = (self.now - render.began_ms) / 1000;
        let left = shown.period_s.map_or(NEVER_S, |period| match self.history.clocks_differ {
            true => period.into(),
            false => u64::from(period).saturating_sub(age_s).max(1),
        });
        let most = if *label == "STALE" { 1 } else { left };
        if allowed.fresh_s > most || (*label == "STALE" && allowed.stale_s > 1) {
            let control = answer.field("cache-control");
            let what =
                format!("#{actor}: {label} r{number} of {shown:?}, {age_s} s old, may be kept for {control}");
            self.breaks(8, what);
        }
    }

    /// 8: a page that was older than its period when its visitor came does not count as fresh.
    fn is_as_fresh_as_told(&mut self, sight: &PageView<'_>) {
        let PageView { actor, visit, label, number, render, shown, .. } = sight;
        let age_ms = visit.began_ms.saturating_sub(render.began_ms);
        let old = shown.period_s.is_some_and(|period| age_ms >= 1_000 * u64::from(period));
        if *label == "HIT" && old && !self.history.clocks_differ {
            let what = format!("#{actor}: r{number} of {shown:?} counts as fresh, {age_ms} ms old");
            self.breaks(8, what);
        }
    }

    /// 1: what somebody was shown before this visitor came is not newer.
    fn never_older(&mut self, sight: &PageView<'_>) {
        let PageView { actor, visit, number, render, .. } = sight;
        if render.committed.as_ref() != Some(&visit.place) {
            return;
        }
        let moment = self.number();
        let seen = self.history.seen.entry(visit.place.clone()).or_default();
        let newest = seen.iter().filter(|(at, _)| *at < visit.began).map(|(_, ticket)| *ticket).max();
        if seen.iter().all(|(_, ticket)| *ticket < render.ticket) {
            seen.push((moment, render.ticket));
        }
        if let Some(newest) = newest.filter(|newest: &Ticket| render.ticket < *newest) {
            let what = format!(
                "#{actor} is shown r{number}, generation {} of {}, after {newest}",
                render.ticket, visit.path
            );
            self.breaks(1, what);
        }
    }

    /// 2 and 6: what was acknowledged before this visitor came has been heard of; and what was deleted is gone, whichever
    /// build has rendered it. Nothing counts as fresh because a store did not answer; but a page that was deleted by a
    /// tag is gone only for those who can read that tag.
    fn is_new_enough(&mut self, sight: &PageView<'_>) {
        let PageView { actor, visit, label, number, fetched, version, shown, answer, .. } = sight;
        // A first visitor's answer may be kept for as long as any: it counts as fresh as well.
        let fresh = *label == "HIT" || cacheable(answer.field("cache-control")).fresh_s > 1;
        let tags = tags_of(&visit.place.1, shown);
        let told = self.history.invalidations.iter().filter(|i| {
            i.acknowledged.is_some_and(|at| at < visit.began) && *fetched < i.began && tags.contains(&i.tag)
        });
        let mut broken = None;
        for told in told {
            let is_page = told.path.as_ref() == Some(&visit.path) && visit.query.is_empty();
            let must = match told.aim {
                _ if visit.faulted => false,
                Aim::Shown => is_page && told.build == visit.build,
                Aim::Deleted => !visit.unchecked,
                Aim::Stale => false,
            };
            if fresh && self.history.settled {
                // Whatever has died since: what was acknowledged is shown, or tried again.
                broken = Some((6, told.clone()));
            } else if fresh {
                broken = Some((if told.build == visit.build { 2 } else { 10 }, told.clone()));
            } else if must {
                broken = Some((6, told.clone()));
            }
        }
        if let Some((invariant, told)) = broken {
            let what = format!(
                "#{actor} is shown r{number} of v{version} of {} as {label} after {told:?}",
                visit.path
            );
            self.breaks(invariant, what);
        }
    }
}

fn same_json(a: &str, b: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    read(a).is_some() && read(a) == read(b)
}
