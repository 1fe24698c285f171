//! The stores of an AWS account.

pub(crate) mod errors;
