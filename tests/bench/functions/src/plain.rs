//! A stored page without a library: one GetItem for what is known of it, one GetObject for its bytes. The SDK is used
//! as its documentation shows; the runtime is the one that the measured function has, which is the fastest here.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (table, bucket) = (&std::env::var("TABLE")?, &std::env::var("BUCKET")?);
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let (dynamodb, s3) = (&aws_sdk_dynamodb::Client::new(&config), &aws_sdk_s3::Client::new(&config));
    run(service_fn(move |request: Request| async move {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let get = dynamodb.get_item().table_name(table).key("pk", text(request.uri().path()));
        let item = get.key("sk", text("plain")).send().await?.item.ok_or("no such page")?;
        let field = |name| item.get(name).and_then(|value| value.as_s().ok()).ok_or("a damaged item");
        let object = s3.get_object().bucket(bucket).key(field("object")?).send().await?;
        let page = object.body.collect().await?.to_vec();
        let answer = Response::builder()
            .header("content-type", "text/html; charset=utf-8")
            .header("cache-control", "s-maxage=300, stale-while-revalidate=86400")
            .header("etag", field("etag")?);
        Ok::<_, Error>(answer.body(Body::Text(String::from_utf8(page)?))?)
    }))
    .await
}
