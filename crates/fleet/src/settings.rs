//! What the operator has ordered: all settings that the fleet lives by.

use crate::config;

/// The settings of the fleet and of what it uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetSettings {
    /// Which models run, and how long jobs wait.
    pub fleet: config::Config,
    /// How engines are run.
    pub engine: auxot_engine::Config,
    /// What stays free on devices, and how models are spread.
    pub placement: auxot_placement::Config,
    /// Where models are found.
    pub catalog: auxot_catalog::Config,
}
