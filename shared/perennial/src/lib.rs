//! Incremental Static Regeneration for Rust.
//!
//! A page is rendered once, stored, served from the store, and renewed behind its visitors' backs: when it is old,
//! or when a publisher says that its content has changed. A path nobody has generated is rendered while its first
//! visitor waits.
//!
//! This crate is all that a site depends on. Its program is one line, [`run`]; its three functions on AWS Lambda are one
//! line each, in `lambda`.
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

#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "cli")]
#[doc(inline)]
pub use perennial_standalone::{SiteService, SiteSetup, run, run_on, run_with, service};

#[doc(inline)]
pub use perennial_core::base::clock::{Clock, Millis, SystemClock};
#[doc(inline)]
pub use perennial_core::key::params::{Param, Params};
#[doc(inline)]
pub use perennial_core::record::reason::Reason;
#[doc(inline)]
pub use perennial_core::site::bots::DEFAULT_BOTS;
#[doc(inline)]
pub use perennial_core::site::page::{Context, Failure, Outcome, Page, Redirect, Revalidate, SHELL_DATA_URL};
#[doc(inline)]
pub use perennial_core::site::resource::{Blob, Resource};
#[doc(inline)]
pub use perennial_core::site::route::{Fallback, Query, Route};
#[doc(inline)]
pub use perennial_core::site::service::{BoxError, OriginalUri, RequestBody};
#[doc(inline)]
pub use perennial_core::site::{DraftContext, ErrorContext, ReadySite, Site, SiteError, escape, json_string};

/// The stations on the data's way, for those who build on Perennial: a store, a shared cache, a program of their own.
pub use perennial_core as parts;

/// The README, whose example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The recipes of a guide, which are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../site/content/guides/feeds-and-files.md")]
struct FeedsAndFiles;
