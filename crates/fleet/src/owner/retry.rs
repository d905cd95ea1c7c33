//! Retries of failed models: by the operator's reset, after a change of a file (the model's or the engine's), or after some
//! time for causes that may pass: lack of memory, a lost driver, crashes.
//!
//! A new policy also causes a retry, see `ManagedModel::change_plan`. Each retry uses a new plan and a new engine, so that
//! nothing of the failure counts against it.

use std::sync::Arc;

use auxot_engine::{FileId, State};
use tokio::time::Instant;
use tracing::info;

use crate::job_task::JobTask;
use crate::model::desired::DesiredModel;
use crate::model::managed::{Attempt, Files, KeepReason, ManagedId, ManagedModel};
use crate::owner::Shared;
use crate::refusal::Refusal;
use crate::state::work::Work;
use crate::state::{Desired, FleetState, Intake};
use auxot_scheduler::ModelState;

impl Shared {
    /// Retries a model at once that has failed or waits for its next attempt.
    pub(crate) fn reset(self: &Arc<Self>, model: Option<&str>) -> Result<(), Refusal> {
        let (mut state, requested) = self.lock_for(model);
        let id = state.find(&requested, JobTask::Chat)?;
        self.reset_one(&mut state, id);
        self.conclude(state, Vec::new());
        self.changed();
        Ok(())
    }

    pub(crate) fn reset_failed(self: &Arc<Self>) -> usize {
        let mut state = self.lock();
        let ids: Vec<_> = state.models.keys().copied().collect();
        let reset = ids.into_iter().filter(|id| self.reset_one(&mut state, *id)).count();
        self.conclude(state, Vec::new());
        self.changed();
        reset
    }

    /// Returns whether there was something to retry.
    pub(crate) fn reset_one(self: &Arc<Self>, state: &mut FleetState, id: ManagedId) -> bool {
        let Some(managed) = state.models.get(&id) else { return false };
        match &managed.engine {
            Some(engine) if matches!(engine.status.state, State::BackingOff { .. }) => engine.handle.reset(),
            None if state.has_failed(managed) => self.retry_one(state, id, "reset"),
            _ => return false,
        }
        true
    }

    /// Checks the failed models: whether their files have changed, or a retry is due.
    pub(crate) fn retry_failed(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.intake != Intake::Open {
            return;
        }
        let now = Instant::now().into_std();
        let retry = self.settings().fleet.failed_retry;
        let due = |managed: &ManagedModel| match (managed.cause(), &managed.last) {
            (Some(cause), Some(last)) => cause.class.can_pass() && now.saturating_duration_since(last.since) >= retry,
            _ => false,
        };
        let failed = state.staying().filter(|(_, managed)| state.has_failed(managed));
        let failed: Vec<(ManagedId, bool)> = failed.map(|(id, managed)| (id, due(managed))).collect();
        for (id, due) in failed {
            if due {
                self.retry_one(&mut state, id, "the retry interval has passed");
            } else {
                state.inspect(id);
            }
        }
        self.conclude(state, Vec::new());
        self.work_ready.notify_one();
    }

    /// Handles the present file ids of a failed model.
    pub(crate) fn inspected(&self, id: ManagedId, now: Vec<FileId>) {
        let mut state = self.lock();
        if !state.models.get(&id).is_some_and(|managed| state.has_failed(managed)) {
            return;
        }
        let Some(managed) = state.models.get_mut(&id) else { return };
        let changed = Files::Changed(now);
        if changed == Files::Changed(managed.plan.key.files().clone()) || managed.files == changed {
            return;
        }
        managed.files = changed;
        state.scan_now();
        drop(state);
        self.work_ready.notify_one();
    }

    /// Retries failed models whose files have changed and can be used, after a scan.
    pub(crate) fn retry_changed(self: &Arc<Self>, state: &mut FleetState) {
        let changed = state
            .staying()
            .filter(|(_, managed)| state.has_failed(managed) && matches!(managed.files, Files::Changed(_)));
        for id in changed.map(|(id, _)| id).collect::<Vec<_>>() {
            let Some(managed) = state.models.get_mut(&id) else { continue };
            // Still unusable, perhaps half written: the next change is checked again.
            let file = &managed.model.file;
            let Some(model) = state.scan.model(file) else { continue };
            managed.model = Arc::new(model.clone());
            self.retry_one(state, id, "a file of the model has changed");
        }
    }

    /// Retries a failed model with a new plan and a new engine.
    fn retry_one(self: &Arc<Self>, state: &mut FleetState, id: ManagedId, why: &str) {
        let Some(model) = state.models.get(&id).map(|managed| Arc::clone(&managed.model)) else { return };
        let desired = state.desired_for(id);
        let plan = self.plan(state, &model, desired.as_ref());
        let Some(managed) = state.models.get_mut(&id) else { return };
        info!(model = managed.name(), why, "a failed model is retried");
        (managed.plan, managed.attempt, managed.files) = (plan, Attempt::Settled, Files::Planned);
        let (scheduler_id, keep, now) = (managed.scheduler_id, managed.keep, self.moment());
        self.update_profile(state, id);
        state.decisions.extend(state.scheduler.reset(scheduler_id, now));
        self.want(state, id, keep);
    }

    /// Updates the unloaded models after a scan, and removes those whose file is gone and that no list or policy names.
    pub(crate) fn refresh_unloaded(self: &Arc<Self>, state: &mut FleetState) {
        let resting = state.models.iter().filter(|(_, managed)| {
            let state = state.state_of(managed);
            managed.engine.is_none() && matches!(state, ModelState::OnDisk | ModelState::WaitingForRoom(_))
        });
        for id in resting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.refresh(state, id);
        }
    }

    /// Updates an unloaded model: its file may have changed, and the wanted size is tried again.
    pub(crate) fn refresh(self: &Arc<Self>, state: &mut FleetState, id: ManagedId) {
        let Some(managed) = state.models.get(&id) else { return };
        let scan = Arc::clone(&state.scan);
        let file = &managed.model.file;
        match scan.model(file) {
            Some(model) if Arc::ptr_eq(&model.header, &managed.model.header) && !managed.plan.sizes.is_estimated() => {}
            Some(model) => {
                let desired = state.desired_for(id);
                let plan = self.plan(state, model, desired.as_ref());
                let Some(managed) = state.models.get_mut(&id) else { return };
                (managed.model, managed.plan) = (Arc::new(model.clone()), plan);
                (managed.attempt, managed.files) = (Attempt::Settled, Files::Planned);
                self.update_profile(state, id);
            }
            None if managed.keep == KeepReason::Demand && state.scheduler.waiting(managed.scheduler_id) == 0 => {
                info!(model = managed.name(), "the file of the model is gone");
                if let Some(managed) = state.models.get_mut(&id) {
                    managed.keep = KeepReason::Leaving;
                }
                self.remove_gone(state, id);
            }
            None => {}
        }
    }
}

impl FleetState {
    /// Whether a model has failed and its engine is gone.
    pub(crate) fn has_failed(&self, managed: &ManagedModel) -> bool {
        matches!(self.state_of(managed), ModelState::Failed) && managed.engine.is_none()
    }

    /// The desired size of the router, if its policy is for this model.
    pub(crate) fn desired_for(&self, wanted: ManagedId) -> Option<DesiredModel> {
        match &self.desired {
            Desired::Present { id, desired } | Desired::Missing { before: Some((id, desired)), .. }
                if *id == wanted =>
            {
                Some(desired.clone())
            }
            Desired::Present { .. } | Desired::Nothing | Desired::Missing { .. } => None,
        }
    }

    /// The router's model and the policy that it was loaded for.
    pub(crate) fn present_desired(&self) -> Option<(ManagedId, DesiredModel)> {
        let id = self.desired.managed()?;
        Some((id, self.desired_for(id)?))
    }

    /// Queues a check of a model's files.
    pub(crate) fn inspect(&mut self, id: ManagedId) {
        if let Some(managed) = self.models.get(&id) {
            self.work.push(Work::Inspect { managed: id, files: managed.plan.key.paths().to_owned() });
        }
    }
}
