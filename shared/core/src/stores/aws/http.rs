//! The HTTP client. All calls to AWS share its connections, its TLS stack (on ring) and its roots.

use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector as SdkConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::base::clock::{SystemClock, within};
use crate::ports::error::StoreError;
use crate::stores::aws::settings::AccountSettings;

/// The roots of the certificates of AWS's endpoints (<https://www.amazontrust.com/repository/>). They are compiled in: to read
/// the system's hundred and more roots would cost every new process some milliseconds.
const ROOTS: &[u8] = include_bytes!("roots.pem");

/// The time for DNS, TCP and TLS together. The endpoints of a region answer in milliseconds; a function with 128 MB has a
/// fourteenth of a processor, and its side of the handshake takes a while.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The client. Clones share their connections.
pub(crate) type Http = Client<Connector, SdkBody>;

/// Makes the client. Opens no connection yet.
///
/// # Errors
/// `AWS_CA_BUNDLE` cannot be used.
pub(crate) fn client(settings: &AccountSettings) -> Result<Http, StoreError> {
    // Ring is named here: a program with several providers has no default one.
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|e| StoreError::refused(format!("TLS cannot be set up: {e}")))?
        .with_root_certificates(trusted(settings)?)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(Connector(https)))
}

/// The client in the form that the SDK takes.
pub(crate) fn for_sdk(http: &Http) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Shared(http.clone()));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct Shared(Http);

impl SdkConnector for Shared {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(e) => return HttpConnectorFuture::ready(Err(ConnectorError::user(e.into()))),
        };
        let answer = self.0.request(request);
        HttpConnectorFuture::new(async move {
            // The SDK repeats I/O errors. Any failure may pass on another connection.
            let answer = answer.await.map_err(|e| ConnectorError::io(e.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

/// Connects within [`CONNECT_TIMEOUT`].
#[derive(Clone)]
pub(crate) struct Connector(HttpsConnector<HttpConnector>);

type Connected = MaybeHttpsStream<TokioIo<TcpStream>>;
type Cause = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, Cause>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connected = self.0.call(url);
        Box::pin(async move {
            let connected = within(&SystemClock, CONNECT_TIMEOUT, connected).await;
            connected.unwrap_or_else(|| Err(format!("no connection in {CONNECT_TIMEOUT:?}").into()))
        })
    }
}

fn trusted(settings: &AccountSettings) -> Result<RootCertStore, StoreError> {
    let plain = settings.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    match &settings.ca_bundle {
        // Without TLS no root is needed.
        _ if plain => Ok(RootCertStore::empty()),
        Some(path) => bundle(path),
        None => roots(ROOTS).map_err(StoreError::refused),
    }
}

fn bundle(path: &Path) -> Result<RootCertStore, StoreError> {
    let pem = std::fs::read(path).map_err(|e| e.to_string());
    pem.and_then(|pem| roots(&pem)).map_err(|e| {
        StoreError::refused(format!("AWS_CA_BUNDLE, {}: {e}: name a PEM file of roots", path.display()))
    })
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() { Err("holds no certificate".into()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::key::encode::hex;

    #[test]
    fn the_roots_are_those_that_amazon_publishes() {
        let prints: Vec<_> = CertificateDer::pem_slice_iter(ROOTS)
            .map(|certificate| hex(&Sha256::digest(certificate.unwrap())))
            .collect();
        let published = [
            "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
            "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
            "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
            "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
            "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
        ];
        assert_eq!(prints, published);
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        let told = |path: &Path| bundle(path).unwrap_err().to_string();
        assert!(told(&path).contains("AWS_CA_BUNDLE"), "missing");
        for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, bad).unwrap();
            assert!(told(&path).contains("AWS_CA_BUNDLE"), "{bad}");
        }
        std::fs::write(&path, ROOTS).unwrap();
        assert_eq!(bundle(&path).unwrap().len(), 5);
    }
}
