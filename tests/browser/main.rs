//! Pages in a real browser: what their scripts do, which no other test runs.
#![allow(clippy::disallowed_methods, missing_docs, reason = "tests look at a browser from outside")]

mod chromium;
mod console;
mod shell;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use perennial::parts::base::limits::Limits;
use perennial::parts::engine::Engine;
use perennial::parts::run::settings::Settings;
use perennial::parts::stores::embedded;
use perennial::{Context, Failure, Fallback, Outcome, Page, Route, Site, SystemClock, escape};
use perennial_serve::{Renewal, Serve};
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

/// Nothing is stored under development, and nothing is said of what is.
#[tokio::test]
async fn an_error_under_development_is_shown_as_it_is() {
    let origin = Origin::dev(site::site().route(Route::new("/broken/{name}", Broken))).await;
    let page = origin.open("/broken/a").await;
    assert!(page.contains("the upstream of a is down") && page.contains("Under development"), "{page}");
    assert!(!page.contains("earlier one"), "{page}");
}

struct Broken;

impl Page for Broken {
    type Props = ();

    async fn props(&self, cx: &Context) -> Result<Outcome<()>, Failure> {
        Err(Failure::new(format!("the upstream of {} is down", cx.param("name"))))
    }

    fn render(&self, (): &(), _: &Context) -> Result<String, Failure> {
        Ok(String::new())
    }
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
    /// Paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Origin {
    async fn start(site: Site) -> Self {
        Self::with(site, false).await
    }

    /// Under development.
    async fn dev(site: Site) -> Self {
        Self::with(site, true).await
    }

    async fn with(site: Site, dev: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(SystemClock);
        let site = Arc::new(site.ready(None, None).expect("a valid site"));
        let limits: Limits = Settings::default().limits;
        let (path, build) = (folder.path().join("store"), "dev-build".into());
        let stores = embedded::open(&path, &build, clock.clone(), limits.store_lock_wait);
        let make = if dev { Engine::dev } else { Engine::new };
        let serve = Arc::new(Serve::new(make(site, stores, clock, limits), Renewal::Before));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound port");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = asked.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serve, noted) = (serve.clone(), noted.clone());
                let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    noted.lock().expect("no panic").push(request.uri().path().to_owned());
                    let serve = serve.clone();
                    async move { Ok::<_, Infallible>(serve.handle(&request.into_parts().0).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        Self { addr, server, folder, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How often the document at this path was asked for.
    fn documents(&self, path: &str) -> usize {
        self.asked.lock().expect("no panic").iter().filter(|asked| *asked == path).count()
    }

    /// How often a page's data was asked for.
    fn data(&self) -> usize {
        self.asked.lock().expect("no panic").iter().filter(|asked| asked.ends_with(".json")).count()
    }

    /// Opens a page in a browser and gives its document once its scripts have nothing left to do.
    async fn open(&self, path: &str) -> String {
        let mut browser = Command::new("chromium");
        browser.args(chromium::ARGUMENTS).args(["--virtual-time-budget=5000", "--dump-dom"]);
        browser.arg(format!("--user-data-dir={}", self.folder.path().join("browser").display()));
        browser.arg(self.url(path)).stdin(Stdio::null()).kill_on_drop(true);
        let output = soon("the browser's document", browser.output()).await;
        let output = output.unwrap_or_else(|e| panic!("`chromium`: {e}; run `tests/tools/install chromium`"));
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        page
    }
}
