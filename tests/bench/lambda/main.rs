//! The benchmark of the serve function as it is deployed: how long it takes to start, to answer its first visitor and
//! every later one, and what it weighs; beside a function that does nothing, and one that reads a page with the AWS
//! SDK as it comes. All over TLS, in one run, on one processor: `tests/run lambda-bench`.
//!
//! Judged are the parts that serve takes of the plain function's times, in turns, and its sizes. A start is judged by its
//! time on the processor, which a busy machine does not change.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a program that measures: it reads the machine's clock and prints"
)]

mod aws;
mod function;
mod report;
mod runtime_api;

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::json;
use tests::Aws;

use aws::Replay;
use function::Function;
use report::Measured;

const USAGE: &str = "lambda-bench PROGRAMS [--rounds 7] [--cold 10] [--warm 2000]
PROGRAMS: the folder of noop_function, plain_function and serve, built as they are deployed. In each round each function
starts `cold` times, and its last process answers `warm` visitors.";

/// How much is measured.
pub(crate) struct Load {
    programs: PathBuf,
    rounds: usize,
    cold: usize,
    warm: usize,
}

/// A page of the demo site, of a weight that pages have; brotli makes it small enough to be kept beside its record.
const PATH: &str = "/guides/routes-and-pages";

/// What AWS's endpoints lead to, as the library has it compiled in.
const AMAZON_ROOTS: &str = "shared/core/src/stores/aws/roots.pem";

/// The roots of a Linux system, here and on Amazon's.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// One task at a time: the runtime API and AWS take turns on the processor with the function.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let load = options()?;
    let workplace = root().join("target/lambda-bench");
    let _ = std::fs::remove_dir_all(&workplace);
    std::fs::create_dir_all(&workplace).map_err(|e| format!("cannot make {}: {e}", workplace.display()))?;
    let aws = Aws::start().await;
    let replay = Replay::start(&aws).await;
    let functions = functions(&load, &workplace, &aws, &replay);
    let mut measured = functions.each_ref().map(|function| Measured { function, rounds: Vec::new() });
    let event = function::event(PATH);
    for round in 0..load.rounds {
        // A build of its own, so that the page is fresh throughout the round.
        let build = format!("round-{round}");
        let page = functions[2].render(&build, &event).await;
        put_plainly(&aws, &page).await;
        let expected = ["ok", &page, &page];
        for at in 0..functions.len() {
            // None is always the first: the machine may be getting busier.
            let at = (at + round) % functions.len();
            let costs = functions[at].measure(&build, &event, expected[at], &load).await;
            measured[at].rounds.push(costs);
        }
        if round == 0 {
            println!(
                "a page of {} bytes; {} rounds of {} starts and {} answers each\n",
                page.len(),
                load.rounds,
                load.cold,
                load.warm
            );
        }
    }
    report::print_and_judge(&measured)
}

/// The function that does nothing, the plain one, and serve.
fn functions(load: &Load, workplace: &Path, aws: &Aws, replay: &Replay) -> [Function; 3] {
    // Both have to look through as many roots as they do on Lambda.
    let roots = |name: &str, among: &Path| {
        let file = workplace.join(name);
        let others = std::fs::read_to_string(among).unwrap_or_else(|e| panic!("{}: {e}", among.display()));
        std::fs::write(&file, format!("{others}\n{}", replay.root)).expect("a writable folder");
        file.display().to_string()
    };
    let system =
        SYSTEM_ROOTS.map(Path::new).into_iter().find(|file| file.exists()).expect("the system has roots");
    let function = |name: &'static str, program: &str, own: Vec<(&'static str, String)>| {
        let lambda = [
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/measured"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "measured"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", &replay.url),
        ];
        let lambda = lambda.map(|(name, value)| (name, value.to_owned()));
        // A role's token is about as long.
        let token = ("AWS_SESSION_TOKEN", "t".repeat(800));
        let env = lambda.into_iter().chain([token]).chain(own).collect();
        let log = workplace.join(format!("{name}.log"));
        Function { name, program: load.programs.join(program).join("bootstrap"), env, log }
    };
    let plain = vec![
        ("SSL_CERT_FILE", roots("system.pem", system)),
        ("TABLE", aws.table.clone()),
        ("BUCKET", aws.bucket.clone()),
    ];
    let serve = vec![
        ("AWS_CA_BUNDLE", roots("amazon.pem", &root().join(AMAZON_ROOTS))),
        ("PERENNIAL_TABLE", aws.table.clone()),
        ("PERENNIAL_BUCKET", aws.bucket.clone()),
        ("PERENNIAL_QUEUE_URL", aws.queue_url.clone()),
        (
            "PERENNIAL_REVALIDATE_SECRETS_FROM",
            "arn:aws:secretsmanager:us-east-1:000000000000:secret:s".into(),
        ),
        ("PERENNIAL_SITE_CONTENT", root().join("shared/site/content").display().to_string()),
        ("RUST_LOG", "info".into()),
    ];
    [
        function("no-op", "noop_function", vec![]),
        function("plain", "plain_function", plain),
        function("serve", "serve", serve),
    ]
}

/// Stores a page for the plain function.
async fn put_plainly(aws: &Aws, page: &str) {
    let text = |text: &str| json!({ "S": text });
    let item = json!({
        "pk": text(PATH), "sk": text("plain"), "object": text("plain.html"), "etag": text("\"5d41402abc4b2a76\""),
        "revalidate_at": { "N": "1767225600" }, "status": { "N": "200" },
    });
    aws.json("DynamoDB_20120810.PutItem", &json!({ "TableName": aws.table, "Item": item })).await;
    let put = aws.rest(Method::PUT, &format!("/{}/plain.html", aws.bucket), page.to_owned()).await;
    assert_eq!(put.status, 200, "{}", put.text());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate has a parent folder")
}

fn options() -> Result<Load, String> {
    let mut args = std::env::args().skip(1);
    let programs = args.next().filter(|text| !text.starts_with('-')).ok_or(USAGE)?.into();
    let mut load = Load { programs, rounds: 7, cold: 10, warm: 2000 };
    while let Some(name) = args.next() {
        let field = match name.as_str() {
            "--rounds" => &mut load.rounds,
            "--cold" => &mut load.cold,
            "--warm" => &mut load.warm,
            _ => return Err(USAGE.into()),
        };
        *field = args
            .next()
            .and_then(|text| text.parse().ok())
            .filter(|n| (1..=100_000).contains(n))
            .ok_or(USAGE)?;
    }
    Ok(load)
}
