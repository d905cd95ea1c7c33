//! The news of a process, taken in: what it means for its model, for those who wait, and for all others.

use std::sync::Arc;

use tracing::{info, warn};

use crate::lease::{PendingAnswer, send_answers};
use crate::model::managed::ManagedId;
use crate::model::managed::{KeepReason, StatusChange};
use crate::model::plan::requirements;
use crate::model::process::AfterExit;
use crate::model::release::Release;
use crate::model::size_search::Size;
use crate::owner::Shared;
use crate::refusal::Refusal;
use crate::report::metrics;
use crate::state::FleetState;
use crate::state::work::Work;
use auxot_scheduler::{Effect, ModelState};

/// Says that a model takes jobs, and what its engine made of the numbers that it was started with.
fn log_loaded(state: &FleetState, id: ManagedId) {
    let Some(managed) = state.models.get(&id) else { return };
    if !matches!(state.scheduler.state(managed.scheduler_id), ModelState::Loading { .. }) {
        return;
    }
    if let Some(ready) = managed.ready() {
        let (slots, ctx_per_slot) = (ready.props.total_slots, ready.props.n_ctx);
        info!(model = managed.name(), slots, ctx_per_slot, load_s = ready.load_time.as_secs_f64(), "model is loaded");
    }
    if let Some(deviation) = managed.deviation() {
        warn!(deviation, "the engine runs with other numbers than it was given");
    }
}

impl Shared {
    /// Takes in a new state of a model's process.
    pub(crate) fn on_engine_status(self: &Arc<Self>, id: ManagedId, generation: u64) {
        let mut guard = self.lock();
        let (state, now) = (&mut *guard, self.moment());
        let Some(managed) = state.models.get_mut(&id).filter(|managed| managed.generation == generation) else {
            return;
        };
        // The newest, read under the lock: of two who bring news the later one may have the older.
        let Some(status) = managed.engine.as_ref().map(|engine| engine.handle.status().borrow().clone()) else {
            return;
        };
        let scheduler_id = managed.scheduler_id;
        let leaving = matches!(state.scheduler.state(scheduler_id), ModelState::Leaving { .. });
        let present = status.pid;
        let pid = present.or_else(|| managed.last.as_ref().and_then(|last| last.pid));
        let effects = match managed.on_engine_status(status, leaving) {
            StatusChange::None => Vec::new(),
            // It takes jobs once its devices have been read: see `measured`.
            StatusChange::Ready { .. }
                if managed.engine.as_ref().is_some_and(|engine| engine.awaits_reading(&self.devices)) =>
            {
                self.devices.look();
                state.work.push(Work::AcceptUnread { managed: id, generation });
                Vec::new()
            }
            StatusChange::Down => {
                // Its keeper starts it again: where its device is lost that would be in vain, or on the processor.
                let served = matches!(state.scheduler.state(scheduler_id), ModelState::Ready { .. });
                if served {
                    self.devices.look();
                }
                if served || present.is_none() { state.scheduler.lost(scheduler_id, now) } else { Vec::new() }
            }
            StatusChange::Unkillable => state.scheduler.failed(scheduler_id, now),
            StatusChange::Replace => {
                if let Some(engine) = &mut managed.engine {
                    engine.stop(&self.devices);
                }
                state.scheduler.lost(scheduler_id, now)
            }
            StatusChange::Ready { run, slots, size } => {
                self.remember(state, id, size);
                log_loaded(state, id);
                self.learn_host_memory(state, id);
                // Until a reading shows what it holds, that counts as promised.
                self.devices.look();
                state.scheduler.ready(scheduler_id, run, slots, now)
            }
            StatusChange::Ended(after) => self.ended(state, id, after, pid),
        };
        let mut answers = self.apply_actions(state, effects);
        answers.extend(self.retire(state));
        self.remove_gone(state, id);
        self.serve_fallback(state);
        drop(guard);
        send_answers(answers);
        self.changed();
    }

    /// What a process holds of the host's memory before its first job is worth remembering.
    fn learn_host_memory(&self, state: &mut FleetState, id: ManagedId) {
        let FleetState { models, scheduler, work, .. } = state;
        let Some(managed) = models.get_mut(&id) else { return };
        let is_new = matches!(scheduler.state(managed.scheduler_id), ModelState::Loading { .. });
        if let Some(engine) = managed.engine.as_mut().filter(|_| is_new)
            && engine.learn_host_memory(&self.measurements)
        {
            work.push(Work::Learn);
        }
    }

    /// The size in which a model was loaded is worth remembering if it is another than the wanted one, and a load has shown
    /// that the wanted one is too large.
    fn remember(&self, state: &mut FleetState, id: ManagedId, size: Size) {
        let sizes = &state.models[&id].plan.sizes;
        if sizes.is_estimated() {
            return;
        }
        let (key, size) = (state.models[&id].plan.key.clone(), Some(size).filter(|size| *size != sizes.wanted()));
        state.work.push(Work::Remember { key, size });
    }

    /// Nothing is left of a process. What follows waits until its memory is seen to be free; a failure waits for nothing.
    fn ended(
        self: &Arc<Self>,
        state: &mut FleetState,
        id: ManagedId,
        after: AfterExit,
        pid: Option<u32>,
    ) -> Vec<Effect> {
        let Some(managed) = state.models.get_mut(&id) else { return Vec::new() };
        let (scheduler_id, generation) = (managed.scheduler_id, managed.generation);
        // The last handle: the driver ends with it.
        let Some(engine) = managed.engine.take() else { return Vec::new() };
        if after == AfterExit::Fail {
            self.devices.look();
            let effects = state.scheduler.failed(scheduler_id, self.moment());
            // At once, and not only at the next turn: a file that is gone for a moment may be the reason.
            state.inspect(id);
            return effects;
        }
        if after == AfterExit::Rescan {
            return self.awaits_scan(state, id);
        }
        // Its slots are gone, and its place stays reserved.
        let effects = state.scheduler.lost(scheduler_id, self.moment());
        let release = Release::new(pid, &engine.placement, engine.before);
        state.work.push(Work::Release { managed: id, generation, after, release });
        effects
    }

    /// The memory of a process that has ended is free, as far as anybody can tell.
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
        let effects = match after {
            AfterExit::Retry if !leaving => state.scheduler.again(scheduler_id, now),
            AfterExit::Unload | AfterExit::Retry | AfterExit::Reload | AfterExit::Fail | AfterExit::Rescan => {
                state.scheduler.gone(scheduler_id, now)
            }
        };
        if !leaving && matches!(after, AfterExit::Retry | AfterExit::Reload) {
            self.want(&mut state, id, keep);
        }
        let answers = self.apply_actions(&mut state, effects);
        self.remove_gone(&mut state, id);
        drop(state);
        send_answers(answers);
        self.changed();
    }

    /// Takes a model out that was let go and of which nothing is left, and its series with it.
    pub(crate) fn remove_gone(&self, state: &mut FleetState, id: ManagedId) {
        if let Some(gone) = state.remove_gone(id) {
            metrics::remove(gone.name(), &self.devices.now());
        }
    }

    /// Lets the models of earlier policies go once that of the newest serves: their running jobs end within the drain
    /// time, those that wait for any model wait for the new one. One that jobs wait for by its name stays.
    pub(crate) fn retire(self: &Arc<Self>, state: &mut FleetState) -> Vec<PendingAnswer> {
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

    /// Lets a model go that nobody has a reason to keep any more: its running jobs end within the drain time. One that jobs
    /// wait for by its name stays for them, where jobs may name any.
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
        info!(model, why, "model is let go");
        managed.keep = KeepReason::Leaving;
        let named = state.scheduler.dismiss(scheduler_id);
        let mut answers = self.dismiss(state, named, || Refusal::Stopped { model: model.clone() });
        let effects = state.scheduler.unload(scheduler_id, now + settings.fleet.drain_timeout, now);
        answers.extend(self.apply_actions(state, effects));
        self.remove_gone(state, id);
        answers
    }
}
