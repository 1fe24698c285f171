//! The limits of one process, each a setting with a default.

use std::time::Duration;

use crate::base::reader::{ByteThreshold, Reader};

/// The limits of one process. Each field names its setting and default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `PERENNIAL_MEMORY_CACHE_BYTES` (52428800): size of the memory cache; 0 turns the cache off.
    pub memory_cache_bytes: u64,
    /// `PERENNIAL_RENDER_TIMEOUT_MS` (30000): time limit of one render.
    pub render_timeout: Duration,
    /// `PERENNIAL_MAX_CONCURRENT_RENDERS` (8): renders at once in this process. On-demand renders have a second pool of
    /// the same size, so that hung pages cannot delay a publisher.
    pub max_concurrent_renders: usize,
    /// `PERENNIAL_LEASE_MS` (10000): length of a lease. A running render extends its lease; after a crash, the page
    /// waits for the lease to expire.
    pub lease: Duration,
    /// `PERENNIAL_MAX_WAIT_MS` (60000): how long a visitor waits for a render, including the wait for a render to
    /// start; and for the beginning of a service's answer.
    pub max_wait: Duration,
    /// `PERENNIAL_MAX_WAITING_VISITORS` (1000): visitors of one process who wait for renders; further visitors get 503.
    pub max_waiting_visitors: usize,
    /// `PERENNIAL_MAX_BODY_BYTES` (16777216): size of one page's HTML, and of its data JSON.
    pub max_body_bytes: usize,
    /// `PERENNIAL_STREAM_BODY_BYTES` (1048576): a larger stored body is streamed to the visitor instead of being loaded
    /// whole; `off` never streams. On Lambda the default is `off`: with a number, the function streams every answer,
    /// and its URL must have the `InvokeMode` `RESPONSE_STREAM`.
    pub stream_body_bytes: Option<u64>,
    /// `PERENNIAL_INLINE_BODY_BYTES` (8192): DynamoDB holds a copy of a compressed body up to this size beside the
    /// record, in addition to S3, so that a hit is one round trip; 0 makes no copies. The embedded store ignores this
    /// limit.
    pub inline_body_bytes: usize,
    /// `PERENNIAL_MAX_PATH_BYTES` (4096): length of a request's path; a longer path gets 414.
    pub max_path_bytes: usize,
    /// `PERENNIAL_MAX_HEADER_BYTES` (16384): size of all header fields of a request; larger requests get 431.
    pub max_header_bytes: usize,
    /// `PERENNIAL_MAX_SERVICE_BODY_BYTES` (2097152): body of a request for a service of the site; a larger one gets 413.
    pub max_service_body_bytes: usize,
    /// `PERENNIAL_MAX_CONNECTIONS` (10000): connections to the standalone server at once; above this number the
    /// server closes the connection that has been idle longest.
    pub max_connections: usize,
    /// `PERENNIAL_STREAM_MEMORY_BYTES` (41943040): memory of all streamed answers together. An answer in brotli takes
    /// about 400 kB of it; an answer that must be decompressed takes 1.5 MB (5 MB for bodies of earlier versions).
    /// Further visitors wait for two seconds, and then get 503.
    pub stream_memory_bytes: u64,
    /// `PERENNIAL_HEAD_MEMORY_BYTES` (8388608): memory for the unfinished request heads of all connections to the
    /// standalone server: 24 kB each, and more for a long head. Further heads are read once others are complete.
    pub head_memory_bytes: u64,
    /// `PERENNIAL_UNVERIFIED_MEMORY_BYTES` (8388608): memory of all bodies that the standalone server reads before it
    /// verifies their signatures. Further calls wait for two seconds, and then get 503.
    pub unverified_memory_bytes: u64,
    /// `PERENNIAL_HEAD_TIMEOUT_MS` (10000): time for a request's head to arrive, and for a webhook's body; and how long the
    /// body of a request for a service may stand still.
    pub head_timeout: Duration,
    /// `PERENNIAL_SEND_TIMEOUT_MS` (30000): the server closes a connection whose client has read no byte of its answer
    /// for this long.
    pub send_timeout: Duration,
    /// `PERENNIAL_STORE_LOCK_WAIT_MS` (2000): how long a call of the embedded store waits for a lock that another
    /// process holds. After one call has waited in vain, later calls do not wait.
    pub store_lock_wait: Duration,
    /// `PERENNIAL_MAX_PAGE_HEADERS` (64): header fields that one page sets; 255 at most. Together with Perennial's own
    /// fields the default stays below 100 fields, the limit of many HTTP libraries.
    pub max_page_headers: u8,
    /// `PERENNIAL_MAX_PAGE_HEADER_BYTES` (6144): size of those fields together with a redirect's destination.
    /// CloudFront accepts 20,480 bytes of response headers
    /// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>); the page's tags
    /// may take 12,900 of them, and Perennial's own fields take the rest.
    pub max_page_header_bytes: usize,
    /// `PERENNIAL_MAX_TAGS` (250): tags that the store keeps of one page. A page with more tags is invalidated by every
    /// published tag. On DynamoDB, each tag costs every hit one read unit, and every hundred tags one round trip.
    pub max_tags: usize,
    /// `PERENNIAL_MAX_TAG_BYTES` (8192): length of one tag. A page with a longer tag is invalidated by every published
    /// tag; a publisher's call with a longer tag is refused.
    pub max_tag_bytes: usize,
    /// `PERENNIAL_MAX_STORED_NOT_FOUND` (10000): not-found results of first visits that the store keeps per route.
    /// Further ones are answered and not stored, so that made-up paths cannot fill the store.
    pub max_stored_not_found: usize,
    /// `PERENNIAL_MAX_REVALIDATIONS` (100): paths and tags in one call of the revalidate endpoint.
    pub max_revalidations: usize,
    /// `PERENNIAL_MAX_RENEWALS` (10000): pages per route that the queue renews after one invalidation of a tag, a route
    /// or the site. The queue looks at ten times as many. The next visitors have the others renewed.
    pub max_renewals: u64,
    /// `PERENNIAL_MAX_WEBHOOK_BYTES` (262144): body of a call of the revalidate endpoint.
    pub max_webhook_bytes: usize,
    /// `PERENNIAL_PUBLISHES_KEPT_DAYS` (30): how long the journal keeps a publish. The embedded store keeps 10,000 at
    /// most.
    pub publishes_kept: Duration,
    /// `PERENNIAL_MAX_LISTENERS` (32): open publishing pages to which this process pushes changes; further ones poll
    /// every few seconds. With 0, all poll.
    pub max_listeners: usize,
    /// `PERENNIAL_EDGE_STALE_SECONDS` (86400): `stale-while-revalidate` (RFC 5861) for routes without `max_stale`.
    pub edge_stale_s: u32,
    /// `PERENNIAL_EDGE_MAX_AGE_SECONDS` (3600): `s-maxage` of a page without a period where no shared cache is told what
    /// changes: one that keeps such a page shows it for so long after a change. A cache that is told may keep it for a
    /// year.
    pub edge_max_age_s: u32,
    /// `PERENNIAL_STORE_WAIT_MS` (3000): how long all store calls of one visit may take together on AWS, apart from the
    /// render. After that the page is answered from memory, or rendered.
    pub store_wait: Duration,
    /// `PERENNIAL_READY_WAIT_MS` (500): how long a probe of readiness waits for the store.
    pub ready_wait: Duration,
    /// `PERENNIAL_STORE_FAILURES` (3): failures in a row (no answer, no connection, throttling, a server error) after
    /// which the circuit breaker opens: pages are answered from memory, or rendered and not stored.
    pub store_failures: u32,
    /// `PERENNIAL_STORE_PAUSE_MS` (2000): how long the circuit breaker stays open before one call tries the store
    /// again.
    pub store_pause: Duration,
    /// `PERENNIAL_STORE_TRIAL_WAIT_MS` (200): how long the visitor who comes when the store is tried again waits for its
    /// answer. A store that is well again answers before, and so this visitor sees the newest page.
    pub store_trial_wait: Duration,
    /// `PERENNIAL_MAX_STORE_RETRIES` (10): retries in a burst, per process, of keys that DynamoDB left unprocessed in
    /// visitors' calls; after the burst, every ten complete calls allow one more. 0 never retries. Without a retry, the
    /// page is answered from what was read.
    pub max_store_retries: u32,
    /// `PERENNIAL_SHUTDOWN_GRACE_MS` (10000): time for running requests and renders to end after SIGTERM.
    pub shutdown_grace: Duration,
}

impl Limits {
    /// Reads the limits from settings; mistakes are collected in the reader.
    pub(crate) fn read(r: &mut Reader) -> Self {
        // Lambda and `cargo lambda watch` set this variable.
        let on_lambda = r.text("AWS_LAMBDA_RUNTIME_API").is_some();
        Self {
            memory_cache_bytes: r.or("PERENNIAL_MEMORY_CACHE_BYTES", 50 << 20),
            render_timeout: r.millis("PERENNIAL_RENDER_TIMEOUT_MS", 30_000),
            max_concurrent_renders: r.above_zero("PERENNIAL_MAX_CONCURRENT_RENDERS", 8),
            lease: r.millis("PERENNIAL_LEASE_MS", 10_000),
            max_wait: r.millis("PERENNIAL_MAX_WAIT_MS", 60_000),
            max_waiting_visitors: r.above_zero("PERENNIAL_MAX_WAITING_VISITORS", 1_000),
            max_body_bytes: r.above_zero("PERENNIAL_MAX_BODY_BYTES", 16 << 20),
            stream_body_bytes: r
                .or("PERENNIAL_STREAM_BODY_BYTES", ByteThreshold((!on_lambda).then_some(1 << 20)))
                .0,
            inline_body_bytes: r.or("PERENNIAL_INLINE_BODY_BYTES", 8 << 10),
            max_path_bytes: r.above_zero("PERENNIAL_MAX_PATH_BYTES", 4096),
            max_header_bytes: r.above_zero("PERENNIAL_MAX_HEADER_BYTES", 16 << 10),
            max_service_body_bytes: r.above_zero("PERENNIAL_MAX_SERVICE_BODY_BYTES", 2 << 20),
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
            edge_max_age_s: r.above_zero("PERENNIAL_EDGE_MAX_AGE_SECONDS", 3_600),
            store_wait: r.millis("PERENNIAL_STORE_WAIT_MS", 3_000),
            ready_wait: r.millis("PERENNIAL_READY_WAIT_MS", 500),
            store_failures: r.above_zero("PERENNIAL_STORE_FAILURES", 3),
            store_pause: r.millis("PERENNIAL_STORE_PAUSE_MS", 2_000),
            store_trial_wait: r.millis("PERENNIAL_STORE_TRIAL_WAIT_MS", 200),
            max_store_retries: r.or("PERENNIAL_MAX_STORE_RETRIES", 10),
            shutdown_grace: r.millis("PERENNIAL_SHUTDOWN_GRACE_MS", 10_000),
        }
    }
}
