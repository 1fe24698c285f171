//! Publishers' deliveries: who sends one, whether its signature is right, and which pages change with it. Pure.
//!
//! A delivery passes these files in order: [`providers`] recognise its sender, [`rules`] read from its [`payload`] which
//! pages change.

pub mod changes;
mod condition;
pub mod json;
pub mod mismatch;
pub mod outcome;
pub mod payload;
mod pointer;
pub mod provider;
mod reference;
pub mod rules;
mod template;
