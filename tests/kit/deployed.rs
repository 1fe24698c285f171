//! The conformance site deployed: `infra/template.yaml` on the local server, with the real function programs.
//!
//! Between the template and the programs is one shell script a function, which sets what only the conformance site
//! needs, keeps the log, and becomes the program. It also keeps 45 MB of debug build out of every zip file.

mod processes;
mod sam;
mod zip;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;
pub use processes::kill_after;
pub use sam::{Built, built};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::zip;

use crate::answer::{Answer, Ask, Asks as _};
use crate::aws::{Aws, elements, form, query, signed_for};
use crate::client::Client;
use crate::process::{Launch, Log};
use crate::until::until;
use crate::upstream::Upstream;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const FUNCTIONS: [&str; 3] = ["serve", "regenerate", "revalidate"];
const BUCKET: &str = "code";

/// The secret of the revalidate endpoint, unless `PERENNIAL_REVALIDATE_SECRETS` says otherwise.
pub const SECRET: &str = "test-secret";

/// A stack; deleted when dropped.
pub struct Deployed {
    /// Its stores.
    pub aws: Aws,
    outputs: BTreeMap<String, String>,
    resources: BTreeMap<String, String>,
    plan: Plan,
}

/// What a stack is made of.
struct Plan {
    name: String,
    /// What the functions get beside the template's variables.
    env: Vec<(String, String)>,
    /// The functions' logs, and what they are deployed from.
    folder: TempDir,
    build: String,
    template: String,
    parameters: BTreeMap<&'static str, String>,
}

impl Plan {
    async fn new(calls: &Calls, upstream: &Upstream, env: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("site-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut env: Vec<_> =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut take = |name: &str| {
            let at = env.iter().position(|(given, _)| given == name)?;
            Some(env.swap_remove(at).1)
        };
        let build = take("BUILD_ID").unwrap_or_else(|| "dev-build".to_owned());
        let secrets = take("PERENNIAL_REVALIDATE_SECRETS").unwrap_or_else(|| SECRET.to_owned());
        let invoke_mode = take("InvokeMode").unwrap_or_else(|| "BUFFERED".to_owned());
        let alarm_topic = take("AlarmTopicArn").unwrap_or_default();
        let base_path = env.iter().find(|(name, _)| name == "PERENNIAL_BASE_PATH");
        let base_path = base_path.map_or_else(String::new, |(_, path)| path.clone());
        env.push(("UPSTREAM_URL".to_owned(), upstream.url()));
        let made = calls.rest(Method::PUT, &format!("/{BUCKET}"), Vec::new()).await;
        assert!(matches!(made.status, 200 | 409), "{made}");
        let secret = json!({ "Name": format!("{name}-secrets"), "SecretString": secrets });
        let secret = calls.json("secretsmanager.CreateSecret", &secret).await["ARN"]
            .as_str()
            .expect("an ARN")
            .to_owned();
        let parameters = BTreeMap::from([
            ("BuildId", build.clone()),
            // As the machine's: the programs run here.
            ("Architecture", if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" }.to_owned()),
            ("BasePath", base_path),
            ("InvokeMode", invoke_mode),
            ("AlarmTopicArn", alarm_topic),
            ("RevalidateSecretArn", secret),
            // The server's CloudFront does not sign what it sends to functions, and its queues break at a limit.
            ("ServeUrlAuth", "NONE".to_owned()),
            ("RegenerateConcurrency", "0".to_owned()),
        ]);
        let folder = TempDir::new().expect("a temporary directory");
        Self { name, env, folder, build, template: TEMPLATE.to_owned(), parameters }
    }

    fn log_file(&self, function: &str) -> PathBuf {
        self.folder.path().join(format!("{function}.log"))
    }

    /// Makes the folder that a function is deployed from: a script alone, which becomes this command, with the
    /// function's name for an argument.
    fn launcher(&self, function: &str, command: &str) -> String {
        let log = quoted(&self.log_file(function).display().to_string());
        let mut script = format!("#!/bin/sh\nexport CONFORMANCE_LOG={log}\n");
        for (name, value) in &self.env {
            script.push_str(&format!("export {name}={}\n", quoted(value)));
        }
        script.push_str(&format!("exec {command} {function} >>{log} 2>&1\n"));
        let folder = self.folder.path().join(function);
        std::fs::create_dir(&folder).expect("a new folder");
        let file = folder.join("bootstrap");
        std::fs::write(&file, &script).expect("a new file");
        std::fs::set_permissions(file, Permissions::from_mode(0o755)).expect("a script");
        script
    }
}

impl Deployed {
    /// Deploys the template with the conformance site on this upstream. Of the settings, `BUILD_ID`, `InvokeMode`,
    /// `AlarmTopicArn` and `PERENNIAL_REVALIDATE_SECRETS` go where the template has them; the rest is added to the
    /// functions' environment.
    pub async fn start(function_program: &str, upstream: &Upstream, env: &[(&str, &str)]) -> Self {
        let calls = Calls { server: crate::aws::server().await };
        let mut plan = Plan::new(&calls, upstream, env).await;
        for function in FUNCTIONS {
            let key = format!("{}-{function}.zip", plan.name);
            let launcher = plan.launcher(function, &quoted(function_program));
            let put = calls
                .rest(Method::PUT, &format!("/{BUCKET}/{key}"), zip("bootstrap", launcher.as_bytes()))
                .await;
            assert_eq!(put.status, 200, "{put}");
            plan.template = with_code(&plan.template, function, &format!("s3://{BUCKET}/{key}"));
        }
        calls.deploy("CreateStack", &plan).await;
        Self::of(&calls, plan).await
    }

    /// What a plan has become.
    async fn of(calls: &Calls, plan: Plan) -> Self {
        let outputs = calls.outputs(&plan.name).await;
        let resources = calls.resources(&plan.name).await;
        let output = |name: &str| {
            outputs.get(name).cloned().unwrap_or_else(|| panic!("no output {name}: {outputs:?}"))
        };
        let aws = Aws {
            server: calls.server,
            table: output("TableName"),
            bucket: output("BucketName"),
            queue_url: output("QueueUrl"),
            dead_letters_url: output("DeadLettersUrl"),
        };
        Self { aws, outputs, resources, plan }
    }

    /// The site's base path.
    pub fn base_path(&self) -> &str {
        &self.plan.parameters["BasePath"]
    }

    /// Deploys another build: the same template, with another parameter.
    pub async fn update(&mut self, build: &str) {
        self.plan.parameters.insert("BuildId", build.to_owned());
        self.plan.build = build.to_owned();
        let calls = Calls { server: self.aws.server };
        calls.deploy("UpdateStack", &self.plan).await;
    }

    /// An output of the stack.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output {name}: {:?}", self.outputs))
    }

    /// What a resource of the template has become.
    pub fn resource(&self, id: &str) -> &str {
        self.resources.get(id).unwrap_or_else(|| panic!("no resource {id}: {:?}", self.resources))
    }

    /// The stack's name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The build that is deployed.
    pub fn build(&self) -> &str {
        &self.plan.build
    }

    /// The command line of the site, on the stack's stores.
    pub fn command_line(&self, program: &str, upstream: &Upstream) -> Launch {
        let launch =
            Launch::new(program, self.plan.folder.path(), upstream).env("BUILD_ID", &self.plan.build);
        let settings = self.aws.settings().into_iter().chain(self.plan.env.iter().cloned());
        settings.fold(launch, |launch, (name, value)| launch.env(&name, value))
    }

    /// What the functions have logged.
    pub fn log(&self) -> Log {
        Log::of_files(FUNCTIONS.map(|function| self.plan.log_file(function)).into())
    }

    /// Has each job of the queue delivered alone, as many at once as the template allows: each is then worked by a
    /// process of its own.
    pub async fn deliver_one_by_one(&self) {
        let target = "/2015-03-31/event-source-mappings/";
        let asked = format!("{target}?FunctionName={}", self.resource("Regenerate"));
        let found = self.aws.rest(Method::GET, &asked, "").await.json();
        let mapping = found["EventSourceMappings"][0]["UUID"].as_str().unwrap_or_else(|| panic!("{found}"));
        let body = json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 10 } }).to_string();
        let answer = self.aws.rest(Method::PUT, &format!("{target}{mapping}"), body).await;
        assert_eq!((&answer.json()["BatchSize"], answer.status), (&json!(1), 200), "{answer}");
    }

    /// The variables of a function's environment.
    pub async fn environment(&self, resource: &str) -> Value {
        let target = format!("/2015-03-31/functions/{}/configuration", self.resource(resource));
        let answer = self.aws.rest(Method::GET, &target, "").await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()["Environment"]["Variables"].take()
    }

    /// Sets all variables of a function's environment. Its processes are replaced.
    pub async fn set_environment(&self, resource: &str, variables: &Value) {
        let target = format!("/2015-03-31/functions/{}/configuration", self.resource(resource));
        let body = json!({ "Environment": { "Variables": variables } }).to_string();
        let answer = self.aws.rest(Method::PUT, &target, body).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        // Failure is the server's end.
        let body = form(&[("Action", "DeleteStack"), ("StackName", &self.plan.name)]);
        let Ok(mut stream) = std::net::TcpStream::connect(self.aws.server) else { return };
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            self.aws.server,
            signed_for("cloudformation"),
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.read_to_end(&mut Vec::new()));
        // The server forgets the functions, but not their processes, which would wait for events as long as it lives.
        let pids: Vec<_> =
            FUNCTIONS.iter().flat_map(|name| self.processes(name)).map(|pid| pid.to_string()).collect();
        let _ = std::process::Command::new("sh")
            .args(["-c", &format!("kill -9 {}", pids.join(" "))])
            .stderr(Stdio::null())
            .status();
    }
}

/// The calls that deploy.
struct Calls {
    server: SocketAddr,
}

impl Calls {
    async fn rest(&self, method: Method, target: &str, body: Vec<u8>) -> Answer {
        Client { addr: self.server }.ask(Ask::new(method, target).body(body)).await
    }

    async fn json(&self, target: &str, body: &Value) -> Value {
        let ask = Ask::new(Method::POST, "/").header("x-amz-target", target).body(body.to_string());
        let answer =
            Client { addr: self.server }.ask(ask.header("content-type", "application/x-amz-json-1.1")).await;
        assert_eq!(answer.status, 200, "{target}: {answer}");
        answer.json()
    }

    async fn cloudformation(&self, action: &str, fields: &[(&str, &str)]) -> String {
        let mut all = vec![("Action", action)];
        all.extend(fields);
        query(self.server, "cloudformation", &all).await
    }

    async fn deploy(&self, action: &str, plan: &Plan) {
        let Plan { name, template, parameters, .. } = plan;
        let mut fields = vec![
            ("StackName".to_owned(), name.clone()),
            ("TemplateBody".to_owned(), template.clone()),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned()),
            ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND".to_owned()),
        ];
        for (i, (key, value)) in parameters.iter().enumerate() {
            fields.push((format!("Parameters.member.{}.ParameterKey", i + 1), (*key).to_owned()));
            fields.push((format!("Parameters.member.{}.ParameterValue", i + 1), value.clone()));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.cloudformation(action, &fields).await;
        until("the stack is complete", async || {
            let stack = self.cloudformation("DescribeStacks", &[("StackName", name)]).await;
            match &*elements(&stack, "StackStatus")[0] {
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" => Some(()),
                status if status.ends_with("_IN_PROGRESS") && !status.contains("ROLLBACK") => None,
                _ => panic!("{}", self.cloudformation("DescribeStackEvents", &[("StackName", name)]).await),
            }
        })
        .await;
    }

    async fn outputs(&self, name: &str) -> BTreeMap<String, String> {
        let stack = self.cloudformation("DescribeStacks", &[("StackName", name)]).await;
        elements(&stack, "OutputKey").into_iter().zip(elements(&stack, "OutputValue")).collect()
    }

    async fn resources(&self, name: &str) -> BTreeMap<String, String> {
        let all = self.cloudformation("DescribeStackResources", &[("StackName", name)]).await;
        elements(&all, "LogicalResourceId").into_iter().zip(elements(&all, "PhysicalResourceId")).collect()
    }
}

/// The template with another place of this function's code.
fn with_code(template: &str, function: &str, place: &str) -> String {
    const CODE: &str = "CodeUri: ";
    let named = template.find(&format!("Binary: {function} }}")).expect("the function's program");
    let code = named + template[named..].find(CODE).expect("the place of its code") + CODE.len();
    let end = code + template[code..].find('\n').expect("a line");
    [&template[..code], place, &template[end..]].concat()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
