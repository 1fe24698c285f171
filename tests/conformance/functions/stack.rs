//! A stack a test.

use http::Method;
use serde_json::{Value, json};
use tests::answer::{PERSON, data_target};
use tests::aws::elements;
use tests::client::Client;
use tests::front::Front;
use tests::process::Log;
use tests::until::until;
use tests::{Answer, Ask, Asks, Deployed, Launch, Upstream};

/// The site, its upstream and its stack.
pub(crate) struct Fixture {
    pub(crate) up: Upstream,
    /// The command line, on the stack's stores.
    pub(crate) launch: Launch,
    pub(crate) site: Site,
}

/// The functions of a stack, as one address.
pub(crate) struct Site {
    front: Front,
    pub(crate) stack: Deployed,
    pub(crate) log: Log,
}

impl Asks for Fixture {
    async fn ask(&self, ask: Ask) -> Answer {
        self.site.client().ask(ask).await
    }

    async fn data(&self, path: &str) -> Answer {
        self.ask(Ask::get(data_target(self.site.stack.build(), path)).agent(PERSON)).await
    }
}

impl Site {
    pub(crate) fn client(&self) -> Client {
        self.front.client()
    }

    /// How many requests serve has under way. A process does one at a time, so as many of its processes are at work.
    pub(crate) fn serving(&self) -> usize {
        self.front.serving()
    }
}

impl Fixture {
    /// With default settings.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these settings.
    pub(crate) async fn with(env: &[(&str, &str)]) -> Self {
        Self::on(Upstream::start().await, env).await
    }

    /// On stores that `build` has filled as the upstream says.
    pub(crate) async fn built(up: Upstream, env: &[(&str, &str)]) -> Self {
        let fixture = Self::on(up, env).await;
        fixture.launch.run(&["build"]).await.success();
        fixture
    }

    /// The same, on this upstream.
    pub(crate) async fn on(up: Upstream, env: &[(&str, &str)]) -> Self {
        let stack = Deployed::start(env!("CARGO_BIN_EXE_conformance-function"), &up, env).await;
        Self::before(up, stack).await
    }

    /// The demo site, as `sam build` has made it.
    pub(crate) async fn sam_built() -> Self {
        let up = Upstream::start().await;
        let stack = Deployed::sam_built(&up).await;
        Self::before(up, stack).await
    }

    async fn before(up: Upstream, stack: Deployed) -> Self {
        let launch = stack.command_line(env!("CARGO_BIN_EXE_conformance-site"), &up);
        let front = Front::start(&stack).await;
        let log = stack.log();
        Self { up, launch, site: Site { front, stack, log } }
    }

    /// Ends the functions' processes: the next request of each is a cold start.
    pub(crate) async fn restart(&mut self) {
        for function in ["serve", "regenerate", "revalidate"] {
            self.site.stack.kill(function).await;
        }
    }

    /// All that was ever logged.
    pub(crate) async fn whole_log(self) -> String {
        // Lines are written before the answer that they are about.
        self.site.log.text()
    }
}

/// An address in front of the functions, as visitors and publishers know it.
pub(crate) struct Door<'a> {
    stack: &'a Deployed,
    host: String,
}

impl Asks for Door<'_> {
    async fn ask(&self, ask: Ask) -> Answer {
        // Who ends the TLS of the local server says so.
        self.stack.aws.ask(ask.header("host", &*self.host).header("x-forwarded-proto", "https")).await
    }
}

impl Fixture {
    /// The site's address.
    pub(crate) fn cloudfront(&self) -> Door<'_> {
        Door { stack: &self.site.stack, host: self.site.stack.output("DistributionDomain").to_owned() }
    }

    /// The address of revalidate past CloudFront.
    pub(crate) fn direct(&self) -> Door<'_> {
        let url = self.site.stack.output("RevalidateDirectUrl");
        let host = url.trim_start_matches("https://").split('/').next().expect("a host");
        Door { stack: &self.site.stack, host: host.to_owned() }
    }

    /// How many messages wait in a queue or are being worked.
    pub(crate) async fn messages(&self, queue_url: &str) -> u64 {
        let asked = json!({ "QueueUrl": queue_url, "AttributeNames": ["All"] });
        let answer = self.site.stack.aws.json("AmazonSQS.GetQueueAttributes", &asked).await;
        let number = |name: &str| {
            answer["Attributes"][name].as_str().and_then(|n| n.parse::<u64>().ok()).expect("a number")
        };
        number("ApproximateNumberOfMessages") + number("ApproximateNumberOfMessagesNotVisible")
    }

    /// Waits until no job is left but those for later.
    pub(crate) async fn until_worked(&self) {
        until("an empty queue", async || {
            (self.messages(&self.site.stack.aws.queue_url).await == 0).then_some(())
        })
        .await;
    }

    /// The site's epoch: how often something was invalidated.
    pub(crate) async fn epoch(&self) -> u64 {
        let key = json!({ "pk": { "S": "epoch" }, "sk": { "S": "epoch" } });
        let asked = json!({ "TableName": self.site.stack.aws.table, "Key": key, "ConsistentRead": true });
        let found = self.site.stack.aws.json("DynamoDB_20120810.GetItem", &asked).await;
        found["Item"]["epoch"]["N"].as_str().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Both keys of every item of the table.
    pub(crate) async fn items(&self) -> Vec<(String, String)> {
        let all = self
            .site
            .stack
            .aws
            .json("DynamoDB_20120810.Scan", &json!({ "TableName": self.site.stack.aws.table }))
            .await;
        let key = |item: &Value, name: &str| item[name]["S"].as_str().expect("a text").to_owned();
        all["Items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| (key(item, "pk"), key(item, "sk")))
            .collect()
    }

    /// How many bodies are in the bucket.
    pub(crate) async fn objects(&self) -> usize {
        let target = format!("/{}?list-type=2", self.site.stack.aws.bucket);
        elements(&self.site.stack.aws.rest(Method::GET, &target, "").await.text(), "Key").len()
    }

    /// What the distribution was told, the newest order first.
    pub(crate) async fn orders(&self) -> Vec<Vec<String>> {
        self.site.stack.aws.orders(self.site.stack.output("DistributionId")).await
    }
}
