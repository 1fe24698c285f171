//! Incremental Static Regeneration for Rust.
//!
//! A page is rendered once, stored, served from the store, and renewed behind its visitors' backs: when it is old,
//! or when a publisher says that its content has changed. A path nobody has generated is rendered while its first
//! visitor waits.
//!
//! ```
//! use perennial::{Context, Failure, Outcome, Page, Route, Site, escape};
//!
//! #[derive(serde::Serialize)]
//! struct Post {
//!     title: String,
//! }
//!
//! struct Blog;
//!
//! impl Page for Blog {
//!     type Props = Post;
//!
//!     async fn props(&self, cx: &Context) -> Result<Outcome<Post>, Failure> {
//!         let title = cx.param("slug").replace('-', " ");
//!         Ok(Outcome::page(Post { title }).revalidate(60).tag("posts"))
//!     }
//!
//!     fn render(&self, post: &Post, _: &Context) -> Result<String, Failure> {
//!         Ok(format!("<!doctype html><title>{0}</title><h1>{0}</h1>", escape(&post.title)))
//!     }
//! }
//!
//! pub fn site() -> Site {
//!     Site::new().route(Route::new("/blog/{slug}", Blog))
//! }
//! # site().ready(None, None).unwrap();
//! ```

mod base;
mod build;
mod cdn;
mod engine;
mod freshness;
mod guard;
mod key;
mod look;
mod memory;
mod overview;
mod ports;
mod process;
mod publish;
mod record;
mod render;
mod run;
mod site;
mod stores;
#[cfg(any(test, feature = "testing"))]
mod testing;
mod visit;
mod webhooks;
mod work;

pub use base::clock::{Clock, Millis, SystemClock};
pub use key::params::{Param, Params};
pub use record::reason::Reason;
pub use site::bots::DEFAULT_BOTS;
pub use site::page::{Context, Failure, Outcome, Page, Redirect, Revalidate, SHELL_DATA_URL};
pub use site::route::{Fallback, Query, Route};
pub use site::{DraftContext, ErrorContext, ReadySite, Site, SiteError, escape, json_string};

/// The stations on the data's way, for those who build on Perennial: a store, a shared cache, a program of their own.
pub mod parts {
    /// Time, limits, budgets, counters and texts: what knows nothing of pages.
    pub mod base {
        #[doc(inline)]
        pub use crate::base::*;
    }
    /// What a page is called: its key, the pattern of its route, its parameters, tags and addresses.
    pub mod key {
        #[doc(inline)]
        pub use crate::key::*;
    }
    /// What is stored of a page: its record, its content, its header fields.
    pub mod record {
        #[doc(inline)]
        pub use crate::record::*;
    }
    /// Decides whether a stored page is fresh, stale, or not to be shown.
    pub mod freshness {
        #[doc(inline)]
        pub use crate::freshness::*;
    }
    /// Publishers: how their deliveries are recognised, and which pages change with a payload.
    pub mod webhooks {
        #[doc(inline)]
        pub use crate::webhooks::*;
    }
    /// What Perennial asks of the world outside: a trait for each thing, with its contract.
    pub mod ports {
        #[doc(inline)]
        pub use crate::ports::*;
    }
    /// Stands before the ports: leaves a store alone that fails again and again.
    pub mod guard {
        #[doc(inline)]
        pub use crate::guard::*;
    }
    /// The memory cache.
    pub mod memory {
        #[doc(inline)]
        pub use crate::memory::*;
    }
    /// A site: its routes, its pages, and what they may answer.
    pub mod site {
        #[doc(inline)]
        pub use crate::site::*;
    }
    /// From a granted ticket to a committed page.
    pub mod render {
        #[doc(inline)]
        pub use crate::render::*;
    }
    /// What a visit sets going: a first render, or a renewal.
    pub mod visit {
        #[doc(inline)]
        pub use crate::visit::*;
    }
    /// What a visitor is shown.
    pub mod look {
        #[doc(inline)]
        pub use crate::look::*;
    }
    /// What a publisher asks for.
    pub mod publish {
        #[doc(inline)]
        pub use crate::publish::*;
    }
    /// What the queue delivers.
    pub mod work {
        #[doc(inline)]
        pub use crate::work::*;
    }
    /// Renders every page that a site lists, and publishes them together.
    pub mod build {
        #[doc(inline)]
        pub use crate::build::*;
    }
    /// What the store holds of pages, for people.
    pub mod overview {
        #[doc(inline)]
        pub use crate::overview::*;
    }
    /// A site on its stores.
    pub mod engine {
        #[doc(inline)]
        pub use crate::engine::*;
    }
    /// The stores that Perennial comes with.
    pub mod stores {
        #[doc(inline)]
        pub use crate::stores::*;
    }
    /// Shared caches in front of a site.
    pub mod cdn {
        #[doc(inline)]
        pub use crate::cdn::*;
    }
    /// What a process needs to run a site: settings, secrets, logs, metrics, events of AWS Lambda.
    pub mod run {
        #[doc(inline)]
        pub use crate::run::*;
    }
    #[cfg(any(test, feature = "testing"))]
    /// For tests alone.
    pub mod testing {
        #[doc(inline)]
        pub use crate::testing::*;
    }
}
