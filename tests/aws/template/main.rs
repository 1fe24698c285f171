//! The SAM template, compared with the code that it deploys. What AWS itself demands of a template is cfn-lint's part.
//!
//! | module | compares |
//! |---|---|
//! | [`limits`] | variables, time-outs, batches and the queue with settings and handlers |
//! | [`permissions`] | policies with what the ports call |
//! | [`edge`] | CloudFront with the emulator's routes, the draft cookie, and what may be kept |
//! | [`state`] | table, bucket, logs, secrets, and which crate is built into what |
//! | [`comments`] | the numbers that comments repeat with the constants |
#![allow(missing_docs, reason = "a test program has no readers of its documentation")]

mod comments;
mod edge;
mod limits;
mod permissions;
mod source;
mod state;

use serde_json::{Value, json};
use source::{Template, workspace};

fn complaints(template: &Template, workspace: &Value) -> Vec<String> {
    [
        limits::broken(template),
        permissions::broken(template),
        edge::broken(template, workspace),
        state::broken(template, workspace),
    ]
    .concat()
}

#[test]
fn the_template_fits_the_code() {
    let complaints = complaints(&Template::read(), &workspace());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A place in the template, the JSON that is written there, and a part of the complaint. `Table//A/0` is the first `A`
/// of the resource's properties, `=NAME` a variable of all functions.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("=PERENNIAL_MAX_WAIT_MS", r#""soon""#, "PERENNIAL_MAX_WAIT_MS"),
    ("=PERENNIAL_MAX_WAIT_MS", r#""60000""#, "Serve ends"),
    ("=PERENNIAL_MAX_WAIT_MS", r#""20000""#, "of a batch"),
    ("=PERENNIAL_MAX_BODY_BYTES", r#""16777216""#, "Lambda answers"),
    (
        "=PERENNIAL_MAX_BODY_BYTES",
        r#"{ "Fn::If": ["Streams", "999999999", "4194304"] }"#,
        "Lambda answers with 209715200",
    ),
    ("Serve//FunctionUrlConfig/InvokeMode", r#""RESPONSE_STREAM""#, "Serve streams"),
    ("Serve//FunctionUrlConfig/InvokeMode", r#""BUFFERED""#, "Serve streams"),
    ("Serve//Environment/Variables/PERENNIAL_STREAM_BODY_BYTES", r#""1""#, "Serve streams"),
    ("Revalidate//FunctionUrlConfig/InvokeMode", r#""RESPONSE_STREAM""#, "Revalidate streams"),
    ("/Conditions/Streams", r#"{ "Fn::Equals": ["a", "a"] }"#, "not what InvokeMode says"),
    ("=PERENNIAL_LEASE_SECONDS", r#""1""#, "is no setting"),
    ("=PERENNIAL_REVALIDATE_SECRETS", r#""a""#, "sees the secrets"),
    ("Serve//Timeout", "30", "Serve ends"),
    ("Regenerate//Timeout", "60", "Regenerate ends"),
    ("Regenerate//Timeout", "180", "six times"),
    ("Revalidate//Timeout", "60", "Revalidate ends"),
    (
        "Distribution//DistributionConfig/Origins/0/CustomOriginConfig/OriginReadTimeout",
        "30",
        "CloudFront waits",
    ),
    ("Regenerate//Events/Jobs/Properties/FunctionResponseTypes", "[]", "expects otherwise"),
    ("Regenerate//Events/Jobs/Properties/BatchSize", "100", "of a batch"),
    ("Queue//DelaySeconds", "5", "delays jobs"),
    ("Queue//MessageRetentionPeriod", "3600", "forgotten"),
    ("DeadLetters//MessageRetentionPeriod", "3600", "dead letter"),
    (
        "Stores//PolicyDocument/Statement/0/Action",
        r#"["dynamodb:GetItem"]"#,
        "may not dynamodb:Query on Table",
    ),
    ("Stores//PolicyDocument/Statement/1/Resource", r#""*""#, "never does"),
    ("ServeRole//ManagedPolicyArns/1", r#""arn:aws:iam::aws:policy/AdministratorAccess""#, "never does"),
    ("PublishersMayPurge//Roles", "[]", "may not cloudfront:CreateInvalidation"),
    ("Distribution//DistributionConfig/CacheBehaviors/3/PathPattern", r#""/api/*""#, "CloudFront"),
    ("Distribution//DistributionConfig/CacheBehaviors/0/AllowedMethods", r#"["GET", "HEAD"]"#, "cannot POST"),
    (
        "Distribution//DistributionConfig/CacheBehaviors/12/Fn::If/1/AllowedMethods",
        r#"["GET", "HEAD"]"#,
        "cannot POST",
    ),
    (
        "Distribution//DistributionConfig/CacheBehaviors/13/Fn::If/1/PathPattern",
        r#""/api/*""#,
        "those of a service",
    ),
    ("Distribution//DistributionConfig/CustomErrorResponses", "[]", "10 s"),
    ("Distribution//DistributionConfig/CacheTagConfig", r#"{ "HeaderName": "x" }"#, "cache tags"),
    ("CachePolicy//CachePolicyConfig/MinTTL", "1", "longer than they say"),
    (
        "CachePolicy//CachePolicyConfig/ParametersInCacheKeyAndForwardedToOrigin/CookiesConfig",
        r#"{ "CookieBehavior": "none" }"#,
        "drafts",
    ),
    ("Distribution//DistributionConfig/DefaultCacheBehavior/FunctionAssociations", "[]", "made-up cookie"),
    ("DraftCookie//AutoPublish", "false", "CloudFront runs"),
    ("DraftCookie//FunctionCode", r#""""#, "another cookie"),
    ("/Parameters/ServeUrlAuth/Default", r#""NONE""#, "pass CloudFront by"),
    ("ServeForCloudFront//SourceArn", r#""*""#, "no other"),
    ("Table//KeySchema/0/AttributeName", r#""id""#, "pk and sk"),
    ("Table//TimeToLiveSpecification/AttributeName", r#""ttl""#, "`expires`"),
    ("Table//GlobalSecondaryIndexes/0/Projection/ProjectionType", r#""ALL""#, "`list`"),
    ("Bucket//PublicAccessBlockConfiguration/BlockPublicAcls", "false", "public"),
    ("RegenerateLogs//RetentionInDays", "null", "limited time"),
    ("RevalidateSecret//GenerateSecretString/ExcludeCharacters", r#""""#, "letters and digits"),
    ("RevalidateSecret//SecretString", r#""a""#, "in the template"),
    ("DistributionParameter//Name", r#""/other""#, "does not find"),
    ("Serve/Metadata/BuildProperties/Binary", r#""server""#, "its crate"),
];

#[test]
fn each_mistake_is_found() {
    let (good, workspace) = (Template::read(), workspace());
    for (short, json, word) in MISTAKES {
        let (mut bad, place) = (good.clone(), place(short));
        put(&mut bad.0, &place, serde_json::from_str(json).expect("JSON"));
        let found = complaints(&bad, &workspace);
        assert!(found.iter().any(|c| c.contains(word)), "{place}: nothing about `{word}` in {found:?}");
    }
    let mut elsewhere = workspace.clone();
    put(&mut elsewhere, "/metadata/lambda/watch/router/~1api~1other", json!("revalidate"));
    // At the top and under the base path.
    assert_eq!(complaints(&good, &elsewhere).len(), 2);
}

fn place(short: &str) -> String {
    match (short.strip_prefix('='), short.starts_with('/')) {
        (Some(variable), _) => format!("/Globals/Function/Environment/Variables/{variable}"),
        (None, true) => short.to_owned(),
        (None, false) => format!("/Resources/{}", short.replacen("//", "/Properties/", 1)),
    }
}

/// Writes at a JSON pointer, whose last step may be new.
fn put(root: &mut Value, place: &str, value: Value) {
    let (parent, last) = place.rsplit_once('/').expect("a pointer");
    let parent = root.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {parent}"));
    match parent {
        Value::Array(items) if last == items.len().to_string() => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value,
        other => other[last.replace("~1", "/").as_str()] = value,
    }
}
