//! `webhook`: what a publisher's payload would do, by the site's rules.

use std::path::PathBuf;
use std::process::ExitCode;

use ::revalidate::ENDPOINT;
use ::revalidate::mapped::{Mapped, mapped};
use ::revalidate::plan::{Asked, Plan, pages, plan};
use ::revalidate::webhook::unverified;
use anyhow::{Context as _, Result, anyhow};
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request};
use perennial::webhooks::Provider;
use serde_json::json;

use crate::{Program, say};

/// Which payload.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File with the payload: only say what it would do
    #[arg(long, value_name = "FILE", required = true)]
    dry_run: PathBuf,
    /// A field that comes with it, like 'X-GitHub-Event: push' (repeatable)
    #[arg(long, short = 'H', value_name = "FIELD")]
    header: Vec<String>,
    /// Whose it is, where none of the fields tells
    #[arg(long, value_parser = Provider::ALL.map(Provider::as_str))]
    provider: Option<String>,
}

/// Prints the rules that count, why the others do not, and the resulting call; fails if none counts.
pub(crate) fn run(program: &Program, args: &Args) -> Result<ExitCode> {
    let file = args.dry_run.display();
    let body = std::fs::read(&args.dry_run).with_context(|| format!("cannot read {file}"))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = ENDPOINT.parse()?;
    for field in &args.header {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        let name: HeaderName = name.trim().parse().with_context(|| format!("`{field}` is no field"))?;
        let value: HeaderValue = value.trim().parse().with_context(|| format!("`{field}` is no field"))?;
        request.headers_mut().append(name, value);
    }
    let request = request.into_parts().0;
    let (site, limits) = (&program.site, &program.settings.limits);
    let (payload, over) = match plan(&request, &body, site, limits) {
        Ok(Asked::Payload(payload, over)) => (payload, over),
        Ok(Asked::Plan(plan)) => {
            say(format_args!("it is a call as it stands, and no rule is asked"));
            show(program, &[plan]);
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) if site.webhooks().is_empty() => {
            return Err(anyhow!("the site has no rules (`Site::webhooks`, PERENNIAL_WEBHOOKS), and {error}"));
        }
        Err(error) => return Err(anyhow!("{file}: {error}")),
    };
    let mut delivery = unverified(&request.headers);
    let named = Provider::ALL.into_iter().find(|p| Some(p.as_str()) == args.provider.as_deref());
    delivery.provider = named.unwrap_or(delivery.provider);
    say(format_args!("payload of {}", delivery.provider.as_str()));
    let mapped =
        mapped(site, limits, &delivery, &request.headers, &payload, over).map_err(anyhow::Error::msg)?;
    explain(&mapped);
    if mapped.plans.is_empty() {
        say(format_args!("nothing matched"));
        return Ok(ExitCode::FAILURE);
    }
    show(program, &mapped.plans);
    Ok(ExitCode::SUCCESS)
}

fn explain(mapped: &Mapped<'_>) {
    for read in &mapped.rules {
        match &read.result {
            Ok(_) => say(format_args!("  counts: {}", read.rule)),
            Err(unfit) => {
                let found = unfit.found.as_ref().map_or_else(String::new, |found| format!("; found {found}"));
                say(format_args!("  does not: {}: {unfit}{found}", read.rule));
            }
        }
    }
    for left_out in &mapped.left_out {
        say(format_args!("  left out: {left_out}"));
    }
}

/// Each call as the endpoint takes it, and the route of each path.
fn show(program: &Program, plans: &[Plan]) {
    for plan in plans {
        for path in &plan.paths {
            let found = pages(path, &program.site, &program.settings.limits).ok();
            let route =
                found.as_ref().and_then(|pages| pages.first()).map_or("no route", |page| page.key().route());
            say(format_args!("{:6}  {path}  (a page of {route})", plan.mode.as_str()));
        }
        for tag in &plan.tags {
            say(format_args!("{:6}  pages with {tag}", plan.mode.as_str()));
        }
        let with =
            |kind: &str| -> Vec<&str> { plan.tags.iter().filter_map(|tag| tag.strip_prefix(kind)).collect() };
        let mut call = json!({"mode": plan.mode.as_str(), "paths": plan.paths, "tags": with("tag:")});
        if plan.only_generated {
            call["only_generated"] = true.into();
        }
        if !with("route:").is_empty() {
            call["routes"] = with("route:").into();
        }
        if plan.tags.iter().any(|tag| tag == perennial::tags::SITE_TAG) {
            call["site"] = true.into();
        }
        say(format_args!("{call}"));
    }
}
