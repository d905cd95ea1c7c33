//! The worker's settings: one section for each crate that has any.

use serde::{Deserialize, Serialize};

use crate::fault::Faults;
use crate::load::{Loaded, Sources, collect};
use crate::log::LogConfig;
use crate::names::NAMES;
use crate::tree::ANY;
use crate::validate::{Purpose, validate};

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
    /// Loads and checks the settings.
    ///
    /// # Errors
    /// Everything that is wrong in any source, and every rule of ours that is broken.
    pub fn load(sources: &Sources) -> Result<Loaded<Self>, Faults> {
        Self::load_for(sources, Purpose::Serving)
    }

    /// Reads the same sources once more, the very file of the first time among them.
    ///
    /// A file that is missing now is a fault and not the end of all that it said: an editor may be replacing it.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_again(sources: &Sources, running: &Loaded<Self>) -> Result<Loaded<Self>, Faults> {
        Self::load(&Sources { found: running.file.clone(), ..sources.clone() })
    }

    /// The same for a command that only looks at models and devices: it needs neither router nor key nor engine.
    ///
    /// # Errors
    /// As [`Settings::load`], but for the rules about those.
    pub fn load_for_looking(sources: &Sources) -> Result<Loaded<Self>, Faults> {
        Self::load_for(sources, Purpose::Looking)
    }

    /// The defaults, with a model of any name.
    pub(crate) fn shape() -> Self {
        let mut shape = Self::default();
        shape.fleet.models.insert(ANY.to_owned(), auxot_fleet::ModelConfig::default());
        shape
    }

    fn load_for(sources: &Sources, purpose: Purpose) -> Result<Loaded<Self>, Faults> {
        let mut outcome = collect(sources, &NAMES, &Self::shape());
        validate(&outcome.loaded, purpose, &mut outcome.faults);
        Faults(outcome.faults).into_result()?;
        Ok(outcome.loaded)
    }
}
