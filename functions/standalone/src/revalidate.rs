//! The command `revalidate`: calls the revalidate endpoint of a running server.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use perennial_core::base::clock::{Clock as _, Millis, SystemClock};
use perennial_core::base::rfc3339::to_rfc3339;
use perennial_core::base::text::{Written, counted};
use perennial_core::publish::carriers::Uncarried;
use perennial_core::stores::embedded::secret::secret_file;
use perennial_core::webhooks::secret::Secret;
use serde_json::{Value, json};

use crate::program::{Program, say};
use crate::remote::Address;

/// The pause between two progress requests of `--wait`.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// What to revalidate.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Paths of pages
    paths: Vec<String>,
    /// Pages that carry this tag
    #[arg(long)]
    tag: Vec<String>,
    /// Pages of this route, named by its pattern
    #[arg(long)]
    route: Option<String>,
    /// All pages
    #[arg(long)]
    site: bool,
    /// now: render, then answer; stale: the next visitor has it renewed; delete: gone at once
    #[arg(long, default_value = "now", value_parser = ["now", "stale", "delete"])]
    mode: String,
    /// Leave pages alone that nobody has generated
    #[arg(long)]
    only_generated: bool,
    /// When, like 2026-11-23T09:00:00Z; without it: now
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
    /// Render the pages once more after as many seconds; only a change is then published
    #[arg(long, value_name = "SECONDS", value_parser = <u32 as Written>::read)]
    look_again_after: Option<u32>,
    /// How far the renewal with this id is, instead of starting one
    #[arg(long, value_name = "ID", conflicts_with_all = ["paths", "tag", "route", "site"])]
    progress: Option<String>,
    /// Show how far the renewal is until it has ended
    #[arg(long)]
    wait: bool,
    /// URL of the server, with its base path, or where it listens [default: PERENNIAL_LISTEN]
    #[arg(long, value_name = "URL", value_parser = Address::read)]
    server: Option<Address>,
}

pub(crate) async fn run(program: &Program, args: Args) -> Result<ExitCode> {
    let server = Server::of(program, args.server.clone())?;
    if let Some(id) = &args.progress {
        return if args.wait {
            server.wait(id).await
        } else {
            server.show(Method::GET, id, String::new()).await
        };
    }
    let call = call(&args).to_string();
    if !args.wait {
        return server.show(Method::POST, "", call).await;
    }
    let (status, answer) = server.ask(Method::POST, "", call).await?;
    say(format_args!("{}", answer.trim_end()));
    let answer: Option<Value> = serde_json::from_str(&answer).ok();
    match answer.as_ref().map(|answer| &answer["id"]).filter(|_| status.is_success()) {
        Some(Value::Null) | None => Ok(exit_code(status.is_success())),
        Some(Value::String(id)) => server.wait(id).await,
        Some(id) => server.wait(&id.to_string()).await,
    }
}

fn call(args: &Args) -> Value {
    let mut call = json!({
        "paths": args.paths, "tags": args.tag, "site": args.site, "mode": args.mode, "only_generated": args.only_generated,
    });
    if let Some(route) = &args.route {
        call["route"] = route.as_str().into();
    }
    if let Some(at) = &args.at {
        call["at"] = at.as_str().into();
    }
    if let Some(seconds) = args.look_again_after {
        call["look_again_after"] = seconds.into();
    }
    call
}

fn exit_code(is_success: bool) -> ExitCode {
    if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A running server, and the secret for its endpoint.
struct Server {
    address: Address,
    authorization: HeaderValue,
}

impl Server {
    fn of(program: &Program, address: Option<Address>) -> Result<Self> {
        let secret = secret(program)?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {secret}"))
            .context("the secret cannot be sent in a header")?;
        authorization.set_sensitive(true);
        let address = address.unwrap_or_else(|| Address::of(program.settings.listen));
        Ok(Self { address, authorization })
    }

    /// Sends a request to the endpoint, or to the path `subpath` below it. Returns the status and the body.
    async fn ask(&self, method: Method, subpath: &str, body: String) -> Result<(StatusCode, String)> {
        let request = Request::builder()
            .method(method)
            .uri(self.address.target(subpath))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.address.send(request).await
    }

    async fn show(&self, method: Method, subpath: &str, body: String) -> Result<ExitCode> {
        let (status, answer) = self.ask(method, subpath, body).await?;
        say(format_args!("{}", answer.trim_end()));
        Ok(exit_code(status.is_success()))
    }

    /// Prints the progress of a publish until it has ended. Succeeds if all of the publish is done.
    async fn wait(&self, id: &str) -> Result<ExitCode> {
        let mut shown = String::new();
        loop {
            let (status, answer) = self.ask(Method::GET, id, String::new()).await?;
            let progress: Value = match serde_json::from_str(&answer) {
                Ok(progress) if status.is_success() => progress,
                Ok(refused) if status == StatusCode::NOT_FOUND => {
                    bail!("{}", refused["message"].as_str().unwrap_or("no such publish is known"))
                }
                _ => bail!("the server does not tell how far {id} is: {status} {}", answer.trim_end()),
            };
            let line = line(&progress);
            if line != shown {
                say(format_args!("{line}"));
                shown = line;
            }
            if progress["ended"] == true {
                print_end(&progress);
                return Ok(exit_code(progress["done"] == true));
            }
            SystemClock.sleep(POLL_PAUSE).await;
        }
    }
}

/// Prints the failed pages and the unknown tags of a publish that has ended.
fn print_end(progress: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let failures = progress["failures"].as_array().map_or(&[][..], Vec::as_slice);
    for failure in failures {
        say(format_args!("failed: {}: {}", failure["path"], failure["error"]));
    }
    let failing = progress["failing"].as_u64().unwrap_or(0);
    let unnamed = failing.saturating_sub(failures.len() as u64);
    if unnamed > 0 {
        say(format_args!("failed: {unnamed} more"));
    }
    for unknown in progress["unknown_tags"].as_array().into_iter().flatten() {
        let nearest = unknown["nearest"].as_array().into_iter().flatten().map(text).collect();
        say(format_args!("{}", Uncarried { tag: text(&unknown["tag"]), nearest }));
    }
}

/// `40 renewed, 1 failed, 3 left (1 failing) of 43 pages, 8.2 a second`.
fn line(progress: &Value) -> String {
    let at_least = if progress["left_is"] == "exact" { "" } else { "at least " };
    let total = progress["total"].as_u64();
    // `renewed` counts renders by the queue, with a delay. `total - left` also counts renders that visitors have caused.
    let renewed = match (total, progress["left"].as_u64()) {
        (Some(total), Some(left)) => total.saturating_sub(left).into(),
        _ => progress["renewed"].clone(),
    };
    let mut line = format!(
        "{renewed} renewed, {} failed, {at_least}{} left ({} failing)",
        progress["failed"], progress["left"], progress["failing"]
    );
    if let Some(total) = total {
        line.push_str(&format!(" of {at_least}{}", counted(total, "page")));
    }
    if let Some(removed) = progress["removed"].as_u64() {
        line = format!("{removed} removed, {at_least}{} left", progress["left"]);
    }
    if let Some(rate) = progress["per_second"].as_f64() {
        line.push_str(&format!(", {rate} a second"));
    }
    for waiting in progress["waiting"].as_array().into_iter().flatten() {
        let until = waiting["until_ms"].as_u64().map(|ms| to_rfc3339(Millis(ms))).unwrap_or_default();
        line.push_str(&format!("; {} waits for its upstream until {until}", waiting["route"]));
    }
    if progress["left_to_visitors"] == true {
        line.push_str("; the rest is left to visitors");
    }
    line
}

fn secret(program: &Program) -> Result<String> {
    let given = &program.settings.revalidate_secrets;
    let mut passwords =
        given.iter().filter_map(|secret| Secret::parse(secret).ok()).filter(Secret::is_password);
    match passwords.next() {
        Some(secret) => return Ok(secret.text().to_owned()),
        None if given.is_empty() => {}
        None => bail!(
            "PERENNIAL_REVALIDATE_SECRETS holds only secrets that publishers sign with: add one for calls, as `secret:…`"
        ),
    }
    let file = secret_file(&program.settings.store);
    match std::fs::read_to_string(&file) {
        Ok(secret) => Ok(secret.trim().to_owned()),
        Err(error) => bail!(
            "no secret: set PERENNIAL_REVALIDATE_SECRETS as the server has it, or run this where its store is ({}: {error})",
            file.display()
        ),
    }
}
