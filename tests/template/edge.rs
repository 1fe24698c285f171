//! What CloudFront passes on to whom, and what it keeps.

use std::collections::BTreeMap;

use perennial::draft::DRAFT_COOKIE;
use serde_json::{Value, json};

use crate::source::Template;

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html>
const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-origin-request-policies.html>
const ALL_VIEWER_EXCEPT_HOST_HEADER: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";

pub(crate) fn broken(template: &Template, workspace: &Value) -> Vec<String> {
    let config = &template.properties("Distribution")["DistributionConfig"];
    let mut complaints = routes(config, workspace);
    complaints.extend(origins(template, config));
    complaints.extend(what_is_kept(template, config));
    complaints
}

/// The emulator and CloudFront send the same paths to the same functions.
fn routes(config: &Value, workspace: &Value) -> Vec<String> {
    let router = workspace["metadata"]["lambda"]["watch"]["router"].as_object();
    let emulated: BTreeMap<String, String> = router
        .into_iter()
        .flatten()
        .filter(|(path, _)| *path != "/" && *path != "/{*path}")
        .map(|(path, function)| (path.replace("{id}", "*").replace("{part}", "*"), text(function)))
        .collect();
    let [mut deployed, mut under_base_path] = [BTreeMap::new(), BTreeMap::new()];
    for behaviour in behaviours(config) {
        let (path, origin) = (&behaviour["PathPattern"], text(&behaviour["TargetOriginId"]));
        match path["Fn::Sub"].as_str().and_then(|text| text.strip_prefix("${BasePath}")) {
            Some(path) => under_base_path.insert(path.to_owned(), origin),
            None => deployed.insert(text(path), origin),
        };
    }
    let mut complaints = Vec::new();
    for routes in [&deployed, &under_base_path] {
        if *routes != emulated {
            complaints.push(format!("`cargo lambda watch` routes {emulated:?}, CloudFront {routes:?}"));
        }
    }
    for known in [revalidate::ENDPOINT, revalidate::console::CONSOLE] {
        if !deployed.contains_key(known) {
            complaints.push(format!("CloudFront does not know {known}"));
        }
    }
    if config["DefaultCacheBehavior"]["TargetOriginId"] != "serve" {
        complaints.push("pages do not come from serve".to_owned());
    }
    complaints
}

/// Each origin is the URL of the function that it is named after, and asked over TLS.
fn origins(template: &Template, config: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for (origin, url) in [("serve", "ServeUrl"), ("revalidate", "RevalidateUrl")] {
        let host =
            json!({ "Fn::Select": [2, { "Fn::Split": ["/", { "Fn::GetAtt": [url, "FunctionUrl"] }] }] });
        let mut all = config["Origins"].as_array().into_iter().flatten();
        let found = all.find(|o| o["Id"] == origin).unwrap_or(&Value::Null);
        if found["DomainName"] != host || found["CustomOriginConfig"]["OriginProtocolPolicy"] != "https-only"
        {
            complaints.push(format!("origin {origin} is not {url} over https"));
        }
    }
    // CloudFront signs for serve alone: who calls revalidate shows a secret, and could not sign a body.
    if template.0["Parameters"]["ServeUrlAuth"]["Default"] != "AWS_IAM"
        || template.properties("Serve")["FunctionUrlConfig"]["AuthType"] != json!({ "Ref": "ServeUrlAuth" })
    {
        complaints.push("everybody can pass CloudFront by".to_owned());
    }
    for (id, action) in
        [("ServeUrlForCloudFront", "InvokeFunctionUrl"), ("ServeForCloudFront", "InvokeFunction")]
    {
        let permission = template.properties(id);
        if permission["Action"] != format!("lambda:{action}")
            || permission["Principal"] != "cloudfront.amazonaws.com"
            || !permission["SourceArn"].to_string().contains("distribution/${Distribution}")
        {
            complaints.push(format!("this distribution, and no other, needs lambda:{action} on Serve"));
        }
    }
    complaints
}

fn what_is_kept(template: &Template, config: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rule = |holds: bool, otherwise: &str| {
        if !holds {
            complaints.push(otherwise.to_owned());
        }
    };
    let policy = &template.properties("CachePolicy")["CachePolicyConfig"];
    let key = &policy["ParametersInCacheKeyAndForwardedToOrigin"];
    let pages = &config["DefaultCacheBehavior"];
    rule(pages["CachePolicyId"] == json!({ "Ref": "CachePolicy" }), "pages have another cache policy");
    rule(pages["AllowedMethods"] == json!(["GET", "HEAD"]), "serve answers GET and HEAD only");
    rule(
        policy["MinTTL"] == 0 && policy["DefaultTTL"] == 0,
        "CloudFront keeps answers for longer than they say",
    );
    rule(
        key["CookiesConfig"] == json!({ "CookieBehavior": "whitelist", "Cookies": [DRAFT_COOKIE] }),
        "drafts, and nothing but drafts, are told apart by their cookie",
    );
    rule(
        key["HeadersConfig"] == json!({ "HeaderBehavior": "none" }),
        "no answer depends on a header but Accept-Encoding",
    );
    rule(
        key["EnableAcceptEncodingBrotli"] == true && key["EnableAcceptEncodingGzip"] == true,
        "serve sends brotli and gzip",
    );
    let tags = json!({ "Fn::If": ["PurgesByTag", { "HeaderName": "cache-tag" }, { "Ref": "AWS::NoValue" }] });
    rule(config["CacheTagConfig"] == tags, "cache tags are in another field than serve's");
    for behaviour in behaviours(config) {
        rule(behaviour["CachePolicyId"] == CACHING_DISABLED, "a publisher's answer is kept");
        let post = behaviour["AllowedMethods"].as_array().is_some_and(|m| m.contains(&json!("POST")));
        rule(post, "a publisher cannot POST");
    }
    for behaviour in behaviours(config).chain([pages]) {
        rule(
            behaviour["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST_HEADER,
            "a function's URL answers to its own host only, and needs the caller's other fields",
        );
    }
    for error in config["CustomErrorResponses"].as_array().into_iter().flatten() {
        rule(error["ErrorCachingMinTTL"] == 0, "errors are kept for longer than they say");
    }
    for status in [404, 500, 502, 503, 504] {
        let mut errors = config["CustomErrorResponses"].as_array().into_iter().flatten();
        rule(
            errors.any(|e| e["ErrorCode"] == status),
            "CloudFront keeps an error for 10 s of its own accord",
        );
    }
    complaints
}

/// What is done with paths that are none of pages, with those that there are only under a base path.
fn behaviours(config: &Value) -> impl Iterator<Item = &Value> {
    let all = config["CacheBehaviors"].as_array().into_iter().flatten();
    all.map(|behaviour| behaviour["Fn::If"].get(1).unwrap_or(behaviour))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
