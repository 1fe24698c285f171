//! What only a deployment of the three functions has.
//!
//! | module | what |
//! |---|---|
//! | [`stack`] | a stack a test |
//! | [`visitors`] | CloudFront in front, bodies in table and bucket, one build after another |
//! | [`publishers`] | webhooks by both ways, orders to the distribution, many pages through the queue |
//! | [`queue`] | failures on the way through it: renders, stores, processes |
//! | [`alarms`] | what fails for good, and who hears of it |
//! | [`built`] | what `sam build` makes, on the processor that it is made for |
//! | [`survival`] | people and a publisher, while functions and stores fail |

mod alarms;
mod built;
mod publishers;
mod queue;
pub(crate) mod stack;
mod survival;
mod visitors;
