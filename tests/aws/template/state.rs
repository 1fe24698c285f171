//! Table, bucket, logs, secrets and builds.

use serde_json::{Value, json};

use crate::source::{FUNCTIONS, Template, root};

pub(crate) fn broken(template: &Template, workspace: &Value) -> Vec<String> {
    let parts = [table(template), bucket(template), logs(template), secrets(template), purging(template)];
    parts.concat().into_iter().chain(builds(template, workspace)).collect()
}

fn unless(holds: bool, otherwise: &str) -> Option<String> {
    (!holds).then(|| otherwise.to_owned())
}

fn table(template: &Template) -> Vec<String> {
    let table = template.properties("Table");
    let keys = |hash: &str, range: &str| json!([{ "AttributeName": hash, "KeyType": "HASH" }, { "AttributeName": range, "KeyType": "RANGE" }]);
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let list = json!([{ "IndexName": "list", "KeySchema": keys("lpk", "lsk"), "Projection": { "ProjectionType": "KEYS_ONLY" } }]);
    let lasting = json!({ "AttributeName": "expires", "Enabled": true });
    [
        unless(table["KeySchema"] == keys("pk", "sk"), "the table's keys are pk and sk"),
        unless(table["GlobalSecondaryIndexes"] == list, "the one index is `list`, of keys alone"),
        unless(
            table["AttributeDefinitions"] == json!(["pk", "sk", "lpk", "lsk"].map(text)),
            "all keys are texts",
        ),
        unless(table["TimeToLiveSpecification"] == lasting, "what has ended is removed by `expires`"),
        unless(table["BillingMode"] == "PAY_PER_REQUEST", "the table takes any load"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn bucket(template: &Template) -> Vec<String> {
    let blocked = template.properties("Bucket")["PublicAccessBlockConfiguration"].as_object();
    let private = blocked.is_some_and(|b| b.len() == 4 && b.values().all(|v| *v == true));
    let policy = template.properties("BucketPolicy");
    let statement = &policy["PolicyDocument"]["Statement"][0];
    let tls = statement["Effect"] == "Deny"
        && statement["Condition"] == json!({ "Bool": { "aws:SecureTransport": "false" } });
    [unless(private, "the bucket may be made public"), unless(tls, "the bucket answers without TLS")]
        .into_iter()
        .flatten()
        .collect()
}

fn logs(template: &Template) -> Vec<String> {
    let complaint = |function: &&str| {
        let group = format!("{function}Logs");
        let config = &template.properties(function)["LoggingConfig"];
        let kept = template.properties(&group)["RetentionInDays"] == json!({ "Ref": "LogRetentionDays" });
        let own = config["LogGroup"] == json!({ "Ref": group }) && config["LogFormat"] == "JSON";
        unless(own && kept, &format!("{function} logs JSON to a group of its own, for a limited time"))
    };
    FUNCTIONS.iter().filter_map(complaint).collect()
}

/// Secrets are named, never given.
fn secrets(template: &Template) -> Vec<String> {
    let mut complaints = Vec::new();
    let reads = [("Serve", true), ("Regenerate", false), ("Revalidate", true)];
    for (function, needs) in reads {
        let variables = template.variables(function);
        let from = variables.get("PERENNIAL_REVALIDATE_SECRETS_FROM");
        let named = json!({ "Fn::If": ["MakesSecret", { "Fn::GetAtt": ["RevalidateSecret", "Id"] }, { "Ref": "RevalidateSecretArn" }] });
        complaints.extend(unless(from.is_some() == needs, &format!("{function} and the secrets")));
        complaints.extend(unless(
            from.is_none_or(|from| *from == named),
            &format!("{function} is not told the secret's name"),
        ));
        let plain = variables.contains_key("PERENNIAL_REVALIDATE_SECRETS");
        complaints.extend(unless(!plain, &format!("everybody who sees {function} sees the secrets")));
    }
    let secret = template.properties("RevalidateSecret");
    let left_out = secret["GenerateSecretString"]["ExcludeCharacters"].as_str().unwrap_or_default();
    // A comma makes two secrets of one; the others would have to be escaped in URLs or header fields.
    let punctuation = (33..127u8).map(char::from).filter(|c| !c.is_ascii_alphanumeric());
    complaints.extend(unless(
        punctuation.into_iter().all(|c| left_out.contains(c)),
        "a secret is made of letters and digits",
    ));
    complaints.extend(unless(secret["SecretString"].is_null(), "the secret is in the template"));
    complaints
}

/// Those that purge are told the name under which the distribution's id is kept, and the id is kept there.
fn purging(template: &Template) -> Vec<String> {
    let parameter = template.properties("DistributionParameter");
    let id = parameter["Value"] == json!({ "Ref": "Distribution" });
    let complaint = |function: &&str| {
        let from = template.variables(function).get("PERENNIAL_DISTRIBUTION_FROM").cloned();
        let same = from.is_some_and(|from| from == parameter["Name"]);
        unless(same && id, &format!("{function} does not find the distribution"))
    };
    ["Revalidate", "Regenerate"].iter().filter_map(complaint).collect()
}

/// Each function is built from the site's crate, which has its binary, with the features of a function on AWS.
fn builds(template: &Template, workspace: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for function in FUNCTIONS {
        let name = function.to_lowercase();
        let resource = &template.0["Resources"][function];
        let manifest = root().join("shared/site/Cargo.toml");
        let mut packages = workspace["packages"].as_array().into_iter().flatten();
        let package = packages.find(|p| p["manifest_path"] == manifest.to_string_lossy().as_ref());
        let mut targets = package.and_then(|package| package["targets"].as_array()).into_iter().flatten();
        let has_binary = targets.any(|t| t["kind"] == json!(["bin"]) && t["name"] == name.as_str());
        let built = resource["Metadata"]["BuildProperties"]["Binary"] == name.as_str()
            && resource["Properties"]["CodeUri"] == "../shared/site";
        complaints.extend(unless(has_binary && built, &format!("{function} is not built from its crate")));
    }
    let build = &workspace["metadata"]["lambda"]["build"];
    let as_on_aws = build["no_default_features"] == true && build["features"] == json!(["lambda", "aws"]);
    complaints.extend(unless(as_on_aws, "`cargo lambda build` makes functions for another place than AWS"));
    complaints
}
