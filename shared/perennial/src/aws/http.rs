//! The one HTTP client: the SDK's clients and the calls signed by hand share its connections, TLS (on ring) and roots.

use std::path::Path;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::settings::Aws;
use crate::store::StoreError;

/// What the certificates of AWS's endpoints lead to (<https://www.amazontrust.com/repository/>). Compiled in: to look
/// through the system's hundred and more would cost every new process some milliseconds.
const ROOTS: &[u8] = include_bytes!("roots.pem");

/// For name, TCP and TLS together. A region's own endpoints answer in milliseconds; a function of 128 MB, with a
/// fourteenth of a processor, needs a while for its side of the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens no connection yet.
///
/// # Errors
/// `AWS_CA_BUNDLE` cannot be used.
pub(crate) fn connector(aws: &Aws) -> Result<SharedHttpConnector, StoreError> {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let tls = TlsContext::builder().with_trust_store(trust(aws)?).build();
    let tls = tls.map_err(|e| StoreError::Refused(format!("TLS cannot be set up: {e}")))?;
    let connector = Connector::builder()
        .connector_settings(settings)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build();
    Ok(SharedHttpConnector::new(connector))
}

fn trust(aws: &Aws) -> Result<TrustStore, StoreError> {
    let plain = aws.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    Ok(match &aws.ca_bundle {
        // Nothing is ever looked up: reading roots would only take time.
        _ if plain => TrustStore::empty(),
        Some(path) => TrustStore::empty().with_pem_certificate(bundle(path)?),
        None => TrustStore::empty().with_pem_certificate(ROOTS),
    })
}

/// Reads and checks a bundle: the connector would panic at a bad one.
fn bundle(path: &Path) -> Result<Vec<u8>, StoreError> {
    let unusable = |e: &dyn std::fmt::Display| {
        StoreError::Refused(format!("AWS_CA_BUNDLE, {}: {e}: name a PEM file of roots", path.display()))
    };
    let pem = std::fs::read(path).map_err(|e| unusable(&e))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| unusable(&e))?;
        roots.add(certificate).map_err(|e| unusable(&e))?;
    }
    if roots.is_empty() { Err(unusable(&"holds no certificate")) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::key::hex;

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
        assert_eq!(bundle(&path).unwrap(), ROOTS);
    }
}
