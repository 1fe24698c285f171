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

use perennial::parts::run::settings::Settings;
use perennial::parts::stores::aws::account::Account;
use perennial::parts::stores::aws::stores::{AwsStores, open};
use perennial::{ReadySite, Site, SystemClock};
use tests::Aws;

/// The stores of a build, on a deployment and with more settings.
fn stores(aws: &Aws, build: &str, more: &[(&str, &str)]) -> AwsStores {
    with_account(aws, build, more).1
}

/// The same, and the account whose connections they use.
fn with_account(aws: &Aws, build: &str, more: &[(&str, &str)]) -> (Account, AwsStores) {
    let settings = settings(aws, build, more);
    let account = account(&settings);
    let stores = open(&account, &settings, &site(), Arc::new(SystemClock));
    (account, stores)
}

fn settings(aws: &Aws, build: &str, more: &[(&str, &str)]) -> Settings {
    let mut given = vec![("BUILD_ID".to_owned(), build.to_owned())];
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let replaced: Vec<_> = more.collect();
    given.extend(aws.settings().into_iter().filter(|(name, _)| !replaced.iter().any(|(n, _)| n == name)));
    Settings::read(given.into_iter().chain(replaced)).expect("settings")
}

fn account(settings: &Settings) -> Account {
    Account::open(settings.aws.as_ref().expect("stores on AWS")).expect("an account")
}

fn site() -> ReadySite {
    Site::new().ready(Some("/docs"), None).expect("an empty site")
}
