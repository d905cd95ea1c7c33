//! The worker's settings: one section for each crate that has settings.

use serde::{Deserialize, Serialize};

use crate::log::LogConfig;
use crate::tree::ANY;

/// All settings; the field names are the sections of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The connection to the router.
    pub router: auxot_relay::Config,
    /// The models to run.
    pub fleet: auxot_fleet::Config,
    /// Their placement on devices.
    pub placement: auxot_placement::Config,
    /// The model files.
    pub catalog: auxot_catalog::Config,
    /// Downloads of models.
    pub hub: auxot_hub::Config,
    /// Engine processes.
    pub engine: auxot_engine::Config,
    /// Devices.
    pub gpu: auxot_gpu::Config,
    /// Local clients.
    pub gateway: auxot_gateway::Config,
    /// The metrics endpoint.
    pub metrics: auxot_admin::Config,
    /// The page for browsers on this host.
    pub page: auxot_admin::PageConfig,
    /// Traces of jobs.
    pub traces: auxot_otlp::Config,
    /// The log.
    pub log: LogConfig,
}

impl Settings {
    /// The defaults, with one model of the name [`ANY`].
    pub(crate) fn shape() -> Self {
        let mut shape = Self::default();
        shape.fleet.models.insert(ANY.to_owned(), auxot_fleet::ModelConfig::default());
        shape
    }
}
