//! `revalidate` on a server that is elsewhere: by its URL, over TLS, under a base path.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tests::Asks as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Host;

/// TLS before a server, with a certificate of its own as PEM: what a proxy or a CDN is. Ends with the test.
async fn tls_before(server: SocketAddr) -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate and its key");
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            // A client that does not trust the certificate hangs up.
            let Ok(mut stream) = tls.accept(stream).await else { continue };
            let mut inner = TcpStream::connect(server).await.expect("the server listens");
            let _ = copy_bidirectional(&mut stream, &mut inner).await;
        }
    });
    (format!("https://localhost:{port}"), own.cert.pem())
}

#[tokio::test]
async fn a_server_is_called_over_tls_and_under_its_base_path() {
    let h = Host::new().await.env("PERENNIAL_BASE_PATH", "/docs");
    let site = h.launch.start().await;
    let before = site.get("/docs/never").await.expect(200, "MISS").id();
    let (url, certificate) = tls_before(site.client().addr).await;
    let file = h.store.path().join("trusted.pem");
    std::fs::write(&file, certificate).expect("written");
    // Where the system's trusted certificates are.
    let trusting = h.launch.clone().env("SSL_CERT_FILE", file.display());
    for server in [url.clone(), format!("{url}/docs/"), format!("{url}/docs/api/revalidate")] {
        let told = trusting.run(&["revalidate", "/docs/never", "--server", &server]).await.success().output;
        assert!(told.contains("\"revalidated\":true"), "{told}");
    }
    assert_ne!(site.get("/docs/never").await.expect(200, "HIT").id(), before);
    h.launch
        .run(&["revalidate", "/never", "--server", &url])
        .await
        .failure(&["no trusted connection to", &url]);
    let plain = format!("http://localhost:{}", site.client().addr.port());
    h.launch.run(&["revalidate", "/never", "--server", &plain]).await.success();
}

#[tokio::test]
async fn a_server_that_sends_elsewhere_is_not_followed() {
    let h = Host::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        // An answer before its request would be no answer.
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut head).await.expect("a request") > 0, "{head:?}");
        }
        let answer =
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.expect("sent");
        // Open until the client closes it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let told = ["sends to https://example.com/: name that server with --server"];
    h.launch.run(&["revalidate", "/never", "--server", &server]).await.failure(&told);
}
