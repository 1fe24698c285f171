//! The author's interface for answers that are no HTML: a [`Resource`], and the [`Blob`] that it answers with.

use std::borrow::Cow;
use std::future::Future;

use bytes::Bytes;
use serde::Serialize;

use crate::key::params::Params;
use crate::site::page::{Context, Failure, Outcome};

/// One kind of answer that is no HTML: a feed, a sitemap, an image, JSON, a file. It is the counterpart of
/// [`Page`](crate::site::page::Page) for bytes with a content type, and has all that pages have, but for a shell and a
/// data URL.
///
/// ```
/// use perennial::{Blob, Context, Failure, Outcome, Resource, Route, Site};
///
/// struct Prices;
///
/// impl Resource for Prices {
///     async fn blob(&self, cx: &Context) -> Result<Outcome<Blob>, Failure> {
///         match cx.param("product") {
///             "chair" => Ok(Outcome::page(Blob::json(&[("chair", 49)])?).revalidate(60).tag("prices")),
///             _ => Ok(Outcome::not_found()),
///         }
///     }
/// }
///
/// Site::new().route(Route::resource("/prices/{product}.json", Prices)).ready(None, None).unwrap();
/// ```
pub trait Resource: Send + Sync + 'static {
    /// The paths that `build` renders; see [`Page::paths`](crate::site::page::Page::paths).
    fn paths(&self) -> impl Future<Output = Result<Vec<Params>, Failure>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Makes the answer. An error, a panic or a time-out fails the render: the stored answer stays. Work that keeps a
    /// processor busy, such as drawing an image, goes into [`Blob::made_by`].
    fn blob(&self, cx: &Context) -> impl Future<Output = Result<Outcome<Blob>, Failure>> + Send;
}

/// Bytes with a content type.
///
/// The content type is a media type: `image/png`, `application/atom+xml`. Any other text fails the render. Content of types
/// such as `text/…`, JSON, XML, SVG, JavaScript and WebAssembly is stored and sent compressed. Content of other types is
/// stored and sent as it is.
///
/// ```
/// use perennial::Blob;
///
/// let robots = Blob::text("User-agent: *\nDisallow: /cart\n");
/// let feed = Blob::new("application/atom+xml", "<feed xmlns=\"http://www.w3.org/2005/Atom\"/>");
/// let pixel = Blob::new("image/gif", &b"GIF89a"[..]);
/// let drawn = Blob::made_by("image/png", || Ok(vec![0x89, b'P', b'N', b'G']));
/// ```
pub struct Blob {
    content_type: Cow<'static, str>,
    bytes: Source,
}

enum Source {
    Given(Bytes),
    Made(Box<dyn FnOnce() -> Result<Bytes, Failure> + Send>),
}

impl Blob {
    /// These bytes: a text, a `Vec<u8>`, `&'static` bytes.
    pub fn new(content_type: impl Into<Cow<'static, str>>, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), bytes: Source::Given(bytes.into()) }
    }

    /// Bytes that a function makes, on a thread for blocking work. The function may be slow.
    pub fn made_by<B: Into<Bytes>>(
        content_type: impl Into<Cow<'static, str>>,
        make: impl FnOnce() -> Result<B, Failure> + Send + 'static,
    ) -> Self {
        let make = Box::new(move || make().map(Into::into));
        Self { content_type: content_type.into(), bytes: Source::Made(make) }
    }

    /// A text: `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new("text/plain; charset=utf-8", text.into())
    }

    /// A value as JSON: `application/json`.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, Failure> {
        Ok(Self::new("application/json", serde_json::to_vec(value)?))
    }

    /// Whether a function has yet to make the bytes.
    pub(crate) fn is_to_be_made(&self) -> bool {
        matches!(self.bytes, Source::Made(_))
    }

    /// The bytes.
    pub(crate) fn ready(self) -> Result<ReadyBlob, Failure> {
        let bytes = match self.bytes {
            Source::Given(bytes) => bytes,
            Source::Made(make) => make()?,
        };
        Ok(ReadyBlob { content_type: self.content_type, bytes })
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({})", self.content_type)
    }
}

/// A [`Blob`] whose bytes are there.
#[derive(Debug)]
pub(crate) struct ReadyBlob {
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) bytes: Bytes,
}
