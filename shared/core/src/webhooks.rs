//! Publishers' deliveries: who sends one, whether its signature is right, and which pages change with it. Pure.
//!
//! A delivery passes these files in order:
//!
//! | file | answers |
//! |---|---|
//! | [`providers`] | who sends it, and how that publisher signs: everything about one publisher is in one file and one folder |
//! | `verify` | whether a live [`secret`] has signed it |
//! | [`posted`] | whether its body is JSON or a form |
//! | [`rules`] | which pages change with its [`payload`]: a rule's [`changes`], or a [`mismatch`] |

pub mod changes;
mod condition;
pub mod json;
pub mod mismatch;
pub mod outcome;
pub mod payload;
mod pointer;
pub mod posted;
pub mod provider;
pub mod providers;
mod reference;
pub mod rules;
pub mod secret;
pub mod signature;
mod template;
#[cfg(feature = "signatures")]
pub mod verify;
