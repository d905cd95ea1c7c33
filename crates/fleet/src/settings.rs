//! All settings that the fleet uses, of several tables of the configuration.

use crate::config;

/// The settings of the fleet and of the crates below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetSettings {
    /// Which models run, and how long jobs wait.
    pub fleet: config::Config,
    /// How engines are run.
    pub engine: auxot_engine::Config,
    /// What stays free on devices, and how models are spread.
    pub placement: auxot_placement::Config,
    /// Where the models folders are.
    pub catalog: auxot_catalog::Config,
}
