//! The operator's commands for one model: load, unload, pin.

use std::sync::Arc;

use tracing::info;

use crate::job_task::JobTask;
use crate::model::managed::{KeepReason, ManagedId};
use crate::owner::Shared;
use crate::refusal::Refusal;
use crate::state::{FleetState, Intake};
use auxot_scheduler::Wanted;

impl Shared {
    /// Loads a model as for a job; a failed one is retried. Returns its name.
    pub(crate) fn load_by_command(self: &Arc<Self>, model: &str) -> Result<String, Refusal> {
        self.command(model, "load", |shared, state, id| {
            shared.reset_one(state, id);
            let now = shared.moment();
            if let Some(managed) = state.models.get(&id) {
                let actions = state.scheduler.want(managed.scheduler_id, Wanted::Since(now), now);
                state.decisions.extend(actions);
            }
        })
    }

    /// Unloads a model: its jobs may go on for the drain time, and the next job loads it again. Returns its name.
    pub(crate) fn unload_by_command(self: &Arc<Self>, model: &str) -> Result<String, Refusal> {
        let drain = self.settings().fleet.drain_timeout;
        self.command(model, "unload", |shared, state, id| {
            let now = shared.moment();
            if let Some(managed) = state.models.get(&id) {
                let actions = state.scheduler.unload(managed.scheduler_id, now + drain, now);
                state.decisions.extend(actions);
            }
        })
    }

    /// Sets whether a model may be evicted, until the worker ends. Returns its name.
    pub(crate) fn pin_by_command(self: &Arc<Self>, model: &str, is_pinned: bool) -> Result<String, Refusal> {
        self.command(model, if is_pinned { "pin" } else { "unpin" }, |shared, state, id| {
            if let Some(managed) = state.models.get_mut(&id) {
                managed.pinned = Some(is_pinned);
            }
            shared.update_profile(state, id);
        })
    }

    /// The name of a model of the fleet or of the folders.
    pub(crate) fn known_name(&self, model: &str) -> Result<String, Refusal> {
        let (state, requested) = self.lock_for(Some(model));
        match (state.find(&requested, JobTask::Any), requested.file()) {
            (Ok(id), _) => Ok(state.models[&id].name().to_owned()),
            (Err(refused), None) => Err(refused),
            (Err(refused), Some(file)) => state.scan.model(file).map(|model| model.name.clone()).ok_or(refused),
        }
    }

    /// Runs a command on a model of the fleet or of the folders.
    fn command(
        self: &Arc<Self>,
        model: &str,
        command: &'static str,
        run: impl FnOnce(&Arc<Self>, &mut FleetState, ManagedId),
    ) -> Result<String, Refusal> {
        let (mut guard, requested) = self.lock_for(Some(model));
        let state = &mut *guard;
        if state.intake != Intake::Open {
            return Err(Refusal::Draining);
        }
        let id = match (state.find(&requested, JobTask::Any), requested.file()) {
            (Ok(id), _) => id,
            (Err(refused), None) => return Err(refused),
            (Err(refused), Some(file)) => {
                let scan = Arc::clone(&state.scan);
                let model = scan.model(file).ok_or_else(|| refused.clone())?;
                self.add_file(state, model, KeepReason::Demand, None).map_err(|_| refused)?
            }
        };
        let Some(managed) = state.models.get_mut(&id) else { return Err(Refusal::Draining) };
        managed.stay(KeepReason::Demand);
        let name = managed.name().to_owned();
        info!(model = name, command, "command of the operator");
        run(self, state, id);
        let actions = state.scheduler.tick(self.moment());
        self.conclude(guard, actions);
        self.changed();
        Ok(name)
    }
}
