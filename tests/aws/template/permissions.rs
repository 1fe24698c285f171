//! What each function may do, beside what its ports call.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::source::{FUNCTIONS, Template};

/// `action on resource`.
type May = BTreeSet<String>;

/// Everybody reads and writes pages and bodies (`Engine::look`, `refresh`) and sends jobs: renewals of stale pages,
/// removals of replaced bodies. S3 tells a missing body from a forbidden one only to who may list.
const ALL: [&str; 11] = [
    "dynamodb:BatchGetItem on Table",
    "dynamodb:ConditionCheckItem on Table",
    "dynamodb:DeleteItem on Table",
    "dynamodb:GetItem on Table",
    "dynamodb:PutItem on Table",
    "dynamodb:Query on Table",
    "dynamodb:UpdateItem on Table",
    "s3:GetObject on Bucket/*",
    "s3:ListBucket on Bucket",
    "s3:PutObject on Bucket/*",
    "sqs:SendMessage on Queue",
];

/// What else each of them calls.
fn own(function: &str) -> &'static [&'static str] {
    match function {
        // `Pages::count_not_found` before a first visit is kept; the secrets, in Secrets Manager or in a parameter, are
        // the keys of draft cookies.
        "Serve" => &[
            "dynamodb:Query on Table/index/list",
            "secretsmanager:GetSecretValue on secret",
            "ssm:GetParameter on secret",
        ],
        // `Pages::warmest` of `Task::Walk`, `Pages::list` of `Task::Remove`; `Bodies::remove` of that and of
        // `Task::RemoveBody`; `Edge::purge` of `Task::Publish` and `Task::Again`; `Queue::give_back`. The other three on the
        // queue are Lambda's, which fetches the batches.
        "Regenerate" => &[
            "cloudfront:CreateInvalidation on distribution/Distribution",
            "dynamodb:Query on Table/index/list",
            "s3:DeleteObject on Bucket/*",
            "sqs:ChangeMessageVisibility on Queue",
            "sqs:DeleteMessage on Queue",
            "sqs:GetQueueAttributes on Queue",
            "sqs:ReceiveMessage on Queue",
            "ssm:GetParameter on parameter/perennial/stack/distribution",
        ],
        // `Pages::list` for tags, variants and progress; `Bodies::remove` of `Engine::delete`; `Edge::purge`.
        _ => &[
            "cloudfront:CreateInvalidation on distribution/Distribution",
            "dynamodb:Query on Table/index/list",
            "s3:DeleteObject on Bucket/*",
            "secretsmanager:GetSecretValue on secret",
            "ssm:GetParameter on parameter/perennial/stack/distribution",
            "ssm:GetParameter on secret",
        ],
    }
}

pub(crate) fn broken(template: &Template) -> Vec<String> {
    FUNCTIONS.into_iter().flat_map(|function| differences(template, function)).collect()
}

fn differences(template: &Template, function: &str) -> Vec<String> {
    let logs = ["logs:CreateLogStream", "logs:PutLogEvents"].map(|a| format!("{a} on {function}Logs"));
    let wanted: May = ALL.iter().chain(own(function)).map(|may| (*may).to_owned()).chain(logs).collect();
    let role = template.properties(function)["Role"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
    let granted = granted(template, role);
    let unused = granted.difference(&wanted).map(|may| format!("{function} may {may}, and never does"));
    let missing = wanted.difference(&granted).map(|may| format!("{function} may not {may}"));
    unused.chain(missing).collect()
}

/// What a role's policies allow: inline, managed, and those attached from outside.
fn granted(template: &Template, role: &str) -> May {
    let properties = template.properties(role);
    let inline = list(&properties["Policies"]).map(|policy| &policy["PolicyDocument"]);
    let managed = list(&properties["ManagedPolicyArns"]).map(|policy| {
        // A policy of AWS's own, given by its ARN, has no document here, and so allows something unknown.
        policy["Ref"].as_str().map_or(policy, |id| &template.properties(id)["PolicyDocument"])
    });
    let attached = template.of_type("AWS::IAM::Policy").filter_map(|(_, policy)| {
        let is_role = list(&policy["Roles"]).any(|r| r["Ref"] == role);
        is_role.then_some(&policy["PolicyDocument"])
    });
    inline.chain(managed).chain(attached).flat_map(allowed).collect()
}

fn allowed(document: &Value) -> Vec<String> {
    if document["Statement"].is_null() {
        return vec![format!("do what is in {document}")];
    }
    list(&document["Statement"])
        .flat_map(|statement| {
            let resources: Vec<_> = list(&statement["Resource"]).map(resource).collect();
            let actions = list(&statement["Action"]).filter_map(Value::as_str);
            actions
                .flat_map(|action| resources.iter().map(move |on| format!("{action} on {on}")))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A value, or the values of a list.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match value {
        Value::Array(many) => (Some(many), None),
        Value::Null => (None, None),
        one => (None, Some(one)),
    };
    many.into_iter().flatten().chain(one)
}

/// The short name of a resource: `Table` for its ARN, `Bucket/*`, `distribution/Distribution`.
fn resource(value: &Value) -> String {
    if let Some(id) = value["Fn::GetAtt"][0].as_str() {
        return id.to_owned();
    }
    if value["Fn::If"][0] == "MakesSecret" {
        return "secret".to_owned();
    }
    let Some(text) = value["Fn::Sub"].as_str() else { return value.to_string() };
    let named = text.replace("${AWS::StackName}", "stack");
    let last = named.rsplit(':').next().unwrap_or_default().to_owned();
    let last = if named.starts_with("${") { named.replace(".Arn", "") } else { last };
    last.replace("${", "").replace('}', "")
}
