//! The runtime of a process: settings, secrets, draft cookies, logs, metrics, and the events of AWS Lambda.

#[cfg(any(feature = "aws", feature = "embedded"))]
pub mod function;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod metrics;
pub mod preview;
pub mod secrets;
pub mod settings;
pub mod telemetry;
