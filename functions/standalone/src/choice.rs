//! Which stores the commands work on.

use std::path::Path;
use std::sync::Arc;

use perennial_core::base::clock::Clock;
use perennial_core::ports::stores::Stores;
use perennial_core::run::function::{self, FunctionError, OnStores};
use perennial_core::run::settings::Settings;
use perennial_core::site::ReadySite;

/// The stores of a program's commands.
pub(crate) trait Choice {
    /// Runs `work` on them.
    async fn run(
        &self,
        site: Arc<ReadySite>,
        settings: Settings,
        work: impl OnStores,
    ) -> Result<(), FunctionError>;

    /// The folder of the embedded store, if these are that store.
    fn embedded<'a>(&self, settings: &'a Settings) -> Option<&'a Path>;
}

/// The stores that the settings name: the embedded store, or the stores of an AWS account.
pub(crate) struct NamedStores;

impl Choice for NamedStores {
    async fn run(
        &self,
        site: Arc<ReadySite>,
        settings: Settings,
        work: impl OnStores,
    ) -> Result<(), FunctionError> {
        function::on_stores(site, settings, work).await
    }

    fn embedded<'a>(&self, settings: &'a Settings) -> Option<&'a Path> {
        settings.aws.is_none().then_some(&*settings.store)
    }
}

/// The stores that the program itself opens.
pub(crate) struct OwnStores<O>(pub(crate) O);

impl<S: Stores, O: Fn(&Settings, Arc<dyn Clock>) -> S> Choice for OwnStores<O> {
    async fn run(
        &self,
        site: Arc<ReadySite>,
        settings: Settings,
        work: impl OnStores,
    ) -> Result<(), FunctionError> {
        let stores = (self.0)(&settings, site.clock().clone());
        function::on_own_stores(site, settings, stores, work).await
    }

    fn embedded<'a>(&self, _: &'a Settings) -> Option<&'a Path> {
        None
    }
}
