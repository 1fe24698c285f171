//! What `sam build` makes of the template: three programs for Lambda's own machines, run here by an emulator of their
//! processor where this one has another.

use std::collections::BTreeSet;

use serde_json::json;
use tests::until::until;
use tests::{Ask, Asks as _, deployed};

use super::publishers::call;
use crate::Fixture;

/// The C library of Amazon Linux 2023, on which `provided.al2023` is built. A program that asks for a newer one does not
/// start there. <https://docs.aws.amazon.com/linux/al2023/release-notes/all-packages-AL2023.html>
const GLIBC: (u32, u32) = (2, 34);

#[test]
fn programs_start_on_amazon_linux() {
    let programs = deployed::built();
    let architectures: BTreeSet<_> = programs.iter().map(deployed::Built::architecture).collect();
    assert_eq!(architectures.len(), 1, "{architectures:?}");
    for program in programs {
        let newest = versions(&program.elf).into_iter().max().expect("a program that uses the C library");
        assert!(newest <= GLIBC, "{} asks for glibc {newest:?}", program.path.display());
    }
}

/// The versions of glibc that a program names, as `GLIBC_2.34` among its strings.
fn versions(elf: &[u8]) -> BTreeSet<(u32, u32)> {
    const PREFIX: &[u8] = b"\0GLIBC_";
    let starts = elf.windows(PREFIX.len()).enumerate().filter(|(_, bytes)| *bytes == PREFIX);
    let name = |(at, _): (usize, &[u8])| {
        let rest = &elf[at + PREFIX.len()..];
        let end = rest.iter().position(|byte| *byte == 0)?;
        let mut numbers = std::str::from_utf8(&rest[..end]).ok()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    starts.filter_map(name).collect()
}

/// The guide's way as it is written: `sam build`, `sam deploy`, visitors, a publisher. All three programs work, on
/// bodies in the table and in the bucket, and after a cold start.
#[tokio::test]
async fn what_sam_builds_and_deploys_is_a_working_site() {
    let mut f = Fixture::sam_built().await;
    let post = |title: &str| json!([{ "id": 1, "title": title, "body": "Text" }]);
    // The demo site's calls name no page.
    f.up.on("", post("The first title"));
    f.cloudfront().get("/posts").await.expect(200, "MISS").holds("The first title");
    f.cloudfront().get("/posts").await.expect(200, "HIT").holds("The first title");
    let guide = f.cloudfront().get("/guides/deploying").await.expect(200, "MISS").holds("sam build");
    f.restart().await;
    let again = f.cloudfront().get("/guides/deploying").await.expect(200, "HIT");
    assert!(again.body == guide.body, "{again}");
    assert!(f.objects().await > 0, "no body is in the bucket");
    let brotli = f.cloudfront().ask(Ask::get("/guides/deploying").header("accept-encoding", "br")).await;
    assert_eq!(brotli.expect(200, "HIT").header("content-encoding"), "br");

    f.up.on("", post("The second title"));
    let accepted = f.cloudfront().ask(call("test-secret", r#"{"tags":["posts"]}"#)).await;
    assert_eq!(accepted.status, 202, "{accepted}");
    until("the new title", async || {
        let page = f.cloudfront().get("/posts").await;
        assert_eq!(page.status, 200, "{page}");
        page.text().contains("The second title").then_some(())
    })
    .await;
    f.up.on("", post("The third title"));
    assert_eq!(f.cloudfront().revalidate("/posts").await.json()["revalidated"], json!(true));
    f.cloudfront().get("/posts").await.expect(200, "HIT").holds("The third title");
    let log = f.site.log.text();
    // The secret of these tests is short and has no name.
    let complains = |line: &&str| line.contains("\"ERROR\"") || line.contains("\"WARN\"");
    let complaint =
        log.lines().filter(complains).find(|line| !line.contains("in PERENNIAL_REVALIDATE_SECRETS"));
    assert_eq!(complaint, None, "{log}");
    assert!(log.contains("\"rendered\""), "{log}");
}
