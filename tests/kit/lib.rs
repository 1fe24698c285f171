//! The test world: a site whose every render a test decides, the upstream that decides it, and clients and
//! processes to look at it from outside.
//!
//! | module | what |
//! |---|---|
//! | [`conformance`] | the site under test, the same for every harness (`CONFORMANCE.md`) |
//! | [`echo`] | the site's service, which tells what it was asked |
//! | [`upstream`] | the HTTP server its data functions ask, scripted by the test |
//! | [`answer`] | one HTTP answer, and the [`answer::Ask`] that gets it |
//! | [`client`] | asks over a socket, also with malformed bytes |
//! | [`process`] | the site as a process: started, stopped, killed, its log read |
//! | [`publishers`] | deliveries as their publishers document them, and the rules for them |
//! | [`clock`] | a clock that steps while processes run |
//! | [`crowd`] | visitors and a publisher who check every answer, while processes come and go |
//! | [`aws`] | AWS on this machine |
//! | [`between`] | a proxy before it that lets calls fail |
//! | [`deployed`] | the site as a stack on it: the template, and the real functions |
//! | [`front`] | what stands before the functions: two URLs, events in, answers out |
//! | [`events`] | a listener of server-sent events |
//! | [`rng`] | what chance decides, by a seed |
//! | [`until`] | waits for a condition, never for a time |
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at a process from outside: its clock is the machine's"
)]

pub mod answer;
pub mod aws;
pub mod between;
pub mod client;
pub mod clock;
pub mod conformance;
pub mod crowd;
pub mod deployed;
pub mod echo;
pub mod events;
pub mod front;
pub mod process;
pub mod publishers;
pub mod rng;
pub mod until;
pub mod upstream;

pub use answer::{Answer, Ask, Asks, data_target};
pub use aws::Aws;
pub use deployed::Deployed;
pub use process::{Launch, Running};
pub use upstream::{Gate, Reply, Upstream};
