//! What fails for good, and who hears of it.

use serde_json::{Value, json};
use tests::Asks as _;
use tests::until::until;

use super::queue::{dead_letters_arn, queue_attributes, stale};
use crate::Fixture;

/// Invariant 7: a message that nobody can read, and a renewal that fails whenever it is tried, are delivered as often
/// as the queue says, and kept where somebody can look at them. The alarm that watches that place goes off, and
/// whoever is named in `AlarmTopicArn` hears of it. When the reason is gone, the page is renewed as ever.
#[tokio::test]
async fn what_fails_for_good_is_put_aside_and_raises_the_alarm() {
    let topic = "arn:aws:sns:us-east-1:000000000000:on-call";
    let f = Fixture::with(&[("AlarmTopicArn", topic), ("PERENNIAL_LEASE_MS", "1000")]).await;
    let aws = &f.site.stack.aws;
    let mailbox = mailbox(&f, topic).await;
    // Fewer deliveries than the template has: those take three hours.
    let redrive = json!({ "deadLetterTargetArn": dead_letters_arn(&f).await, "maxReceiveCount": "2" });
    queue_attributes(&f, json!({ "RedrivePolicy": redrive.to_string() })).await;
    let old = stale(&f).await;
    measure_dead_letters(&f).await;
    assert_eq!(dead_letters_alarm(&f).await["StateValue"], "OK");

    let variables = f.site.stack.environment("Regenerate").await;
    let mut broken = variables.clone();
    broken["PERENNIAL_TABLE"] = "no-such-table".into();
    f.site.stack.set_environment("Regenerate", &broken).await;
    let sent = json!({ "QueueUrl": aws.queue_url, "MessageBody": "this is not a job" });
    aws.json("AmazonSQS.SendMessage", &sent).await;
    f.up.on("/blog/a", json!({ "value": "new", "revalidate": 60 }));
    f.get("/blog/a").await.expect(200, "STALE");
    until("both among the dead letters", async || {
        (f.messages(&aws.dead_letters_url).await == 2).then_some(())
    })
    .await;
    let log = &f.site.log;
    assert_eq!(log.count("cannot be carried out"), 2, "{}", log.text());
    assert_eq!(log.count("a job will be tried again"), 2, "{}", log.text());
    assert_eq!(f.get("/blog/a").await.id(), old.id());
    let kept = received(&f, &aws.dead_letters_url, 2).await;
    assert!(kept.iter().any(|body| body == "this is not a job"), "{kept:?}");
    assert!(kept.iter().any(|body| body.contains("/blog/{slug}|a")), "{kept:?}");

    measure_dead_letters(&f).await;
    let alarm = dead_letters_alarm(&f).await;
    assert_eq!(alarm["StateValue"], "ALARM", "{alarm}");
    let notice = received(&f, &mailbox, 1).await.remove(0);
    let notice: Value = serde_json::from_str(&notice).expect("a notification of SNS");
    let notice: Value =
        notice["Message"].as_str().and_then(|text| serde_json::from_str(text).ok()).expect("JSON");
    assert_eq!((&notice["AlarmName"], &notice["NewStateValue"]), (&alarm["AlarmName"], &json!("ALARM")));

    f.site.stack.set_environment("Regenerate", &variables).await;
    until("the new page", async || (f.get("/blog/a").await.value() == "new").then_some(())).await;
}

/// A queue that gets what is sent to a topic.
async fn mailbox(f: &Fixture, topic: &str) -> String {
    let aws = &f.site.stack.aws;
    let (_, name) = topic.rsplit_once(':').expect("an ARN");
    let made = aws.json("AmazonSQS.CreateQueue", &json!({ "QueueName": name })).await;
    aws.query("sns", &[("Action", "CreateTopic"), ("Name", name)]).await;
    let endpoint = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    let subscribed = [("TopicArn", topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)];
    aws.query("sns", &[&[("Action", "Subscribe")], &subscribed[..]].concat()).await;
    made["QueueUrl"].as_str().expect("a URL").to_owned()
}

/// The first so many messages of a queue, which it keeps.
async fn received(f: &Fixture, url: &str, count: usize) -> Vec<String> {
    let asked = json!({ "QueueUrl": url, "VisibilityTimeout": 0, "MaxNumberOfMessages": 10 });
    until("messages", async || {
        let answer = f.site.stack.aws.json("AmazonSQS.ReceiveMessage", &asked).await;
        let messages = answer["Messages"].as_array()?;
        let body = |message: &Value| message["Body"].as_str().expect("a text").to_owned();
        (messages.len() == count).then(|| messages.iter().map(body).collect())
    })
    .await
}

async fn dead_letters_alarm(f: &Fixture) -> Value {
    let asked = json!({ "AlarmNames": [f.site.stack.resource("DeadLettersAlarm")] });
    let alarms = f.site.stack.aws.json("GraniteServiceVersion20100801.DescribeAlarms", &asked).await;
    alarms["MetricAlarms"][0].clone()
}

/// Does what SQS does every minute and the local server does not: tells CloudWatch how many messages can be received,
/// of the queue that the alarm watches. What follows from it is the server's affair.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>
async fn measure_dead_letters(f: &Fixture) {
    let aws = &f.site.stack.aws;
    let alarm = dead_letters_alarm(f).await;
    let dimensions = alarm["Dimensions"].clone();
    assert_eq!((&dimensions[0]["Name"], dimensions.as_array().map(Vec::len)), (&json!("QueueName"), Some(1)));
    let url = aws.json("AmazonSQS.GetQueueUrl", &json!({ "QueueName": dimensions[0]["Value"] })).await;
    let url = url["QueueUrl"].as_str().expect("a URL");
    let asked = json!({ "QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"] });
    let found = aws.json("AmazonSQS.GetQueueAttributes", &asked).await;
    let visible =
        found["Attributes"]["ApproximateNumberOfMessages"].as_str().and_then(|n| n.parse::<f64>().ok());
    let measured = json!({
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": dimensions,
        "Value": visible.expect("a number"),
        "Unit": "Count",
    });
    let put = json!({ "Namespace": "AWS/SQS", "MetricData": [measured] });
    aws.json("GraniteServiceVersion20100801.PutMetricData", &put).await;
}
