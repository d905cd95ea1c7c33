//! Where engines come from: the engine of this host, or scripts in tests.

use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;

use auxot_engine::{Config, DryRunError, EngineHandle, Host, ListedDevice, MemoryEstimate, Spec};

/// The task of one engine.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A dry run on its way; dropping it ends the program.
pub(crate) type DryRun = Pin<Box<dyn Future<Output = Result<MemoryEstimate, DryRunError>> + Send>>;

/// Makes engines at rest.
pub(crate) trait Engines: Debug + Send + Sync {
    /// The handle for everybody and the driver for the tasks.
    fn create(&self, spec: Spec) -> (EngineHandle, Driver);

    /// What a model would take of the devices, asked of the engine before it is loaded, if it can tell.
    fn dry_run(&self, spec: Spec) -> Option<DryRun>;

    /// The devices that they can use, if they tell.
    fn devices(&self) -> Option<Vec<ListedDevice>>;

    /// The program that they run.
    fn program(&self) -> PathBuf;

    /// The build of the program.
    fn build(&self) -> String;
    /// Other settings for engines made from now on.
    fn configure(&self, config: Config);
    /// The program, its build and its arguments, as one line that tells two engines apart.
    fn line(&self, spec: &Spec) -> String;
}

impl Engines for Host {
    fn create(&self, spec: Spec) -> (EngineHandle, Driver) {
        let (handle, driver) = Host::create(self, spec);
        (handle, Box::pin(driver))
    }

    fn dry_run(&self, spec: Spec) -> Option<DryRun> {
        Some(Box::pin(Host::dry_run(self, spec)?))
    }

    fn devices(&self) -> Option<Vec<ListedDevice>> {
        self.engine().devices.clone()
    }

    fn program(&self) -> PathBuf {
        self.engine().binary.clone()
    }

    fn build(&self) -> String {
        Host::build(self)
    }

    fn configure(&self, config: Config) {
        Host::configure(self, config);
    }

    fn line(&self, spec: &Spec) -> String {
        self.command_line(spec)
    }
}
