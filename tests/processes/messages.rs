//! B15. What commands and settings say of a mistake: what is wanted, and what came, in words that are not Rust's.

use serde_json::json;
use tests::Asks as _;

use crate::Host;

#[tokio::test]
async fn a_setting_that_cannot_be_read_is_told_what_is_wanted() {
    let h = Host::new().await;
    let launch = h.launch.clone().env("PERENNIAL_MAX_TAGS", "many").env("PERENNIAL_LISTEN", "localhost:3000");
    let launch = launch.env("PERENNIAL_TRAILING_SLASH", "yes").env("PERENNIAL_SECRET", "s");
    let failed = launch.run(&["start"]).await.failure(&[
        "PERENNIAL_MAX_TAGS is `many`: it must be a whole number",
        "PERENNIAL_LISTEN is `localhost:3000`: it must be an IP address and a port",
        "PERENNIAL_TRAILING_SLASH is `yes`: it must be `true` or `false`",
        "PERENNIAL_SECRET is no setting; did you mean PERENNIAL_REVALIDATE_SECRETS?",
    ]);
    assert!(!failed.output.contains("invalid digit"), "{}", failed.output);
}

#[tokio::test]
async fn an_argument_that_cannot_be_read_is_told_what_is_wanted() {
    let h = Host::new().await;
    let number = "must be a whole number";
    for (args, wanted) in [
        (&["publishes", "--limit", "ten"][..], number),
        (&["revalidate", "/a", "--look-again-after", "soon"], number),
        (&["revalidate", "/a", "--server", "localhost:1"], "must be an IP address and a port"),
    ] {
        let failed = h.launch.run(args).await.failure(&[wanted]);
        assert!(!failed.output.contains("invalid digit"), "{}", failed.output);
    }
}

/// In queries and in the body of a call.
#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_told_what_is_wanted() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    for target in [
        "/api/publish/pages?limit=ten",
        "/api/revalidate/log?limit=ten",
        "/api/revalidate?path=/&look_again_after=ten",
        "/api/draft?path=/&seconds=ten",
    ] {
        let refused = site.get(&format!("{target}&secret=test-secret")).await.expect(400, "").json();
        let message = refused["message"].as_str().expect("a message");
        assert!(message.contains("is `ten`: it must be a whole number"), "{target}: {message}");
    }
    let body = json!({ "path": "/", "look_again_after": "ten" }).to_string();
    let call = tests::Ask::new(http::Method::POST, "/api/revalidate?secret=test-secret").body(body);
    let refused = site.ask(call).await.expect(400, "").json();
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("it must be a whole number"), "{message}");
}

/// `pages` counts in English.
#[tokio::test]
async fn once_is_not_one_times() {
    let h = Host::new().await;
    let site = h.launch.start().await;
    site.get("/never").await.expect(200, "MISS");
    for told in ["once: the upstream is down", "2 times: the upstream is down"] {
        h.up.next("/never", tests::Reply::throw("the upstream is down"));
        site.revalidate("/never").await.expect(500, "");
        let output = h.launch.run(&["pages"]).await.success().output;
        assert!(output.contains(told), "{output}");
    }
}
