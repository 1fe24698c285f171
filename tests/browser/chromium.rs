//! A headless browser that a test drives, over its debugging pipe
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::until::{soon, until};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How every browser is started. No sandbox: it opens this project's pages alone, and containers have no user namespaces.
pub(crate) const ARGUMENTS: [&str; 6] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
];

/// A browser with one tab; ends with the value.
pub(crate) struct Browser {
    _child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    sent: u64,
    tab: Option<String>,
    /// Errors that scripts and the page's policy have met.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        // The pipe is file descriptors 3 and 4.
        command.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"]);
        command.args(ARGUMENTS).arg("--remote-debugging-pipe");
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("a shell");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut browser = Self {
            _child: child,
            orders,
            answers,
            sent: 0,
            tab: None,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let tab = browser.order("Target.attachToTarget", attach).await;
        browser.tab = tab["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.order(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// Gives an order and waits for its answer; what happens meanwhile is noted.
    pub(crate) async fn order(&mut self, method: &str, params: Value) -> Value {
        self.try_order(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_order(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.sent += 1;
        let id = self.sent;
        let mut order = json!({ "id": id, "method": method, "params": params });
        if let Some(tab) = &self.tab {
            order["sessionId"] = tab.as_str().into();
        }
        let text = format!("{order}\0");
        self.orders.write_all(text.as_bytes()).await.unwrap_or_else(|e| {
            panic!("`chromium` does not take orders: {e}; run `tests/tools/install chromium`")
        });
        soon(method, async {
            loop {
                let mut bytes = Vec::new();
                self.answers.read_until(0, &mut bytes).await.expect("an answer");
                assert_eq!(bytes.pop(), Some(0), "`chromium` has ended; run `tests/tools/install chromium`");
                let mut told: Value = serde_json::from_slice(&bytes).expect("JSON");
                if told["id"] == id {
                    let error = told["error"].take();
                    return if error.is_null() { Ok(told["result"].take()) } else { Err(error) };
                }
                self.note(&told);
            }
        })
        .await
    }

    fn note(&mut self, told: &Value) {
        let params = &told["params"];
        match told["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded")
                if params["entry"]["source"] != "network" && params["entry"]["level"] == "error" =>
            {
                self.complaints.push(params["entry"]["text"].to_string());
            }
            _ => {}
        }
    }

    pub(crate) async fn open(&mut self, url: &str) {
        self.order("Page.navigate", json!({ "url": url })).await;
        self.wait("document.readyState === 'complete'").await;
    }

    /// The value of an expression in the page; a promise's when it is kept.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        self.try_value(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn try_value(&mut self, expression: &str) -> Result<Value, Value> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut result = self.try_order("Runtime.evaluate", params).await?;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        Ok(result["result"]["value"].take())
    }

    /// Waits until an expression holds. A page that is left while it is asked has no answer.
    pub(crate) async fn wait(&mut self, expression: &str) {
        until(expression, async || self.try_value(expression).await.is_ok_and(|v| v == true).then_some(()))
            .await;
    }

    /// Types text where the focus is, as a person does.
    pub(crate) async fn type_text(&mut self, text: &str) {
        self.order("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: `Enter`, `Tab`, `Space`, `ArrowDown`.
    pub(crate) async fn press(&mut self, key: &str) {
        let (name, code, text) = match key {
            "Enter" => ("Enter", 13, "\r"),
            "Tab" => ("Tab", 9, ""),
            "ArrowDown" => ("ArrowDown", 40, ""),
            "Space" => (" ", 32, " "),
            other => panic!("no key {other}"),
        };
        for kind in [if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
            let params = json!({ "type": kind, "key": name, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.order("Input.dispatchKeyEvent", params).await;
        }
    }

    /// As wide as that many CSS pixels, in light or dark.
    pub(crate) async fn look(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.order("Emulation.setDeviceMetricsOverride", metrics).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.order("Emulation.setEmulatedMedia", media).await;
    }

    /// Keeps a picture of the whole page in the folder that `SCREENSHOTS` names, if it does.
    pub(crate) async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else { return };
        let params = json!({ "captureBeyondViewport": true });
        let shot = self.order("Page.captureScreenshot", params).await;
        let bytes = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("written");
    }
}
