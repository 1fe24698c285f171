//! What CloudFront passes on to whom, and what it keeps.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use perennial::parts::run::preview::{DRAFT_COOKIE, DRAFT_MAX, Drafts};
use perennial::parts::webhooks::secret::key_id;
use perennial::{Clock as _, Millis, SystemClock};
use serde_json::{Value, json};

use crate::source::{Template, json_of};

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html>
const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-origin-request-policies.html>
const ALL_VIEWER_EXCEPT_HOST_HEADER: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";

pub(crate) fn broken(template: &Template, workspace: &Value) -> Vec<String> {
    let config = &template.properties("Distribution")["DistributionConfig"];
    let mut complaints = routes(config, workspace);
    complaints.extend(services(config));
    complaints.extend(origins(template, config));
    complaints.extend(what_is_kept(template, config));
    complaints.extend(draft_cookies(template, config));
    complaints
}

/// CloudFront's own function is before the pages, and takes the right cookies away from nobody.
fn draft_cookies(template: &Template, config: &Value) -> Vec<String> {
    let of_pages = &config["DefaultCacheBehavior"]["FunctionAssociations"];
    let arn = json!({ "Fn::GetAtt": ["DraftCookie", "FunctionMetadata.FunctionARN"] });
    let function = template.properties("DraftCookie");
    let mut complaints = Vec::new();
    if *of_pages != json!([{ "EventType": "viewer-request", "FunctionARN": arn }]) {
        complaints.push("anybody can have CloudFront ask serve, with a made-up cookie of a draft".to_owned());
    }
    if function["AutoPublish"] != true || function["FunctionConfig"]["Runtime"] != "cloudfront-js-2.0" {
        complaints.push("DraftCookie is not what CloudFront runs".to_owned());
    }
    let code = function["FunctionCode"].as_str().unwrap_or_default();
    // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-functions
    if code.len() > 10 * 1024 || !code.contains(DRAFT_COOKIE) {
        complaints.push("DraftCookie is too long, or of another cookie".to_owned());
    }
    complaints
}

/// What the function of the template leaves of these `Cookie`s, each a list of values of the draft's cookie.
fn left(code: &str, cookies: &[Vec<String>]) -> Vec<Value> {
    let event = |values: &Vec<String>| {
        let mut all = json!({ "session": { "value": "x" } });
        match &values[..] {
            [] => {}
            [only] => all[DRAFT_COOKIE] = json!({ "value": only }),
            [first, ..] => {
                let each: Vec<_> = values.iter().map(|value| json!({ "value": value })).collect();
                all[DRAFT_COOKIE] = json!({ "value": first, "multiValue": each });
            }
        }
        json!({ "version": "1.0", "request": { "uri": "/never", "headers": {}, "cookies": all } })
    };
    let events = Value::from(cookies.iter().map(event).collect::<Vec<_>>());
    let program = format!(
        "{code}\nconst events = JSON.parse(process.argv[1]);\nconsole.log(JSON.stringify(events.map(handler)));"
    );
    let mut node = Command::new("node");
    let left = json_of(node.args(["-e", &program]).arg(events.to_string()));
    let requests = left.as_array().expect("a list").iter();
    requests
        .map(|request| {
            assert_eq!(
                (&request["uri"], &request["cookies"]["session"]["value"]),
                (&json!("/never"), &json!("x"))
            );
            request["cookies"][DRAFT_COOKIE].clone()
        })
        .collect()
}

/// The edge cannot know whether a cookie is right, but it lets nothing through that cannot be.
#[test]
fn the_edge_takes_away_what_cannot_be_a_drafts_cookie() {
    let template = Template::read();
    let code = template.properties("DraftCookie")["FunctionCode"].as_str().expect("a function");
    let (now, secret) = (SystemClock.now(), "a secret for calls");
    let drafts = Drafts::new(&[secret.to_owned()]);
    let signed = |until: Millis| drafts.sign(&key_id(secret), until).expect("a cookie");
    let minute = Duration::from_secs(60);
    let (right, longest) = (signed(now.plus(minute)), signed(now.plus(DRAFT_MAX)));
    for kept in [&right, &longest] {
        assert_eq!(left(code, &[vec![kept.clone()]]), [json!({ "value": kept })]);
    }
    let forged = [
        String::new(),
        "x".to_owned(),
        "1".to_owned(),
        ".".to_owned(),
        format!("{right}0"),
        format!("0{right}"),
        right[..right.len() - 1].to_owned(),
        right.to_ascii_uppercase(),
        right.replace('.', ""),
        right.replace('.', "x"),
        format!("{right}\n"),
        signed(now),
        signed(Millis(now.0 - 60_000)),
        signed(Millis(0)),
        signed(now.plus(DRAFT_MAX + minute * 60)),
        signed(Millis(u64::MAX)),
    ];
    let cookies: Vec<_> = forged.iter().map(|value| vec![value.clone()]).collect();
    for (left, value) in left(code, &cookies).iter().zip(&forged) {
        assert_eq!(*left, Value::Null, "{value:?}");
    }
    let among =
        [vec![], vec!["x".to_owned(), right.clone(), "y".to_owned()], vec!["x".to_owned(), "y".to_owned()]];
    assert_eq!(left(code, &among), [Value::Null, json!({ "value": right }), Value::Null]);
}

/// A service's paths go to serve with everything, if there is a service, and publishers' paths come first.
fn services(config: &Value) -> Vec<String> {
    let all = config["CacheBehaviors"].as_array().map_or(&[][..], Vec::as_slice);
    let of_services = &all[all.len().saturating_sub(2)..];
    let paths = ["${BasePath}${ServicePath}", "${BasePath}${ServicePath}/*"];
    let are_right = of_services.iter().zip(paths).all(|(behaviour, path)| {
        let [condition, with, without] = [0, 1, 2].map(|n| &behaviour["Fn::If"][n]);
        *condition == "HasService"
            && *without == json!({ "Ref": "AWS::NoValue" })
            && with["PathPattern"]["Fn::Sub"] == path
            && is_of_service(with)
            && with["AllowedMethods"].as_array().is_some_and(|methods| methods.len() == 7)
    });
    let others = &all[..all.len().saturating_sub(2)];
    let are_last = !others.iter().any(|one| is_of_service(one["Fn::If"].get(1).unwrap_or(one)));
    let wrong = !are_right || !are_last;
    wrong
        .then(|| "the last two behaviours are those of a service, which serve answers".to_owned())
        .into_iter()
        .collect()
}

fn is_of_service(behaviour: &Value) -> bool {
    behaviour["TargetOriginId"] == "serve"
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
    for behaviour in behaviours(config).filter(|behaviour| !is_of_service(behaviour)) {
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
    for known in [perennial_revalidate::ENDPOINT, perennial_revalidate::console::CONSOLE] {
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
        rule(
            behaviour["CachePolicyId"] == CACHING_DISABLED,
            "an answer for a publisher, or of a service, is kept",
        );
        let post = behaviour["AllowedMethods"].as_array().is_some_and(|m| m.contains(&json!("POST")));
        rule(post, "a publisher, or a service's visitor, cannot POST");
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
