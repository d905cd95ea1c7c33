//! Loads the worker's settings: collects them from every source, then checks them against the rules.

use crate::fault::Faults;
use crate::load::{Loaded, Sources, collect};
use crate::names::NAMES;
use crate::settings::Settings;
use crate::validate::{Purpose, validate};

impl Settings {
    /// Loads and checks the settings.
    ///
    /// # Errors
    /// All faults of every source, and every broken rule.
    pub fn load(sources: &Sources) -> Result<Loaded<Self>, Faults> {
        Self::load_for(sources, Purpose::Serve)
    }

    /// Loads the same sources again, with the same file.
    ///
    /// A file that is missing now is a fault and does not reset its values: an editor may be replacing it.
    ///
    /// # Errors
    /// Those of [`Settings::load`].
    pub fn load_again(sources: &Sources, running: &Loaded<Self>) -> Result<Loaded<Self>, Faults> {
        Self::load(&Sources { found: running.file.clone(), ..sources.clone() })
    }

    /// Loads the settings for a command that only inspects models and devices: it needs no router, key or engine.
    ///
    /// # Errors
    /// Those of [`Settings::load`], without the rules about router, key and engine.
    pub fn load_for_inspection(sources: &Sources) -> Result<Loaded<Self>, Faults> {
        Self::load_for(sources, Purpose::Inspect)
    }

    fn load_for(sources: &Sources, purpose: Purpose) -> Result<Loaded<Self>, Faults> {
        let mut outcome = collect(sources, &NAMES, &Self::shape());
        validate(&outcome.loaded, purpose, &mut outcome.faults);
        Faults(outcome.faults).into_result()?;
        Ok(outcome.loaded)
    }
}
