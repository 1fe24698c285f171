//! B15. What commands and settings say of a mistake: what is wanted, and what came, in words that are not Rust's.

use serde_json::json;
use tests::Asks as _;

use crate::Host;

#[tokio::test]
async fn a_setting_that_cannot_be_read_is_told_what_is_wanted() {
    let h = Host::new().await;
    let launch = h.launch.clone().env("PERENNIAL_MAX_TAGS", "many").env("PERENNIAL_LISTEN", "web:3000");
    let launch = launch.env("PERENNIAL_TRAILING_SLASH", "yes").env("PERENNIAL_SECRET", "s");
    let failed = launch.run(&["start"]).await.failure(&[
        "PERENNIAL_MAX_TAGS is `many`: it must be a whole number",
        "PERENNIAL_LISTEN is `web:3000`: it must be a port, or an IP address and a port, like 3000, ",
        "PERENNIAL_TRAILING_SLASH is `yes`: it must be `true` or `false`",
        "PERENNIAL_SECRET is no setting; did you mean PERENNIAL_REVALIDATE_SECRETS?",
    ]);
    assert!(!failed.output.contains("invalid digit"), "{}", failed.output);
}

/// Platforms give a port, people leave the address out.
#[tokio::test]
async fn a_port_alone_is_where_to_listen() {
    let h = Host::new().await;
    let by = |listen: &str, port: &str| h.launch.clone().env("PERENNIAL_LISTEN", listen).env("PORT", port);
    for (launch, address) in [
        (by("", "0"), "http://0.0.0.0:"),
        (by("localhost:0", "1"), "http://127.0.0.1:"),
        (by(":0", ""), "http://0.0.0.0:"),
        (by("0", ""), "http://127.0.0.1:"),
        (by("[::1]:0", ""), "http://[::1]:"),
    ] {
        let site = launch.start().await;
        assert!(site.log.count(&format!("listening on {address}")) == 1, "{}", site.log.text());
        site.stop().await.success();
    }
    by("", "web").run(&["start"]).await.failure(&["PORT is `web`: it must be a whole number"]);
}

#[tokio::test]
async fn an_argument_that_cannot_be_read_is_told_what_is_wanted() {
    let h = Host::new().await;
    let number = "must be a whole number";
    for (args, wanted) in [
        (&["publishes", "--limit", "ten"][..], number),
        (&["revalidate", "/a", "--look-again-after", "soon"], number),
        (&["revalidate", "/a", "--server", "example.com"], "must be a URL like https://example.com"),
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

/// Commands that only look make nothing.
#[tokio::test]
async fn a_folder_without_a_store_stays_without_one() {
    let h = Host::new().await;
    let nowhere = h.store.path().join("nowhere");
    let launch = h.launch.clone().env("PERENNIAL_STORE", nowhere.display());
    for args in [&["pages"][..], &["pages", "--json"], &["publishes"], &["publishes", "--cancel", "p1"]] {
        launch
            .run(args)
            .await
            .failure(&[&format!("there is no store at `{}`", nowhere.display()), "PERENNIAL_STORE"]);
        assert!(!nowhere.exists(), "{args:?}");
    }
}

/// The name is that of the program's file, and the version that of its site.
#[tokio::test]
async fn a_program_has_a_name_and_a_version_of_its_own() {
    let h = Host::new().await;
    let told = h.launch.run(&["--version"]).await.success().output;
    assert_eq!(told.trim(), concat!("conformance-site 3.2.1 (Perennial ", env!("CARGO_PKG_VERSION"), ")"));
    let help = h.launch.run(&["--help"]).await.success().output;
    assert!(help.contains("Usage: conformance-site [COMMAND]"), "{help}");
}
