//! SAM, as the guide has it: `sam build` makes the functions' programs; `sam deploy` packages them, uploads them, and
//! makes and executes a change set.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::{BUCKET, Calls, Deployed, FUNCTIONS, Plan, TEMPLATE, with_code};
use crate::aws::account;
use crate::upstream::Upstream;

/// A program that `sam build` has made of a function.
pub struct Built {
    /// The function, and its program's only argument.
    pub function: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// An executable of Linux.
    pub elf: Vec<u8>,
}

/// What `sam build` has made.
///
/// # Panics
/// If it has not been run.
pub fn built() -> [Built; 3] {
    FUNCTIONS.map(|function| {
        let path = folder_of_builds().join(resource_of(function)).join("bootstrap");
        let elf = std::fs::read(&path)
            .unwrap_or_else(|e| panic!("{}: {e}: run `tests/run aws`, which builds it", path.display()));
        Built { function, path, elf }
    })
}

impl Built {
    /// As the template's parameter `Architecture` has it: <https://refspecs.linuxfoundation.org/elf/elf.pdf>, `e_machine`.
    pub fn architecture(&self) -> &'static str {
        match self.elf.get(18..20) {
            Some([62, 0]) => "x86_64",
            Some([183, 0]) => "arm64",
            other => panic!("{}: a program for machine {other:?}", self.path.display()),
        }
    }

    /// What runs it on this machine.
    fn emulator(&self) -> &'static str {
        match self.architecture() {
            "x86_64" if cfg!(target_arch = "x86_64") => "",
            "arm64" if cfg!(target_arch = "aarch64") => "",
            "arm64" => "qemu-aarch64 -L /usr/aarch64-linux-gnu ",
            other => panic!("no emulator of {other} here: build for this machine"),
        }
    }
}

impl Deployed {
    /// Deploys another build.
    pub async fn update_by_sam(&mut self, build: &str) {
        self.plan.parameters.insert("BuildId", build.to_owned());
        self.plan.build = build.to_owned();
        let template = FUNCTIONS
            .iter()
            .fold(TEMPLATE.to_owned(), |template, function| with_code(&template, function, function));
        sam_deploy(&Calls { server: self.aws.server }, &self.plan, &template).await;
    }

    /// Deploys what `sam build` has made: the demo site, whose `/posts` asks the upstream.
    pub async fn sam_built(upstream: &Upstream) -> Self {
        let calls = Calls { server: crate::aws::server().await };
        let mut plan =
            Plan::new(&calls, upstream, &[("POSTS_URL", &format!("{}/posts", upstream.url()))]).await;
        let mut template =
            std::fs::read_to_string(folder_of_builds().join("template.yaml")).expect("a template");
        for program in built() {
            let function = program.function;
            plan.parameters.insert("Architecture", program.architecture().to_owned());
            // The program is deployed beside the script.
            plan.launcher(function, &format!("{}\"${{0%/*}}/program\"", program.emulator()));
            let beside = plan.folder.path().join(function).join("program");
            std::fs::copy(&program.path, beside).expect("a copy");
            let source = format!("CodeUri: {}\n", resource_of(function));
            assert!(template.contains(&source), "the template has no {source}");
            template = template.replace(&source, &format!("CodeUri: {function}\n"));
        }
        sam_deploy(&calls, &plan, &template).await;
        Self::of(&calls, plan).await
    }
}

/// What the template calls a function.
fn resource_of(function: &str) -> String {
    function[..1].to_uppercase() + &function[1..]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folder_of_builds() -> PathBuf {
    root().join(".aws-sam/build")
}

/// `sam deploy` of a plan's folder.
async fn sam_deploy(calls: &Calls, plan: &Plan, template: &str) {
    let folder = plan.folder.path();
    std::fs::write(folder.join("template.yaml"), template).expect("a new file");
    let sam = root().join(".tools/sam/bin/sam");
    assert!(sam.exists(), "SAM is missing: run tests/tools/install sam");
    let mut command = Command::new(sam);
    command.args(["deploy", "--template-file", "template.yaml"]);
    command.args(["--stack-name", &plan.name, "--s3-bucket", BUCKET]);
    command.args(["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--parameter-overrides"]);
    // `sam deploy` takes no empty ones.
    let given = plan.parameters.iter().filter(|(_, value)| !value.is_empty());
    command.args(given.map(|(name, value)| format!("{name}={value}")));
    command.current_dir(folder).env_clear().env("HOME", folder).env("SAM_CLI_TELEMETRY", "0");
    command.envs(account(calls.server)).env("AWS_DEFAULT_REGION", "us-east-1").stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let done = command.output().await.expect("sam runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}\n{}", said(&done.stdout), said(&done.stderr));
}
