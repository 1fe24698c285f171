//! `revalidate`: a call of a running server's endpoint.

use std::process::ExitCode;

use ::revalidate::ENDPOINT;
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use perennial::embedded::secret_file;
use serde_json::json;
use tokio::net::TcpStream;

use crate::{Program, say};

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
    /// How far the renewal with this id is, instead of starting one
    #[arg(long, value_name = "ID", conflicts_with_all = ["paths", "tag", "route", "site"])]
    progress: Option<u64>,
    /// Where the server listens [default: PERENNIAL_LISTEN]
    #[arg(long)]
    server: Option<std::net::SocketAddr>,
}

pub(crate) async fn run(program: &Program, args: Args) -> Result<ExitCode> {
    let address = args.server.unwrap_or(program.settings.listen);
    let secret = secret(program)?;
    let mut call = json!({
        "paths": args.paths, "tags": args.tag, "site": args.site, "mode": args.mode, "only_generated": args.only_generated,
    });
    if let Some(route) = args.route {
        call["route"] = route.into();
    }
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {secret}")).context("the secret cannot be sent in a header")?;
    authorization.set_sensitive(true);
    let (method, target, body) = match args.progress {
        Some(id) => (Method::GET, format!("{ENDPOINT}/{id}"), String::new()),
        None => (Method::POST, ENDPOINT.to_owned(), call.to_string()),
    };
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("no server at {address}; start one, or name its address with --server"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    say(format_args!("{}", String::from_utf8_lossy(&body).trim_end()));
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn secret(program: &Program) -> Result<String> {
    if let Some(secret) = program.settings.revalidate_secrets.first() {
        return Ok(secret.clone());
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
