//! The worker's settings: one section for each crate that has any.

use serde::{Deserialize, Serialize};

use crate::log::LogConfig;
use crate::tree::ANY;

/// Everything an operator may set; the names here are the sections of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The router's door.
    pub router: auxot_relay::Config,
    /// Which models run.
    pub fleet: auxot_fleet::Config,
    /// On which devices they lie.
    pub placement: auxot_placement::Config,
    /// Where models are found.
    pub catalog: auxot_catalog::Config,
    /// Engine processes.
    pub engine: auxot_engine::Config,
    /// Devices.
    pub gpu: auxot_gpu::Config,
    /// The metrics endpoint.
    pub metrics: auxot_admin::Config,
    /// The log.
    pub log: LogConfig,
}

impl Settings {
    /// The defaults, with a model of any name.
    pub(crate) fn shape() -> Self {
        let mut shape = Self::default();
        shape.fleet.models.insert(ANY.to_owned(), auxot_fleet::ModelConfig::default());
        shape
    }
}
