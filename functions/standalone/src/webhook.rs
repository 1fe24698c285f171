//! `webhook`: shows what the site's rules make of a publisher's payload, and what the endpoint would answer.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request};
use perennial_core::base::clock::{Clock as _, SystemClock};
use perennial_core::webhooks::outcome::RuleOutcome;
use perennial_core::webhooks::providers;
use perennial_revalidate::ENDPOINT;
use perennial_revalidate::decide::{NOTHING_MATCHED, PlannedPublish, Refused, decide};
use perennial_revalidate::delivery::Delivery;
use perennial_revalidate::paths::pages;
use perennial_revalidate::payload_plans::PayloadPlans;
use serde_json::json;

use crate::program::{Program, say};

/// The most elements of a list that are shown for one rule.
const ELEMENTS_SHOWN_MAX: usize = 20;

/// The arguments of `webhook`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File with the payload; shows what the payload would do, and does nothing
    #[arg(long, value_name = "FILE", required = true)]
    dry_run: PathBuf,
    /// Header field of the request, like 'X-GitHub-Event: push' (repeatable)
    #[arg(long, short = 'H', value_name = "FIELD")]
    header: Vec<String>,
    /// Query of the request's URL, like 'rules=true&mode=stale'
    #[arg(long, short = 'q', default_value = "")]
    query: String,
    /// Sender of the payload, if no header field tells the sender
    #[arg(long, value_parser = providers::all().map(|provider| provider.name).collect::<Vec<_>>())]
    provider: Option<String>,
}

/// Prints the rules that count, why the others do not, the resulting calls, and the endpoint's answer. Fails if the endpoint
/// would do nothing.
pub(crate) fn run(program: &Program, args: &Args) -> Result<ExitCode> {
    let file = args.dry_run.display();
    let body = std::fs::read(&args.dry_run).with_context(|| format!("cannot read {file}"))?;
    let request = request(args)?;
    let mut delivery = Delivery::unverified(&request.headers);
    let named = args.provider.as_deref().and_then(providers::by_name);
    delivery.provider = named.unwrap_or(delivery.provider);
    let (site, limits) = (&program.site, &program.settings.limits);
    let decided = match decide(&request, &body, &delivery, site, limits, SystemClock.now()) {
        Ok(decided) => decided,
        Err(Refused { status, message }) => {
            bail!("{file}: the answer would be {}: {message}", status.as_u16())
        }
    };
    match &decided.rules {
        None => say(format_args!("the request is a call, and no rule reads it")),
        Some(by_rules) => {
            say(format_args!("payload of {}", delivery.provider.name));
            explain(by_rules);
        }
    }
    show(program, &decided.publishes);
    let status = decided.status().as_u16();
    if decided.publishes.is_empty() {
        say(format_args!("the answer would be {status}: {NOTHING_MATCHED}"));
        return Ok(ExitCode::FAILURE);
    }
    say(format_args!("the answer would be {status}"));
    Ok(ExitCode::SUCCESS)
}

/// The request of the delivery.
fn request(args: &Args) -> Result<Parts> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    let address = format!("{ENDPOINT}?{}", args.query.trim_start_matches('?'));
    *request.uri_mut() =
        address.parse().with_context(|| format!("`{}` cannot be the query of a URL", args.query))?;
    for field in &args.header {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("`{field}` is no header field"))?;
        let value: HeaderValue =
            value.trim().parse().with_context(|| format!("`{field}` is no header field"))?;
        request.headers_mut().append(name, value);
    }
    Ok(request.into_parts().0)
}

fn explain(by_rules: &PayloadPlans<'_>) {
    for outcome in &by_rules.outcomes {
        match &outcome.result {
            Ok(_) => say(format_args!("  counts: {}", outcome.rule)),
            Err(mismatch) => {
                let found =
                    mismatch.found.as_ref().map_or_else(String::new, |found| format!("; found {found}"));
                say(format_args!("  does not count: {}: {mismatch}{found}", outcome.rule));
            }
        }
        show_passed_over(outcome);
    }
    for left_out in &by_rules.left_out {
        say(format_args!("  left out: {left_out}"));
    }
}

/// Prints the elements of a list for which a rule does not count.
fn show_passed_over(outcome: &RuleOutcome<'_>) {
    let passed = outcome.elements.iter().filter_map(|(place, mismatch)| Some((place, mismatch.as_ref()?)));
    for (place, mismatch) in passed.clone().take(ELEMENTS_SHOWN_MAX) {
        let found = mismatch.found.as_ref().map_or_else(String::new, |found| format!("; found {found}"));
        say(format_args!("    passes over {place}: {mismatch}{found}"));
    }
    if let more @ 1.. = passed.count().saturating_sub(ELEMENTS_SHOWN_MAX) {
        say(format_args!("    and over {more} more"));
    }
}

/// Prints each call in the endpoint's JSON, and the route of each path.
fn show(program: &Program, publishes: &[PlannedPublish]) {
    for PlannedPublish { request, .. } in publishes {
        let mode = request.mode.as_str();
        for path in request.paths.iter().map(|requested| &requested.path) {
            let found = pages(path, &program.site, &program.settings.limits).ok();
            let route =
                found.as_ref().and_then(|pages| pages.first()).map_or("no route", |page| page.key().route());
            say(format_args!("{mode:6}  {path}  (a page of {route})"));
        }
        for tag in &request.tags {
            say(format_args!("{mode:6}  pages with {tag}"));
        }
        let with = |kind: &str| -> Vec<&str> {
            request.tags.iter().filter_map(|tag| tag.strip_prefix(kind)).collect()
        };
        let paths: Vec<_> = request.paths.iter().map(|requested| &requested.path).collect();
        let mut call = json!({"mode": mode, "paths": paths, "tags": with("tag:")});
        if request.only_generated {
            call["only_generated"] = true.into();
        }
        if !with("route:").is_empty() {
            call["routes"] = with("route:").into();
        }
        if request.tags.iter().any(|tag| tag == perennial_core::key::tags::SITE_TAG) {
            call["site"] = true.into();
        }
        say(format_args!("{call}"));
    }
}
