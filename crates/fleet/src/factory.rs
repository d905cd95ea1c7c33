//! Creates engines: those of this host, or scripted ones in tests.

use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use auxot_engine::{Config, DryRunError, EngineHandle, EngineLog, Host, ListedDevice, MemoryEstimate, Spec};
use auxot_gpu::ProcessUse;

/// The task that drives one engine.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running dry run; dropping it ends its process.
pub(crate) type DryRun = Pin<Box<dyn Future<Output = Result<MemoryEstimate, DryRunError>> + Send>>;

/// Creates engines.
pub(crate) trait Engines: Debug + Send + Sync {
    /// A stopped engine: its handle, and the driver for the tasks.
    fn create(&self, spec: Spec) -> (EngineHandle, Driver);

    /// A dry run: the engine program computes the memory of a model before it is loaded. `None` where the program cannot.
    fn dry_run(&self, spec: Spec) -> Option<DryRun>;

    /// The devices that the program can use, where it lists them.
    fn devices(&self) -> Option<Vec<ListedDevice>>;

    /// What a process of an engine holds of host memory now.
    fn host_memory(&self, pid: u32) -> ProcessUse;

    /// The newest lines of a model's engines, if it has had one.
    fn log(&self, model: &str) -> Option<Arc<EngineLog>>;

    /// The program.
    fn program(&self) -> PathBuf;

    /// The build of the program.
    fn build(&self) -> String;
    /// Replaces the settings for engines that are created from now on.
    fn configure(&self, config: Config);
    /// Program, build and arguments as one line; engines with equal lines are interchangeable.
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

    fn host_memory(&self, pid: u32) -> ProcessUse {
        auxot_gpu::host_use(pid)
    }

    fn log(&self, model: &str) -> Option<Arc<EngineLog>> {
        Host::log(self, model)
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
