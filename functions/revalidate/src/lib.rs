//! Revalidate: a publisher's call in, renewed pages out. Verify, plan, act.

mod answer;
pub mod auth;
pub mod console;
pub mod decide;
pub mod delivery;
mod draft;
pub mod endpoint;
#[cfg(feature = "lambda")]
pub mod function;
pub mod journal;
mod layers;
pub mod paths;
pub mod payload_plans;
pub mod plan;
pub mod tokens;

pub use answer::ENDPOINT;
pub use endpoint::Revalidate;
