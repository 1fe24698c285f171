//! Something between the stores and the server: counts connections, cuts them, speaks TLS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tests::Aws;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Under way until it is dropped.
pub(crate) struct Front {
    url: String,
    opened: Arc<AtomicUsize>,
    open: Arc<Mutex<JoinSet<()>>>,
    accepting: AbortHandle,
}

impl Front {
    /// In front of the server, in plain text.
    pub(crate) async fn plain(aws: &Aws) -> Self {
        Self::start(aws, None).await
    }

    /// In front of the server, with a certificate of its own, which is given as PEM.
    pub(crate) async fn tls(aws: &Aws) -> (Self, String) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a certificate and its key");
        (Self::start(aws, Some(Arc::new(config).into())).await, own.cert.pem())
    }

    async fn start(aws: &Aws, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        let (opened, open) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<JoinSet<()>>>::default());
        let (server, counter, connections) = (aws.server(), opened.clone(), open.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                counter.fetch_add(1, Ordering::SeqCst);
                connections.lock().expect("unpoisoned").spawn(pass(stream, tls.clone(), server));
            }
        });
        Self { url, opened, open, accepting: accepting.abort_handle() }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Connections so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Closes all connections.
    pub(crate) async fn cut(&self) {
        let mut open = std::mem::take(&mut *self.open.lock().expect("unpoisoned"));
        open.shutdown().await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(stream: TcpStream, tls: Option<TlsAcceptor>, server: SocketAddr) {
    match tls {
        None => forward(stream, server).await,
        // A client that does not trust the certificate hangs up.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                forward(stream, server).await;
            }
        }
    }
}

async fn forward(mut stream: impl AsyncRead + AsyncWrite + Unpin, server: SocketAddr) {
    let mut inner = TcpStream::connect(server).await.expect("the server listens");
    // Either side may hang up.
    let _ = copy_bidirectional(&mut stream, &mut inner).await;
}
