//! New settings while the fleet runs; an engine that matches them keeps running.

use std::sync::Arc;

use tracing::warn;

use crate::model::managed::KeepReason;
use crate::owner::Shared;
use crate::owner::requests::{PendingAnswer, send_answers};
use crate::settings::FleetSettings;
use crate::state::{Desired, FleetState, Intake, Missing};

impl Shared {
    /// Applies new settings. A model whose engine would get another command line is reloaded once its jobs have ended; a new
    /// one of the list is loaded if there is room; one that has left the list is removed.
    pub(crate) fn reconfigure(self: &Arc<Self>, settings: FleetSettings) {
        let scan = Arc::clone(&self.lock().scan);
        let before = self.settings();
        let names = settings.fleet.autoload.iter().chain(settings.fleet.models.keys()).cloned().collect::<Vec<_>>();
        scan.resolve_all(&names);
        let mut state = self.lock();
        if state.intake != Intake::Open {
            return;
        }
        self.engines.configure(settings.engine.clone());
        self.set_settings(settings);
        self.measure(&mut state);
        let mut answers = self.apply_autoload(&mut state, &before);
        for id in state.models.keys().copied().collect::<Vec<_>>() {
            let Some(managed) = state.models.get(&id) else { continue };
            let (model, desired) = (Arc::clone(&managed.model), state.desired_for(id));
            let plan = self.plan(&state, &model, desired.as_ref());
            self.change_plan(&mut state, id, plan);
            self.update_profile(&mut state, id);
        }
        if before.catalog != self.settings().catalog {
            state.scan_now();
        }
        let actions = state.scheduler.tick(self.moment());
        answers.extend(self.apply_actions(&mut state, actions));
        drop(state);
        send_answers(answers);
        if before.fleet.models != self.settings().fleet.models {
            self.warn_of_tables(&scan);
        }
        self.changed();
    }

    /// Applies the operator's list.
    fn apply_autoload(self: &Arc<Self>, state: &mut FleetState, before: &FleetSettings) -> Vec<PendingAnswer> {
        let settings = self.settings();
        if settings.fleet.autoload == before.fleet.autoload {
            return Vec::new();
        }
        state.missing.clear();
        let mut listed = Vec::new();
        for name in &settings.fleet.autoload {
            match self.add_model(state, name, KeepReason::Operator, None) {
                Ok(id) => {
                    listed.push(id);
                    if !before.fleet.autoload.contains(name) {
                        self.want(state, id, KeepReason::Operator);
                    }
                }
                Err(reason) => {
                    warn!(reason, "cannot load a model of the autoload list");
                    state.missing.push(Missing { name: name.clone(), reason });
                }
            }
        }
        let desired = match &state.desired {
            Desired::Present { id, .. } => Some(*id),
            Desired::Nothing | Desired::Missing { .. } => None,
        };
        let unlisted =
            state.models.iter().filter(|(id, managed)| managed.keep == KeepReason::Operator && !listed.contains(id));
        let mut answers = Vec::new();
        for id in unlisted.map(|(id, _)| *id).collect::<Vec<_>>() {
            match state.models.get_mut(&id) {
                Some(managed) if desired == Some(id) => managed.keep = KeepReason::Router,
                _ => answers.extend(self.dismiss_model(state, id, "it is no longer listed")),
            }
        }
        answers
    }
}
