//! Engine statuses: what each means for its model, for the waiters, and for the other models.

use std::sync::Arc;

use auxot_engine::State;
use auxot_gpu::ProcessUse;
use tracing::{info, warn};

use crate::model::managed::{KeepReason, ManagedId, StatusChange};
use crate::model::plan::requirements;
use crate::model::process::AfterExit;
use crate::model::release::Release;
use crate::model::size_search::Size;
use crate::owner::Shared;
use crate::owner::requests::{PendingAnswer, send_answers};
use crate::refusal::Refusal;
use crate::report::metrics;
use crate::state::FleetState;
use crate::state::work::Work;
use auxot_scheduler::{Action, ModelState};

/// Logs that a model is loaded, and where its engine's numbers differ from the planned ones.
fn log_loaded(state: &FleetState, id: ManagedId) {
    let Some(managed) = state.models.get(&id) else { return };
    if !state.state_of(managed).is_loading() {
        return;
    }
    if let Some(ready) = managed.ready() {
        let (slots, ctx_per_slot) = (ready.props.total_slots, ready.props.n_ctx);
        info!(model = managed.name(), slots, ctx_per_slot, load_s = ready.load_time.as_secs_f64(), "model is loaded");
    }
    if let Some(deviation) = managed.deviation() {
        warn!(deviation, "the engine runs with other numbers than planned");
    }
}

impl Shared {
    /// Handles a new status of a model's engine.
    pub(crate) fn on_engine_status(self: &Arc<Self>, id: ManagedId, generation: u64) {
        let held = self.host_memory_of(id, generation);
        let mut guard = self.lock();
        let (state, now) = (&mut *guard, self.moment());
        let Some(managed) = state.models.get_mut(&id).filter(|managed| managed.generation == generation) else {
            return;
        };
        // Read again under the lock, because callers may arrive out of order.
        let Some(status) = managed.engine.as_ref().map(|engine| engine.handle.status().borrow().clone()) else {
            return;
        };
        let scheduler_id = managed.scheduler_id;
        let leaving = matches!(state.scheduler.state(scheduler_id), ModelState::Unloading { .. });
        let (present, backs_off) = (status.pid, matches!(status.state, State::BackingOff { .. }));
        let pid = present.or_else(|| managed.last.as_ref().and_then(|last| last.pid));
        let actions = match managed.on_engine_status(status, leaving) {
            StatusChange::None => Vec::new(),
            // It takes jobs once its devices have been read, see `measured`.
            StatusChange::Ready { .. }
                if managed.engine.as_ref().is_some_and(|engine| engine.awaits_reading(&self.devices)) =>
            {
                self.devices.refresh();
                state.work.push(Work::AcceptUnread { managed: id, generation });
                Vec::new()
            }
            StatusChange::Down => {
                // The supervisor restarts it. With a lost device that would fail, or run on the processor, so the devices are
                // read.
                let served = state.scheduler.state(scheduler_id).running().is_some();
                if served {
                    self.devices.refresh();
                }
                if served || present.is_none() {
                    state.scheduler.engine_lost(scheduler_id, backs_off, now)
                } else {
                    state.scheduler.engine_restarted(scheduler_id, now);
                    Vec::new()
                }
            }
            StatusChange::Unkillable => state.scheduler.engine_failed(scheduler_id, now),
            StatusChange::Replace => {
                if let Some(engine) = &mut managed.engine {
                    engine.stop(&self.devices);
                }
                state.scheduler.engine_lost(scheduler_id, false, now)
            }
            StatusChange::Ready { run, slots, size } => {
                self.remember(state, id, size);
                log_loaded(state, id);
                self.record_host_memory(state, id, held.as_ref());
                // The memory stays reserved until a sample shows what the engine holds.
                self.devices.refresh();
                state.scheduler.engine_ready(scheduler_id, run, slots, now)
            }
            StatusChange::Ended(after) => self.ended(state, id, after, pid),
        };
        let mut answers = self.apply_actions(state, actions);
        answers.extend(self.unload_earlier_policies(state));
        self.remove_gone(state, id);
        self.serve_fallback(state);
        drop(guard);
        send_answers(answers);
        self.changed();
    }

    /// What an engine that has just become ready holds of host memory. `None` for every other engine. The process is read
    /// outside the lock.
    fn host_memory_of(&self, id: ManagedId, generation: u64) -> Option<ProcessUse> {
        let pid = {
            let state = self.lock();
            let managed = state.models.get(&id).filter(|managed| managed.generation == generation)?;
            let engine = managed.engine.as_ref().filter(|engine| engine.placement.shares.is_empty())?;
            let status = engine.handle.status();
            let status = status.borrow();
            let is_new = state.state_of(managed).is_loading() && matches!(status.state, State::Ready(_));
            status.pid.filter(|_| is_new)?
        };
        Some(self.engines.host_memory(pid))
    }

    /// Stores what an engine holds of host memory before its first job.
    fn record_host_memory(&self, state: &mut FleetState, id: ManagedId, held: Option<&ProcessUse>) {
        let FleetState { models, scheduler, work, .. } = state;
        let Some(managed) = models.get_mut(&id) else { return };
        let is_new = scheduler.state(managed.scheduler_id).is_loading();
        if let Some(engine) = managed.engine.as_mut().filter(|_| is_new)
            && let Some(held) = held
            && engine.record_host_memory(held, &self.measurements)
        {
            work.push(Work::Learn);
        }
    }

    /// Stores the size that was loaded, if loads have shown that the wanted one is too large.
    fn remember(&self, state: &mut FleetState, id: ManagedId, size: Size) {
        let sizes = &state.models[&id].plan.sizes;
        if sizes.is_estimated() {
            return;
        }
        let (key, size) = (state.models[&id].plan.key.clone(), Some(size).filter(|size| *size != sizes.wanted()));
        state.work.push(Work::Remember { key, size });
    }

    /// Handles the exit of an engine. What follows waits until its memory is seen free; a failure waits for nothing.
    fn ended(
        self: &Arc<Self>,
        state: &mut FleetState,
        id: ManagedId,
        after: AfterExit,
        pid: Option<u32>,
    ) -> Vec<Action> {
        let Some(managed) = state.models.get_mut(&id) else { return Vec::new() };
        let (scheduler_id, generation) = (managed.scheduler_id, managed.generation);
        // This is the last handle: the driver ends with it.
        let Some(engine) = managed.engine.take() else { return Vec::new() };
        if after == AfterExit::Fail {
            self.devices.refresh();
            let actions = state.scheduler.engine_failed(scheduler_id, self.moment());
            // At once rather than at the next interval: a file that was missing for a moment may be the cause.
            state.inspect(id);
            return actions;
        }
        if after == AfterExit::Rescan {
            return self.awaits_scan(state, id);
        }
        // Its slots are gone, and its memory stays reserved.
        let actions = state.scheduler.engine_lost(scheduler_id, false, self.moment());
        let release = Release::new(pid, &engine.placement, engine.before);
        state.work.push(Work::Release { managed: id, generation, after, release });
        actions
    }

    /// The memory of an exited engine is free, or the wait for it has ended.
    pub(crate) fn released(self: &Arc<Self>, id: ManagedId, generation: u64, after: AfterExit) {
        let mut state = self.lock();
        self.measure(&mut state);
        let now = self.moment();
        let FleetState { models, scheduler, .. } = &mut *state;
        let Some(managed) = models.get_mut(&id).filter(|managed| managed.generation == generation) else { return };
        let (scheduler_id, keep) = (managed.scheduler_id, managed.keep);
        let leaving = keep == KeepReason::Leaving;
        if after == AfterExit::Retry {
            let (model, parameters) = (&managed.model, managed.plan.parameters);
            managed
                .plan
                .sizes
                .estimate(|size| scheduler.could_hold(scheduler_id, requirements(model, &parameters, *size)));
        }
        if !leaving {
            if after == AfterExit::Unload {
                self.refresh(&mut state, id);
            }
            self.update_profile(&mut state, id);
        }
        let actions = match after {
            AfterExit::Retry if !leaving => state.scheduler.load_failed(scheduler_id, now),
            AfterExit::Unload | AfterExit::Retry | AfterExit::Reload | AfterExit::Fail | AfterExit::Rescan => {
                state.scheduler.memory_freed(scheduler_id, now)
            }
        };
        if !leaving && matches!(after, AfterExit::Retry | AfterExit::Reload) {
            self.want(&mut state, id, keep);
        }
        let answers = self.apply_actions(&mut state, actions);
        self.remove_gone(&mut state, id);
        drop(state);
        send_answers(answers);
        self.changed();
    }

    /// Removes a leaving model once its engine is gone, and its metrics with it.
    pub(crate) fn remove_gone(&self, state: &mut FleetState, id: ManagedId) {
        if let Some(gone) = state.remove_gone(id) {
            metrics::remove(gone.name(), &self.devices.now());
        }
    }

    /// Unloads the models of earlier policies once that of the newest is ready: their jobs drain, and jobs that named no model
    /// wait for the new one. A model that a waiting job has named stays.
    pub(crate) fn unload_earlier_policies(self: &Arc<Self>, state: &mut FleetState) -> Vec<PendingAnswer> {
        let serves = |id: &ManagedId| state.models.get(id).is_some_and(|managed| state.serving(managed).is_some());
        let Some(desired) = state.desired.managed().filter(serves) else { return Vec::new() };
        let earlier = state.models.iter().filter(|(id, managed)| managed.keep == KeepReason::Router && **id != desired);
        let earlier: Vec<ManagedId> = earlier.map(|(id, _)| *id).collect();
        let mut answers = Vec::new();
        for id in earlier {
            answers.extend(self.move_waiters(state, id, desired));
            answers.extend(self.dismiss_model(state, id, "a model of an earlier policy"));
        }
        answers
    }

    /// Unloads a model that has no reason to stay; its jobs drain. Where jobs may name any model, it stays for waiting jobs
    /// that named it.
    pub(crate) fn dismiss_model(
        self: &Arc<Self>,
        state: &mut FleetState,
        id: ManagedId,
        why: &str,
    ) -> Vec<PendingAnswer> {
        let (now, settings) = (self.moment(), self.settings());
        let Some(managed) = state.models.get_mut(&id) else { return Vec::new() };
        let (scheduler_id, model) = (managed.scheduler_id, managed.name().to_owned());
        if state.scheduler.waiting(scheduler_id) > 0 && settings.fleet.on_demand {
            managed.keep = KeepReason::Demand;
            return Vec::new();
        }
        info!(model, why, "model is removed");
        managed.keep = KeepReason::Leaving;
        let named = state.scheduler.take_waiting(scheduler_id);
        let mut answers = self.dismiss(state, named, || Refusal::Stopped { model: model.clone() });
        let actions = state.scheduler.unload(scheduler_id, now + settings.fleet.drain_timeout, now);
        answers.extend(self.apply_actions(state, actions));
        self.remove_gone(state, id);
        answers
    }
}
