//! The template and the workspace, as the rules see them.

use std::path::{Path, PathBuf};
use std::process::Command;

use perennial::parts::run::settings::Settings;
use serde_json::{Map, Value};

/// The template as JSON: `!Ref Table` is `{"Ref": "Table"}`.
#[derive(Clone)]
pub(crate) struct Template(pub(crate) Value);

/// The functions, as the template calls them.
pub(crate) const FUNCTIONS: [&str; 3] = ["Serve", "Regenerate", "Revalidate"];

impl Template {
    /// Reads `infra/template.yaml` with cfn-lint's reader, which knows CloudFormation's tags.
    pub(crate) fn read() -> Self {
        let python = root().join(".tools/sam/bin/python");
        assert!(python.exists(), "SAM is not installed: run `tests/tools/install sam`, or `tests/run aws`");
        let convert = "import json, sys\nfrom cfnlint.decode import cfn_yaml\njson.dump(cfn_yaml.load(sys.argv[1]), sys.stdout)";
        let mut command = Command::new(python);
        command.args(["-c", convert]).arg(root().join("infra/template.yaml"));
        Self(json_of(&mut command))
    }

    /// A resource's properties; `null` if there is no such resource.
    pub(crate) fn properties(&self, id: &str) -> &Value {
        &self.0["Resources"][id]["Properties"]
    }

    /// Every resource of a type.
    pub(crate) fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let resources = self.0["Resources"].as_object().into_iter().flatten();
        resources
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(id, resource)| (id.as_str(), &resource["Properties"]))
    }

    /// A function's environment: its own and what all functions are given.
    pub(crate) fn variables(&self, function: &str) -> Map<String, Value> {
        let own = &self.properties(function)["Environment"]["Variables"];
        let all = &self.0["Globals"]["Function"]["Environment"]["Variables"];
        let both = [all, own].into_iter().filter_map(Value::as_object).flatten();
        both.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What a function makes of its environment.
    ///
    /// # Errors
    /// The settings' own complaint.
    pub(crate) fn settings(&self, function: &str) -> Result<Settings, String> {
        self.settings_with(function, false)
    }

    /// The same for a stack that streams its answers, or does not.
    pub(crate) fn settings_with(&self, function: &str, streams: bool) -> Result<Settings, String> {
        let variables = self.variables(function);
        let chosen = |value: &Value| match value["Fn::If"].as_array().map(Vec::as_slice) {
            Some([name, yes, no]) if name == "Streams" => self.sample(if streams { yes } else { no }),
            _ => self.sample(value),
        };
        let given = variables.iter().map(|(name, value)| (name.clone(), chosen(value)));
        let read = given.chain(OF_LAMBDA.map(|name| (name.to_owned(), "given".to_owned())));
        Settings::read(read).map_err(|error| format!("{function}: {error}"))
    }

    /// A text of the template, the default of a parameter, or a stand-in for what is known once the stack is deployed.
    fn sample(&self, value: &Value) -> String {
        let default = value["Ref"].as_str().and_then(|name| self.0["Parameters"][name]["Default"].as_str());
        value.as_str().or(default).unwrap_or("deployed").to_owned()
    }

    /// A function's `Timeout` in milliseconds.
    pub(crate) fn timeout_ms(&self, function: &str) -> u64 {
        self.properties(function)["Timeout"].as_u64().unwrap_or_default() * 1000
    }
}

/// What Lambda sets by itself.
const OF_LAMBDA: [&str; 4] =
    ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_LAMBDA_RUNTIME_API"];

/// `cargo metadata` of the workspace.
pub(crate) fn workspace() -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    json_of(&mut command)
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate has a parent folder").to_owned()
}

pub(crate) fn json_of(command: &mut Command) -> Value {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
