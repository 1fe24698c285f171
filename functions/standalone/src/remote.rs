//! A running server by its URL: where it is, and one request to it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use perennial_core::base::clock::{Clock as _, SystemClock};
use perennial_core::base::text::Written;
use perennial_revalidate::ENDPOINT;
use tokio::net::TcpStream;

/// How long a server may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// The address of a server: `https://example.com/docs`, or where it listens, like `127.0.0.1:3000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    is_tls: bool,
    host: String,
    port: u16,
    /// The site's base path; empty if it has none.
    base: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What an address looks like, as the end of a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let wanted =
            || "must be a URL like https://example.com, or an address like localhost:3000".to_owned();
        if let Ok(address) = std::net::SocketAddr::read(text) {
            return Ok(Self::of(address));
        }
        let url: Uri = text.parse().map_err(|_| wanted())?;
        let is_tls = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wanted()),
        };
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.filter(|authority| !authority.host().is_empty()).ok_or_else(wanted)?;
        if url.query().is_some() {
            return Err(wanted());
        }
        let path = url.path().trim_end_matches('/');
        Ok(Self {
            is_tls,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            // People copy the endpoint's own URL.
            base: path.strip_suffix(ENDPOINT).unwrap_or(path).to_owned(),
        })
    }

    /// The server that listens there. One that listens on all addresses of this machine is called at the machine's own.
    pub(crate) fn of(listens: std::net::SocketAddr) -> Self {
        let ip = match listens.ip() {
            ip if !ip.is_unspecified() => ip,
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        Self { is_tls: false, host, port: listens.port(), base: String::new() }
    }

    fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// The endpoint, or the path `subpath` below it.
    pub(crate) fn target(&self, subpath: &str) -> String {
        let slash = if subpath.is_empty() { "" } else { "/" };
        format!("{}{ENDPOINT}{slash}{subpath}", self.base)
    }

    fn authority(&self) -> String {
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Sends a request there, and reads the whole answer.
    ///
    /// # Errors
    /// No server is there, it is not who its certificate says, or it does not answer.
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(StatusCode, String)> {
        request.headers_mut().insert(HOST, HeaderValue::try_from(self.authority())?);
        let url = format!("{}://{}", self.scheme(), self.authority());
        let host = self.host.trim_matches(['[', ']']);
        let connected = tokio::select! {
            connected = TcpStream::connect((host, self.port)) => connected.map_err(anyhow::Error::from),
            () = SystemClock.sleep(CONNECT_WAIT) => Err(anyhow!("it does not answer within {CONNECT_WAIT:?}")),
        };
        let stream = connected
            .with_context(|| format!("no server at {url}; start one, or name its address with --server"))?;
        match self.is_tls {
            false => exchange(TokioIo::new(stream), request, &url).await,
            true => exchange(tls::connect(host, stream, &url).await?, request, &url).await,
        }
    }
}

async fn exchange(
    stream: impl Read + Write + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    url: &str,
) -> Result<(StatusCode, String)> {
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.with_context(|| format!("{url} does not answer"))?;
    let status = response.status();
    if status.is_redirection() {
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let location = location.unwrap_or("somewhere else");
        bail!("{url} sends to {location}: name that server with --server");
    }
    let body = response.into_body().collect().await.with_context(|| format!("{url} broke its answer off"))?;
    // How the connection ends does not matter after a whole answer.
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

#[cfg(feature = "tls")]
pub(crate) mod tls {
    use std::sync::Arc;

    use anyhow::{Context as _, Result};
    use hyper_util::rt::TokioIo;
    use rustls::ClientConfig;
    use rustls::crypto::{CryptoProvider, ring};
    use rustls::pki_types::ServerName;
    use rustls_platform_verifier::BuilderVerifierExt as _;
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    /// Makes ring the process's own choice, if the site's program has made none: pages may use rustls too, which refuses to
    /// choose by itself where their crates bring another implementation beside this one.
    pub(crate) fn choose_provider() {
        if CryptoProvider::get_default().is_none() {
            // Another thread may have been faster.
            let _ = ring::default_provider().install_default();
        }
    }

    /// Speaks TLS, with a server whose certificate this system trusts.
    pub(super) async fn connect(
        host: &str,
        stream: TcpStream,
        url: &str,
    ) -> Result<TokioIo<TlsStream<TcpStream>>> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()
            .context("the certificates that this system trusts cannot be read")?
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        Ok(TokioIo::new(stream.with_context(|| format!("no trusted connection to {url}"))?))
    }
}

#[cfg(not(feature = "tls"))]
mod tls {
    use anyhow::{Result, bail};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpStream;

    pub(super) async fn connect(_: &str, _: TcpStream, url: &str) -> Result<TokioIo<TcpStream>> {
        bail!(
            "this program was built without TLS, which {url} needs: build it with the feature `tls` of `perennial`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_url_or_by_where_it_listens() {
        for (text, authority, target) in [
            ("https://example.com", "example.com", "/api/revalidate"),
            ("https://example.com/", "example.com", "/api/revalidate"),
            ("https://example.com:8443/docs/", "example.com:8443", "/docs/api/revalidate"),
            ("http://example.com/docs", "example.com", "/docs/api/revalidate"),
            (
                "https://x.lambda-url.eu-west-1.on.aws/api/revalidate",
                "x.lambda-url.eu-west-1.on.aws",
                "/api/revalidate",
            ),
            ("http://[::1]:3000", "[::1]:3000", "/api/revalidate"),
            ("127.0.0.1:3000", "127.0.0.1:3000", "/api/revalidate"),
            ("localhost:3000", "127.0.0.1:3000", "/api/revalidate"),
            ("0.0.0.0:3000", "127.0.0.1:3000", "/api/revalidate"),
            ("[::]:3000", "[::1]:3000", "/api/revalidate"),
        ] {
            let address = Address::read(text).unwrap();
            assert_eq!((&*address.authority(), &*address.target("")), (authority, target), "{text}");
            assert_eq!(address.is_tls, text.starts_with("https"), "{text}");
        }
        assert_eq!(Address::read("http://a").unwrap().target("p1"), "/api/revalidate/p1");
        for text in
            ["", "example.com", "ftp://example.com", "https://", "https://u:p@a", "https://a?b", "/docs"]
        {
            let error = Address::read(text).unwrap_err();
            assert!(error.contains("like https://example.com"), "{text}: {error}");
        }
    }
}
