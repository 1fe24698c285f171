//! Settings: read once at the start, from a lookup, and refused by name.

mod reader;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reader::{Above, Reader};

use crate::memory::keeps;
use crate::record::BodyRef;
use crate::written::{Written, read_own};

/// Every limit and choice of a deployment. Each field names the variable it is read from and its default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `BUILD_ID` (`dev-build`): which build's pages are shown and made. Letters, digits, `.`, `_`, `-`; at most 64.
    pub build_id: Arc<str>,
    /// `PERENNIAL_STORE` (`.perennial`): folder of the embedded store.
    pub store: PathBuf,
    /// `PERENNIAL_LISTEN` (`127.0.0.1:3000`): where the standalone server listens.
    pub listen: SocketAddr,
    /// `PERENNIAL_BASE_PATH` (the site's own): the path before every page's, like `/docs`.
    pub base_path: Option<String>,
    /// `PERENNIAL_TRAILING_SLASH` (the site's own): `true` or `false`.
    pub trailing_slash: Option<bool>,
    /// `PERENNIAL_REVALIDATE_SECRETS` (none): who may call the revalidate endpoint; comma-separated, all live.
    pub revalidate_secrets: Vec<String>,
    /// `PERENNIAL_REVALIDATE_SECRETS_FROM` (none): ARN of the Secrets Manager secret, or of the SSM parameter, that holds
    /// those secrets instead, all live, comma-separated.
    pub revalidate_secrets_from: Option<String>,
    /// `PERENNIAL_WEBHOOKS` (the site's own): file of the rules that say which pages change with a publisher's payload.
    pub webhooks: Option<PathBuf>,
    /// The stores of an AWS account; none: the embedded store.
    pub aws: Option<Aws>,
    /// Whether the process is a function of AWS Lambda itself, not of an emulator: `AWS_LAMBDA_INITIALIZATION_TYPE`
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>) is given.
    pub on_lambda: bool,
    /// Limits.
    pub limits: Limits,
}

/// Where the stores of an AWS account are, and how to reach them.
#[derive(Clone, Debug)]
pub struct Aws {
    /// `PERENNIAL_TABLE` (none): DynamoDB table of records, leases and epochs. Asks for the bucket and the queue as well.
    pub table: String,
    /// `PERENNIAL_BUCKET` (none): S3 bucket of bodies.
    pub bucket: String,
    /// `PERENNIAL_QUEUE_URL` (none): SQS queue of jobs.
    pub queue_url: String,
    /// `PERENNIAL_DISTRIBUTION` (none): id of the CloudFront distribution in front.
    pub distribution: Option<String>,
    /// `PERENNIAL_DISTRIBUTION_FROM` (none): name of the SSM parameter that holds that id instead.
    pub distribution_from: Option<String>,
    /// `PERENNIAL_EDGE_PURGE` (`tags`): how the distribution is told what changed: by cache `tags`, by `paths`, or `off`.
    pub edge_purge: EdgePurge,
    /// `PERENNIAL_MAX_PURGES` (100): tags or paths named in one order to the distribution; more make it one for the whole
    /// site.
    pub max_purges: usize,
    /// `PERENNIAL_EDGE_WINDOW_MS` (250): so long after an order to the distribution began, the next one of this process
    /// begins at the earliest, and has what is asked for meanwhile; 65535 at most. CloudFront bills each item of an order, and
    /// takes seconds to carry one out: a quarter of a second more is hardly seen, and a burst is four orders a second.
    pub edge_window: Duration,
    /// `AWS_REGION`, as Lambda gives it.
    pub region: String,
    /// `AWS_ENDPOINT_URL` (none): instead of AWS's own endpoints.
    pub endpoint_url: Option<String>,
    /// `AWS_CA_BUNDLE` (none): PEM file of the only roots to trust, instead of those compiled in.
    pub ca_bundle: Option<PathBuf>,
    /// The keys.
    pub credentials: AwsCredentials,
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, as Lambda gives them. They stay valid for the
/// life of a Lambda process.
#[derive(Clone)]
pub struct AwsCredentials {
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The token of temporary keys.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// How a CloudFront distribution is told what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePurge {
    /// Invalidation by cache tag: one item a tag, whatever number of pages carry it.
    Tags,
    /// Invalidation by path: single pages by their path, everything else by all paths.
    Paths,
    /// Not at all: the distribution finds out when its copy gets old.
    Off,
}

impl FromStr for EdgePurge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tags" => Ok(Self::Tags),
            "paths" => Ok(Self::Paths),
            "off" => Ok(Self::Off),
            _ => Err("must be `tags`, `paths` or `off`"),
        }
    }
}

impl Written for EdgePurge {
    fn read(text: &str) -> Result<Self, String> {
        read_own(text)
    }
}

/// What is bounded, and by how much.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `PERENNIAL_MEMORY_CACHE_BYTES` (52428800): memory for pages; 0 turns the memory cache off.
    pub memory_cache_bytes: u64,
    /// `PERENNIAL_RENDER_TIMEOUT_MS` (30000): time for one render.
    pub render_timeout: Duration,
    /// `PERENNIAL_MAX_CONCURRENT_RENDERS` (8): renders at once in this process; on-demand ones have as many of their own,
    /// so that hung pages cannot hold up a publisher.
    pub max_concurrent_renders: usize,
    /// `PERENNIAL_LEASE_MS` (10000): how long a page waits for a renderer that died. Living ones extend their lease.
    pub lease: Duration,
    /// `PERENNIAL_MAX_WAIT_MS` (60000): how long a visitor waits for a page that others render, queue included.
    pub max_wait: Duration,
    /// `PERENNIAL_MAX_WAITING_VISITORS` (1000): visitors of one process who wait for renders; more get 503.
    pub max_waiting_visitors: usize,
    /// `PERENNIAL_MAX_BODY_BYTES` (16777216): HTML or data of one page.
    pub max_body_bytes: usize,
    /// `PERENNIAL_STREAM_BODY_BYTES` (1048576): larger stored bodies are passed on to visitors as they are read, instead of
    /// being loaded whole; `off` loads all. On Lambda the default is `off`: a function that is given a number streams all
    /// its answers, and its URL must have the `InvokeMode` `RESPONSE_STREAM`.
    pub stream_body_bytes: Option<u64>,
    /// `PERENNIAL_INLINE_BODY_BYTES` (8192): compressed bodies up to this size are kept beside their record in DynamoDB
    /// as well as in S3, so that a hit is one round trip; 0 keeps none. The embedded store has no use for it.
    pub inline_body_bytes: usize,
    /// `PERENNIAL_MAX_PATH_BYTES` (4096): a request's path; longer ones get 414.
    pub max_path_bytes: usize,
    /// `PERENNIAL_MAX_HEADER_BYTES` (16384): a request's header fields together; more get 431.
    pub max_header_bytes: usize,
    /// `PERENNIAL_MAX_CONNECTIONS` (10000): connections to the standalone server at once; more wait to be accepted.
    pub max_connections: usize,
    /// `PERENNIAL_STREAM_MEMORY_BYTES` (41943040): memory of all answers together whose body is passed on as it is read. A
    /// visitor who takes brotli needs about 400 kB of it, any other 1.5 MB, to decompress (5 MB for bodies of earlier
    /// versions). More wait for two seconds, and get 503.
    pub stream_memory_bytes: u64,
    /// `PERENNIAL_HEAD_MEMORY_BYTES` (8388608): memory of all connections to the standalone server together for request
    /// heads that have not come at once: 24 kB each, and more for long ones. More are read once others have ended.
    pub head_memory_bytes: u64,
    /// `PERENNIAL_UNVERIFIED_MEMORY_BYTES` (8388608): memory of all bodies together that the standalone server reads
    /// before it knows whether their signature is right. More wait for two seconds, and get 503.
    pub unverified_memory_bytes: u64,
    /// `PERENNIAL_HEAD_TIMEOUT_MS` (10000): time for a request's head to arrive, and for a webhook's body.
    pub head_timeout: Duration,
    /// `PERENNIAL_SEND_TIMEOUT_MS` (30000): after so long without a byte taken, a client that does not read its answer
    /// loses its connection.
    pub send_timeout: Duration,
    /// `PERENNIAL_STORE_LOCK_WAIT_MS` (2000): how long a call of the embedded store waits for a lock that another process
    /// holds. After one that has waited in vain the others do not wait.
    pub store_lock_wait: Duration,
    /// `PERENNIAL_MAX_PAGE_HEADERS` (64): header fields that one page sets; 255 at most. With Perennial's own they stay below
    /// the hundred at which many HTTP libraries refuse an answer.
    pub max_page_headers: u8,
    /// `PERENNIAL_MAX_PAGE_HEADER_BYTES` (6144): those fields together, and where a redirect leads. CloudFront takes 20,480
    /// bytes of an answer's head (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>);
    /// the page's tags may need 12,900 of them, and Perennial's own fields the rest.
    pub max_page_header_bytes: usize,
    /// `PERENNIAL_MAX_TAGS` (250): tags that are kept of one page. A page with more is renewed with whatever tag is published.
    /// On DynamoDB each tag is a read unit of every hit, and a hundred are a round trip.
    pub max_tags: usize,
    /// `PERENNIAL_MAX_TAG_BYTES` (8192): one tag. A page with a longer one is renewed with whatever tag is published; a call
    /// that names one is refused.
    pub max_tag_bytes: usize,
    /// `PERENNIAL_MAX_STORED_NOT_FOUND` (10000): not-found results of first visits that are kept of one route;
    /// more are answered and forgotten, so that made-up paths cannot fill the store.
    pub max_stored_not_found: usize,
    /// `PERENNIAL_MAX_REVALIDATIONS` (100): paths and tags in one call of the revalidate endpoint.
    pub max_revalidations: usize,
    /// `PERENNIAL_MAX_RENEWALS` (10000): pages of one route that the queue renews after one invalidation of a tag, a route
    /// or the site, and ten times as many that it looks at. The others are renewed by their next visitors.
    pub max_renewals: u64,
    /// `PERENNIAL_MAX_WEBHOOK_BYTES` (262144): body of a call of the revalidate endpoint.
    pub max_webhook_bytes: usize,
    /// `PERENNIAL_PUBLISHES_KEPT_DAYS` (30): how long the journal tells of a publish. The embedded store keeps 10,000.
    pub publishes_kept: Duration,
    /// `PERENNIAL_MAX_LISTENERS` (32): open publishing pages that this process tells of changes as they happen; more look
    /// every few seconds, with 0 all do.
    pub max_listeners: usize,
    /// `PERENNIAL_EDGE_STALE_SECONDS` (86400): `stale-while-revalidate` for routes without `max_stale`.
    pub edge_stale_s: u32,
    /// `PERENNIAL_STORE_WAIT_MS` (3000): how long one visitor waits for stores on AWS, all calls of the visit together, before and
    /// beside a render. Then the page is shown from memory, or rendered.
    pub store_wait: Duration,
    /// `PERENNIAL_STORE_FAILURES` (3): after so many failures in a row (no answer, no connection, too many calls, an error
    /// of its own) a store is left alone: what is in memory is shown, the rest is rendered and not kept.
    pub store_failures: u32,
    /// `PERENNIAL_STORE_PAUSE_MS` (2000): so long; then one call tries it.
    pub store_pause: Duration,
    /// `PERENNIAL_MAX_STORE_RETRIES` (10): so often at once one process asks again for what DynamoDB has left unread of
    /// visitors' calls, and then once for ten calls that it has answered whole; 0 never. A page is answered without.
    pub max_store_retries: u32,
    /// `PERENNIAL_SHUTDOWN_GRACE_MS` (10000): time for running requests and renders after SIGTERM.
    pub shutdown_grace: Duration,
}

impl Default for Settings {
    /// What an empty environment gives.
    fn default() -> Self {
        Self::read(std::iter::empty()).expect("defaults are valid")
    }
}

/// Settings that cannot be used: every mistake, one a line.
#[derive(Debug, thiserror::Error)]
#[error("settings cannot be used:\n  {}", .0.join("\n  "))]
pub struct SettingsError(Vec<String>);

/// Whether a text may name a build: it becomes a part of the names of folders and objects.
pub(crate) fn is_build_id(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    !text.is_empty() && text.len() <= 64 && !text.starts_with('.') && plain
}

impl Settings {
    /// Reads the process's environment; the defaults stand in for variables that are unset.
    ///
    /// # Errors
    /// [`SettingsError`].
    #[allow(clippy::disallowed_methods, reason = "this is where settings are read, once")]
    pub fn from_env(defaults: &[(&str, &str)]) -> Result<Self, SettingsError> {
        let given: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .collect();
        let unset = defaults.iter().filter(|(name, _)| !given.iter().any(|(n, _)| n == name));
        let defaults: Vec<_> = unset.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self::read(given.into_iter().chain(defaults))
    }

    /// Reads settings from names and values. An empty value is none. Unknown names that begin with `PERENNIAL_` are errors, so that a
    /// misspelt setting does not silently mean its default; `PERENNIAL_SITE_…` names are the site's own.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn read(given: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let mut r = Reader::new(given.into_iter().collect());
        let build_id = r.text("BUILD_ID").unwrap_or_else(|| "dev-build".to_owned());
        if !is_build_id(&build_id) {
            r.errors.push(format!(
                "BUILD_ID is `{build_id}`: give 1 to 64 letters, digits, `.`, `_` or `-`, not beginning with `.`"
            ));
        }
        let store = PathBuf::from(r.text("PERENNIAL_STORE").unwrap_or_else(|| ".perennial".to_owned()));
        let listen = r.or("PERENNIAL_LISTEN", SocketAddr::from(([127, 0, 0, 1], 3000)));
        let base_path = r.text("PERENNIAL_BASE_PATH");
        let trailing_slash = r.optional("PERENNIAL_TRAILING_SLASH");
        let secrets = r.text("PERENNIAL_REVALIDATE_SECRETS");
        let revalidate_secrets: Vec<_> =
            secrets.iter().flat_map(|s| s.split(',')).map(|s| s.trim().to_owned()).collect();
        if revalidate_secrets.iter().any(String::is_empty) {
            r.errors.push("PERENNIAL_REVALIDATE_SECRETS holds an empty secret: give them separated by single commas, or unset it".into());
        }
        let on_lambda = r.text("AWS_LAMBDA_INITIALIZATION_TYPE").is_some();
        let revalidate_secrets_from = r.text("PERENNIAL_REVALIDATE_SECRETS_FROM");
        let webhooks = r.text("PERENNIAL_WEBHOOKS").map(PathBuf::from);
        let aws = Aws::read(&mut r);
        let limits = Limits::read(&mut r);
        r.end().map_err(SettingsError)?;
        let build_id = build_id.into();
        Ok(Self {
            build_id,
            store,
            listen,
            base_path,
            trailing_slash,
            revalidate_secrets,
            revalidate_secrets_from,
            webhooks,
            aws,
            on_lambda,
            limits,
        })
    }
}

impl Aws {
    fn read(r: &mut Reader) -> Option<Self> {
        let [table, bucket, queue_url] = AWS_STORES.map(|name| r.text(name));
        let aws = Self {
            bucket: r.with_table(&table, "PERENNIAL_BUCKET", bucket),
            queue_url: r.with_table(&table, "PERENNIAL_QUEUE_URL", queue_url),
            distribution: r.text("PERENNIAL_DISTRIBUTION"),
            distribution_from: r.text("PERENNIAL_DISTRIBUTION_FROM"),
            edge_purge: r.or("PERENNIAL_EDGE_PURGE", EdgePurge::Tags),
            max_purges: r.above_zero("PERENNIAL_MAX_PURGES", 100),
            edge_window: Duration::from_millis(r.or::<u16>("PERENNIAL_EDGE_WINDOW_MS", 250).into()),
            region: r.aws("AWS_REGION", &table),
            endpoint_url: r.text("AWS_ENDPOINT_URL"),
            ca_bundle: r.text("AWS_CA_BUNDLE").map(PathBuf::from),
            credentials: AwsCredentials {
                access_key_id: r.aws("AWS_ACCESS_KEY_ID", &table),
                secret_access_key: r.aws("AWS_SECRET_ACCESS_KEY", &table),
                session_token: r.text("AWS_SESSION_TOKEN"),
            },
            table: table.clone().unwrap_or_default(),
        };
        table.map(|_| aws)
    }
}

const AWS_STORES: [&str; 3] = ["PERENNIAL_TABLE", "PERENNIAL_BUCKET", "PERENNIAL_QUEUE_URL"];

impl Limits {
    /// Whether a stored body is passed on as it is read: it is large, or it would be once it is decompressed, and too
    /// large to be shared in memory by those who ask for it.
    pub fn passes_on(&self, body: &BodyRef) -> bool {
        let is_shared = || keeps(self.memory_cache_bytes, body);
        self.stream_body_bytes
            .is_some_and(|limit| body.stored_bytes > limit || (body.bytes > limit && !is_shared()))
    }

    fn read(r: &mut Reader) -> Self {
        // Whatever runs the function sets it: Lambda, or `cargo lambda watch`.
        let on_lambda = r.text("AWS_LAMBDA_RUNTIME_API").is_some();
        Self {
            memory_cache_bytes: r.or("PERENNIAL_MEMORY_CACHE_BYTES", 50 << 20),
            render_timeout: r.millis("PERENNIAL_RENDER_TIMEOUT_MS", 30_000),
            max_concurrent_renders: r.above_zero("PERENNIAL_MAX_CONCURRENT_RENDERS", 8),
            lease: r.millis("PERENNIAL_LEASE_MS", 10_000),
            max_wait: r.millis("PERENNIAL_MAX_WAIT_MS", 60_000),
            max_waiting_visitors: r.above_zero("PERENNIAL_MAX_WAITING_VISITORS", 1_000),
            max_body_bytes: r.above_zero("PERENNIAL_MAX_BODY_BYTES", 16 << 20),
            stream_body_bytes: r.or("PERENNIAL_STREAM_BODY_BYTES", Above((!on_lambda).then_some(1 << 20))).0,
            inline_body_bytes: r.or("PERENNIAL_INLINE_BODY_BYTES", 8 << 10),
            max_path_bytes: r.above_zero("PERENNIAL_MAX_PATH_BYTES", 4096),
            max_header_bytes: r.above_zero("PERENNIAL_MAX_HEADER_BYTES", 16 << 10),
            max_connections: r.above_zero("PERENNIAL_MAX_CONNECTIONS", 10_000),
            stream_memory_bytes: r.above_zero("PERENNIAL_STREAM_MEMORY_BYTES", 40 << 20),
            head_memory_bytes: r.above_zero("PERENNIAL_HEAD_MEMORY_BYTES", 8 << 20),
            unverified_memory_bytes: r.above_zero("PERENNIAL_UNVERIFIED_MEMORY_BYTES", 8 << 20),
            head_timeout: r.millis("PERENNIAL_HEAD_TIMEOUT_MS", 10_000),
            send_timeout: r.millis("PERENNIAL_SEND_TIMEOUT_MS", 30_000),
            store_lock_wait: r.millis("PERENNIAL_STORE_LOCK_WAIT_MS", 2_000),
            max_page_headers: r.above_zero("PERENNIAL_MAX_PAGE_HEADERS", 64),
            max_page_header_bytes: r.above_zero("PERENNIAL_MAX_PAGE_HEADER_BYTES", 6 << 10),
            max_tags: r.above_zero("PERENNIAL_MAX_TAGS", 250),
            max_tag_bytes: r.above_zero("PERENNIAL_MAX_TAG_BYTES", 8 << 10),
            max_stored_not_found: r.above_zero("PERENNIAL_MAX_STORED_NOT_FOUND", 10_000),
            max_revalidations: r.above_zero("PERENNIAL_MAX_REVALIDATIONS", 100),
            max_renewals: r.above_zero("PERENNIAL_MAX_RENEWALS", 10_000),
            max_webhook_bytes: r.above_zero("PERENNIAL_MAX_WEBHOOK_BYTES", 256 << 10),
            publishes_kept: Duration::from_secs(
                r.above_zero::<u32>("PERENNIAL_PUBLISHES_KEPT_DAYS", 30) as u64 * 86_400,
            ),
            max_listeners: r.or("PERENNIAL_MAX_LISTENERS", 32),
            edge_stale_s: r.or("PERENNIAL_EDGE_STALE_SECONDS", 86_400),
            store_wait: r.millis("PERENNIAL_STORE_WAIT_MS", 3_000),
            store_failures: r.above_zero("PERENNIAL_STORE_FAILURES", 3),
            store_pause: r.millis("PERENNIAL_STORE_PAUSE_MS", 2_000),
            max_store_retries: r.or("PERENNIAL_MAX_STORE_RETRIES", 10),
            shutdown_grace: r.millis("PERENNIAL_SHUTDOWN_GRACE_MS", 10_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn only_a_function_that_is_told_to_streams() {
        let name = "PERENNIAL_STREAM_BODY_BYTES";
        let limit = |given: &[(&str, &str)]| read(given).unwrap().limits.stream_body_bytes;
        assert_eq!(limit(&[]), Some(1 << 20));
        assert_eq!(limit(&[(name, "off")]), None);
        let on_lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
        assert_eq!(limit(&[on_lambda]), None);
        assert_eq!(limit(&[on_lambda, (name, "")]), None);
        assert_eq!(limit(&[on_lambda, (name, "0")]), Some(0));
        let error = read(&[(name, "never")]).unwrap_err().to_string();
        assert!(
            error.contains(
                "PERENNIAL_STREAM_BODY_BYTES is `never`: it must be a whole number of bytes, or `off`"
            ),
            "{error}"
        );
    }

    #[test]
    fn every_mistake_is_named() {
        let error = read(&[
            ("PERENNIAL_LEASE_MS", "soon"),
            ("PERENNIAL_MAX_CONCURRENT_RENDERS", "0"),
            ("PERENNIAL_TRAILING_SLASH", "yes"),
            ("PERENNIAL_LISTEN", "localhost"),
            ("PERENNIAL_REVALIDATE_SECRETS", "a,,b"),
            ("PERENNIAL_MEMORY_CASH_BYTES", "1"),
            ("PERENNIAL_SECRET", "s"),
            ("PERENNIAL_COLOUR", "green"),
            ("BUILD_ID", "../x"),
            ("PERENNIAL_TABLE", "t"),
            ("PERENNIAL_QUEUE_URL", "http://queue"),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("PERENNIAL_EDGE_PURGE", "some"),
            ("PERENNIAL_EDGE_WINDOW_MS", "65536"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "PERENNIAL_LEASE_MS is `soon`: it must be a whole number",
            "PERENNIAL_MAX_CONCURRENT_RENDERS is `0`",
            "PERENNIAL_TRAILING_SLASH is `yes`: it must be `true` or `false`",
            "PERENNIAL_LISTEN is `localhost`: it must be an IP address and a port",
            "empty secret",
            "PERENNIAL_MEMORY_CASH_BYTES is no setting; did you mean PERENNIAL_MEMORY_CACHE_BYTES?",
            "PERENNIAL_SECRET is no setting; did you mean PERENNIAL_REVALIDATE_SECRETS?",
            "PERENNIAL_COLOUR is no setting; the README lists all",
            "BUILD_ID is `../x`",
            "PERENNIAL_BUCKET and PERENNIAL_TABLE are given together",
            "AWS_REGION is not set",
            "AWS_SECRET_ACCESS_KEY is not set",
            "PERENNIAL_EDGE_PURGE is `some`: it must be `tags`, `paths` or `off`",
            "PERENNIAL_EDGE_WINDOW_MS is `65536`: it must be a whole number, at most 65535",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn what_is_given_is_used() {
        let settings = read(&[
            ("PERENNIAL_REVALIDATE_SECRETS", "one, two"),
            ("PERENNIAL_MEMORY_CACHE_BYTES", "0"),
            ("PERENNIAL_SITE_ANYTHING", "x"),
            ("PERENNIAL_TRAILING_SLASH", ""),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(settings.revalidate_secrets, ["one", "two"]);
        assert_eq!(settings.limits.memory_cache_bytes, 0);
        assert_eq!(&*settings.build_id, "dev-build");
        assert!(settings.aws.is_none());
    }

    #[test]
    fn the_stores_on_aws_are_given_together_and_their_keys_are_not_shown() {
        let settings = read(&[
            ("PERENNIAL_TABLE", "pages"),
            ("PERENNIAL_BUCKET", "bodies"),
            ("PERENNIAL_QUEUE_URL", "https://sqs.example/1/jobs"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hidden-key"),
            ("AWS_SESSION_TOKEN", "hidden-token"),
        ])
        .unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("AKID") && !shown.contains("hidden"), "{shown}");
        let aws = settings.aws.unwrap();
        assert_eq!((&*aws.table, &*aws.region), ("pages", "eu-west-1"));
        assert_eq!((aws.edge_purge, aws.max_purges, aws.distribution), (EdgePurge::Tags, 100, None));
    }
}
