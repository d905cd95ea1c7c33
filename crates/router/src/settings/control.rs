//! The arguments of the commands that ask a running router, and the settings of its socket.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{Environment, Faults, SettingsReader, path, port};
use crate::ControlConfig;
use crate::control::default_folder;

const FOLDER: (&str, &str) = ("runtime-dir", "AUXOT_ROUTER_RUNTIME_DIR");

/// Where the router is.
#[derive(Debug, Default, Args)]
pub struct RouterArgs {
    /// Folder of the router's control socket, if it is not in the usual place [env: AUXOT_ROUTER_RUNTIME_DIR].
    #[arg(long, value_name = "PATH")]
    pub runtime_dir: Option<String>,
}

/// Arguments of `status`.
#[derive(Debug, Default, Args)]
pub struct StatusArgs {
    /// Where the router is.
    #[command(flatten)]
    pub router: RouterArgs,
    /// Show it again each second.
    #[arg(long)]
    pub watch: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `page`.
#[derive(Debug, Default, Args)]
pub struct PageArgs {
    /// Where the router is.
    #[command(flatten)]
    pub router: RouterArgs,
    /// Print an address and a token for programs instead of a link.
    #[arg(long)]
    pub token: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl RouterArgs {
    /// The folder of the socket, where one is configured.
    ///
    /// # Errors
    /// The value cannot be used.
    pub fn folder(&self, environment: &dyn Environment) -> Result<Option<PathBuf>, Faults> {
        let mut reading = SettingsReader { environment, faults: Vec::new() };
        let folder = reading.take(self.runtime_dir.as_deref(), FOLDER.0, FOLDER.1, path);
        reading.finish(folder)
    }
}

/// The settings of the socket and of the page.
pub(super) fn control(
    reading: &mut SettingsReader<'_>,
    folder: Option<&str>,
    page_port: Option<&str>,
) -> ControlConfig {
    let folder = reading.take(folder, FOLDER.0, FOLDER.1, path);
    let environment = reading.environment;
    let folder = folder.unwrap_or_else(|| default_folder(|name| environment.get(name).map(OsString::from)));
    let page_port = reading.take(page_port, "page-port", "AUXOT_ROUTER_PAGE_PORT", port).unwrap_or_default();
    ControlConfig { folder, page_port }
}
