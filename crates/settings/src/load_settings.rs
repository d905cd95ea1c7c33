//! Loading the worker's settings: collected from every source, then checked against the rules.

use crate::fault::Faults;
use crate::load::{Loaded, Sources, collect};
use crate::names::NAMES;
use crate::settings::Settings;
use crate::validate::{Purpose, validate};

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

    fn load_for(sources: &Sources, purpose: Purpose) -> Result<Loaded<Self>, Faults> {
        let mut outcome = collect(sources, &NAMES, &Self::shape());
        validate(&outcome.loaded, purpose, &mut outcome.faults);
        Faults(outcome.faults).into_result()?;
        Ok(outcome.loaded)
    }
}
