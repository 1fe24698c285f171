//! Pages in a real browser: what their scripts do, which no other test runs.
#![allow(clippy::disallowed_methods, missing_docs, reason = "tests look at a browser from outside")]

mod chromium;
mod console;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use perennial::embedded::EmbeddedStores;
use perennial::{
    Context, Engine, Failure, Fallback, Limits, Outcome, Page, Route, Settings, Site, SystemClock, escape,
};
use serve::{Renewal, Serve};
use tempfile::TempDir;
use tests::until::soon;
use tokio::net::TcpListener;
use tokio::process::Command;

#[tokio::test]
async fn the_demo_sites_script_runs() {
    let origin = Origin::start(site::site()).await;
    let page = origin.open("/").await;
    assert!(page.contains("<dt>Generation</dt><dd>1</dd>"), "{page}");
    let tag =
        page.split('<').find(|tag| tag.contains("id=\"ask\"")).unwrap_or_else(|| panic!("no box: {page}"));
    // It is hidden in the document; the script shows it.
    assert!(!tag.split('>').next().unwrap_or_default().contains("hidden"), "the script did not run: <{tag}");
}

#[tokio::test]
async fn a_shell_fetches_its_page_and_shows_it() {
    let origin =
        Origin::start(Site::new().route(Route::new("/{name}", Hello).fallback(Fallback::Shell))).await;
    let page = origin.open("/caf%C3%A9%20%22x%22").await;
    assert!(page.contains("<h1>Hello café \"x\"</h1>"), "{page}");
}

struct Hello;

impl Page for Hello {
    type Props = String;

    async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
        Ok(Outcome::page(cx.param("name").to_owned()))
    }

    fn render(&self, name: &String, _: &Context) -> Result<String, Failure> {
        Ok(format!("<!doctype html><title>Hello</title><h1>Hello {}</h1>", escape(name)))
    }
}

/// A site on a free port; removed when dropped.
struct Origin {
    addr: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    folder: TempDir,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Origin {
    async fn start(site: Site) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(SystemClock);
        let stores = EmbeddedStores::open(&folder.path().join("store"), &"dev-build".into(), clock.clone());
        let site = Arc::new(site.ready(None, None).expect("a valid site"));
        let limits: Limits = Settings::default().limits;
        let serve = Arc::new(Serve::new(Engine::new(site, stores, clock, limits), Renewal::Before));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound port");
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = serve.clone();
                let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let serve = serve.clone();
                    async move { Ok::<_, Infallible>(serve.handle(&request.into_parts().0).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        Self { addr, server, folder }
    }

    /// Opens a page in a browser and gives its document once its scripts have nothing left to do.
    async fn open(&self, path: &str) -> String {
        let mut browser = Command::new("chromium");
        browser.args(chromium::ARGUMENTS).args(["--virtual-time-budget=5000", "--dump-dom"]);
        browser.arg(format!("--user-data-dir={}", self.folder.path().join("browser").display()));
        browser.arg(format!("http://{}{path}", self.addr)).stdin(Stdio::null()).kill_on_drop(true);
        let output = soon("the browser's document", browser.output()).await;
        let output = output.unwrap_or_else(|e| panic!("`chromium`: {e}; run `tests/tools/install chromium`"));
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        page
    }
}
