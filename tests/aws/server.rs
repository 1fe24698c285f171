//! What the stores lean on.

use http::Method;
use serde_json::{Value, json};
use tests::answer::Ask;
use tests::{Asks, Aws};
use tokio::task::JoinSet;

const RACERS: usize = 20;
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_has_one_winner() {
    let aws = Aws::start().await;
    for round in 0..ROUNDS {
        let mut race = JoinSet::new();
        for racer in 0..RACERS {
            let aws = aws.clone();
            race.spawn(async move {
                let update = json!({
                    "TableName": aws.table,
                    "Key": { "pk": { "S": format!("round-{round}") }, "sk": { "S": "lease" } },
                    "UpdateExpression": "SET holder = :holder",
                    "ConditionExpression": "attribute_not_exists(holder)",
                    "ExpressionAttributeValues": { ":holder": { "N": racer.to_string() } },
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                });
                let ask = Ask::new(Method::POST, "/").header("x-amz-target", "DynamoDB_20120810.UpdateItem");
                (racer, aws.ask(ask.body(update.to_string())).await)
            });
        }
        let answers = race.join_all().await;
        let winners: Vec<_> = answers.iter().filter(|(_, answer)| answer.status == 200).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        for (_, lost) in answers.iter().filter(|(_, answer)| answer.status != 200) {
            let lost: Value = lost.json();
            assert!(lost["__type"].as_str().unwrap().ends_with("ConditionalCheckFailedException"), "{lost}");
            assert_eq!(lost["Item"]["holder"]["N"], winners[0].0.to_string(), "the loser sees the winner");
        }
    }
}

#[tokio::test]
async fn a_condition_on_an_object_is_kept() {
    let aws = Aws::start().await;
    let target = format!("/{}/object", aws.bucket);
    for expected in [200, 412] {
        let put = Ask::new(Method::PUT, &*target).header("if-none-match", "*").body("content");
        assert_eq!(aws.ask(put).await.status, expected);
    }
}

#[tokio::test]
async fn a_message_that_nobody_works_goes_to_the_dead_letters() {
    let aws = Aws::start().await;
    let message = json!({ "QueueUrl": aws.queue_url, "MessageBody": "job" });
    aws.json("AmazonSQS.SendMessage", &message).await;
    let receive = async |url: &str| {
        let asked = json!({ "QueueUrl": url, "VisibilityTimeout": 0, "MaxNumberOfMessages": 10 });
        let answer = aws.json("AmazonSQS.ReceiveMessage", &asked).await;
        answer["Messages"].as_array().map_or(0, Vec::len)
    };
    for _ in 0..5 {
        assert_eq!(receive(&aws.queue_url).await, 1, "delivered again");
    }
    assert_eq!(receive(&aws.queue_url).await, 0, "often enough");
    assert_eq!(receive(&aws.dead_letters_url).await, 1);
}
