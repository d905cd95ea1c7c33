//! Models that are missing and may be downloaded, and what becomes of their downloads.

use std::sync::Arc;

use auxot_catalog::ResolveError;

use crate::download::Download;
use crate::owner::Shared;
use crate::state::{Desired, FleetState, Intake};

impl Shared {
    /// The names of the policy and of the list that no file has, in the order in which they are downloaded. Empty while nothing
    /// may be downloaded.
    pub(crate) fn missing(&self) -> Vec<String> {
        if !self.settings().fleet.pull {
            return Vec::new();
        }
        let (scan, names) = {
            let state = self.lock();
            if state.intake != Intake::Open {
                return Vec::new();
            }
            (Arc::clone(&state.scan), state.missing_names())
        };
        // A damaged file, or a name that means several models, is a matter for the operator.
        names.into_iter().filter(|name| matches!(scan.resolve(name), Err(ResolveError::Unknown { .. }))).collect()
    }

    /// Takes the downloads as they are now.
    pub(crate) fn set_downloads(&self, downloads: Vec<Download>) {
        let mut state = self.lock();
        let same = state.downloads.len() == downloads.len()
            && state
                .downloads
                .iter()
                .zip(&downloads)
                .all(|(before, now)| before.model == now.model && before.state.is_like(&now.state));
        state.downloads = downloads;
        drop(state);
        if !same {
            self.changed();
        }
    }
}

impl FleetState {
    /// The names of the policy and of the list whose models are missing, each once.
    fn missing_names(&self) -> Vec<String> {
        let of_policy = match &self.desired {
            Desired::Missing { desired, .. } => Some(desired.model.clone()),
            Desired::Nothing | Desired::Present { .. } => None,
        };
        let listed = self.missing.iter().map(|missing| missing.name.clone());
        let listed = listed.filter(|name| Some(name) != of_policy.as_ref());
        of_policy.iter().cloned().chain(listed).collect()
    }

    /// Why a model is missing, with what is done about it.
    pub(crate) fn missing_text(&self, name: &str, reason: &str) -> String {
        match self.downloads.iter().find(|download| download.model == name) {
            Some(download) => format!("{reason}; {}", download.sentence()),
            None => reason.to_owned(),
        }
    }
}
