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
//!
//! The modules, in the order a request meets them: [`site`] and [`route`] give a path its [`key`]; [`engine`] looks
//! the page up in [`memory`] and the stores ([`pages`], [`bodies`]); [`freshness`] decides what it is worth;
//! [`refresh`] renders it and commits it, called by a visitor of a missing page ([`first`]), by the [`queue`] of
//! [`jobs`] and by a publisher ([`publishing`], [`later`], [`demand`]), who has the [`edge`] told and the journal of [`publishes`]
//! written.

mod again;
#[cfg(feature = "aws")]
pub mod aws;
mod beside;
pub mod bodies;
mod body;
mod broad;
pub mod budget;
pub mod build;
pub mod carriers;
pub mod clock;
pub mod content;
pub mod demand;
pub mod draft;
pub mod edge;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod engine;
pub mod first;
mod flights;
mod found;
pub mod freshness;
#[cfg(any(feature = "aws", feature = "embedded"))]
pub mod function;
pub mod guard;
pub mod headers;
mod held;
pub mod instant;
pub mod jobs;
mod judge;
pub mod key;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod later;
pub mod memory;
pub mod metrics;
pub mod overview;
pub mod page;
pub mod pages;
mod panics;
mod passing;
pub mod pattern;
pub mod progress;
pub mod publishes;
pub mod publishing;
mod purges;
pub mod queue;
pub mod record;
pub mod refresh;
mod removal;
mod render;
mod room;
pub mod route;
pub mod secrets;
pub mod settings;
pub mod site;
#[cfg(feature = "embedded")]
mod sqlite;
pub mod store;
pub mod tags;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod url;
pub mod walk;
pub mod webhooks;
pub mod wish;
pub mod written;

pub use body::Body;
pub use clock::{Clock, Millis, SystemClock};
pub use engine::{Engine, Sight, Want};
pub use judge::check_tag;
pub use page::{
    Context, Failure, Outcome, Page, Param, Params, Reason, Redirect, Revalidate, SHELL_DATA_URL,
};
pub use record::Form;
pub use render::NOT_FOUND_DATA;
pub use route::{Fallback, Query, Resolved, Route};
pub use settings::{Limits, Settings, SettingsError};
pub use site::{DraftContext, ErrorContext, ReadySite, Site, SiteError, escape, json_string};
pub use store::{StoreError, Stores};
