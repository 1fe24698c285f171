//! The stores of an AWS account, on a local server. First the server itself is checked: it is young, and what it gets
//! wrong would be looked for in vain in the stores.
//!
//! | module | what |
//! |---|---|
//! | [`server`] | what the stores lean on: conditions, redelivery |
//! | [`stores`] | the ports' suites, and what they cannot say for all implementations |
//! | [`connections`] | when they are opened, what happens when they break, whom they trust |
//! | [`requests`] | what each way to answer a visitor costs in calls |
//! | [`scale`] | that the cost of an invalidation does not grow with the number of pages |
//! | [`faults`] | the suites again, while calls go wrong |
//! | [`outages`] | what visitors and publishers see while a service fails |
//! | [`struggles`] | the same, and how soon, while one struggles: hot keys, no answers, slow ones |
//! | [`sdk`] | the calls signed by hand, beside those of the AWS SDK |
//! | [`second_opinion`] | records on AWS's own DynamoDB for one machine |
//! | [`standalone`] | one process that serves from an account's stores, and works the queue |
//! | [`streams`] | bodies that are passed on as they arrive |
//! | [`edge`] | CloudFront's orders, byte by byte |
#![allow(missing_docs, reason = "a test program has no readers of its documentation")]
#![allow(clippy::disallowed_methods, reason = "tests look from outside: the clock is the machine's")]

mod connections;
mod edge;
mod faults;
mod front;
mod outages;
mod requests;
mod scale;
mod sdk;
mod second_opinion;
mod server;
mod standalone;
mod stores;
mod streams;
mod struggles;

use std::sync::Arc;

use perennial::parts::cdn::cloudfront::invalidation::CloudFront;
use perennial::parts::ports::stores::Ports;
use perennial::parts::run::settings::Settings;
use perennial::parts::stores::aws::account::Account;
use perennial::parts::stores::aws::bodies::S3Bodies;
use perennial::parts::stores::aws::journal::DynamoJournal;
use perennial::parts::stores::aws::pages::DynamoPages;
use perennial::parts::stores::aws::queue::SqsQueue;
use perennial::parts::stores::aws::settings::AwsSettings;
use perennial::parts::stores::aws::stores::{AwsStores, open};
use perennial::{Clock, ReadySite, Site, SystemClock};
use tests::Aws;

/// The stores of a build, on a deployment and with more settings.
fn stores(aws: &Aws, build: &str, more: &[(&str, &str)]) -> AwsStores {
    with_account(aws, build, more).1
}

/// The same, and the account whose connections they use.
fn with_account(aws: &Aws, build: &str, more: &[(&str, &str)]) -> (Account, AwsStores) {
    let settings = settings(aws, build, more);
    let account = account(&settings);
    (account.clone(), open_stores(&account, &settings, Arc::new(SystemClock)))
}

fn open_stores(account: &Account, settings: &Settings, clock: Arc<dyn Clock>) -> AwsStores {
    open(account, stores_of(settings), &settings.limits, &settings.build_id, clock)
}

/// The same stores behind a distribution.
type Fronted = Ports<DynamoPages, S3Bodies, SqsQueue, CloudFront, DynamoJournal>;

fn stores_of(settings: &Settings) -> &AwsSettings {
    settings.aws.as_ref().expect("stores on AWS")
}

fn settings(aws: &Aws, build: &str, more: &[(&str, &str)]) -> Settings {
    let mut given = vec![("BUILD_ID".to_owned(), build.to_owned())];
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let replaced: Vec<_> = more.collect();
    given.extend(aws.settings().into_iter().filter(|(name, _)| !replaced.iter().any(|(n, _)| n == name)));
    Settings::read(given.into_iter().chain(replaced)).expect("settings")
}

fn account(settings: &Settings) -> Account {
    Account::open(settings.account().expect("an account is named")).expect("an account")
}

fn site() -> ReadySite {
    Site::new().ready(Some("/docs"), None).expect("an empty site")
}
