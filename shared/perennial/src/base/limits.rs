//! What is bounded, and by how much.

use std::time::Duration;

use crate::base::reader::{Above, Reader};

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

impl Limits {
    /// Reads them from settings.
    pub(crate) fn read(r: &mut Reader) -> Self {
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
