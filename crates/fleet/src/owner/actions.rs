//! The scheduler's actions: engines start and stop, jobs get their answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::model::managed::ManagedModel;
use crate::model::plan::requirements;
use crate::model::process::Engine;
use crate::owner::Shared;
use crate::owner::requests::PendingAnswer;
use crate::refusal::refusal;
use crate::state::FleetState;
use crate::state::work::Work;
use auxot_placement::{Placement, PlacementError, bytes_text};
use auxot_scheduler::{Action, ModelId};

impl Shared {
    /// Carries out actions, the queued decisions, and what follows from them.
    pub(crate) fn apply_actions(self: &Arc<Self>, state: &mut FleetState, actions: Vec<Action>) -> Vec<PendingAnswer> {
        let mut actions = VecDeque::from(actions);
        let mut answers = Vec::new();
        loop {
            actions.extend(std::mem::take(&mut state.decisions));
            let Some(action) = actions.pop_front() else { return answers };
            match action {
                Action::Admit { ticket, .. } => answers.extend(self.admit(state, ticket)),
                Action::Refuse { ticket, reason } => {
                    let waits_for = state.waiters.get(&ticket).map(|waiter| waiter.managed);
                    if let Some(managed) = waits_for.and_then(|id| state.models.get(&id)) {
                        let why = refusal(managed, reason);
                        answers.extend(self.dismiss(state, vec![ticket], || why.clone()));
                    }
                }
                Action::Load { model, placement } => self.load(state, model, *placement),
                Action::Drain { model, until, to_make_room_for } => {
                    let limit = until.saturating_sub(self.moment());
                    log_drain(state, model, limit, to_make_room_for);
                }
                Action::Stop { model } => {
                    log_unload(state, model);
                    let engine = managed_of(state, model).and_then(|managed| managed.engine.as_mut());
                    if let Some(engine) = engine {
                        engine.stop(&self.devices);
                    }
                }
                Action::TooLarge { model, placement_error } => {
                    actions.extend(self.shrink(state, model, &placement_error))
                }
                Action::NoRoom { model, placement_error } => {
                    if let Some(managed) = managed_of(state, model) {
                        warn!(model = managed.name(), reason = %placement_error, "no room for a wanted model; it waits");
                        managed.placement_error = Some(placement_error);
                    }
                }
            }
        }
    }

    /// Starts an engine for a model in its placement.
    fn load(&self, state: &mut FleetState, scheduler_id: ModelId, placement: Placement) {
        let Some(id) = state.by_scheduler_id.get(&scheduler_id).copied() else { return };
        let subject = self.subject(state, id);
        let Some(managed) = state.models.get_mut(&id) else { return };
        let spec = managed.plan.spec();
        let mut placed = spec.clone();
        placed.layout = placement.arguments();
        placed.env.extend(placement.environment());
        let places: Vec<String> = placement
            .bytes()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(at, bytes)| format!("{at} {}", bytes_text(bytes)))
            .collect();
        info!(
            model = managed.name(),
            slots = spec.slots,
            ctx_per_slot = spec.ctx_per_slot,
            place = places.join(", "),
            "model is being loaded"
        );
        let (handle, driver) = self.engines.create(placed.clone());
        let status = handle.status();
        let mut engine = Engine::new(handle, &managed.plan, placement, subject);
        let was_dry_run = managed.dry_run_plan.take().is_some_and(|sent_back| sent_back == spec);
        let is_known = was_dry_run || engine.is_measured(&self.measurements);
        let dry_run = if is_known { None } else { self.engines.dry_run(placed) };
        let generation = managed.generation + 1;
        state.work.push(Work::Drive { managed: id, generation, status, driver });
        match dry_run {
            Some(dry_run) => {
                let (ended, end) = oneshot::channel();
                engine.dry_run = Some(end);
                state.work.push(Work::DryRun { managed: id, generation, dry_run, ended });
            }
            None => engine.handle.start(),
        }
        managed.load(engine);
    }

    /// Chooses the largest size whose estimate fits, for a model that can never fit in its present size.
    fn shrink(&self, state: &mut FleetState, scheduler_id: ModelId, placement_error: &PlacementError) -> Vec<Action> {
        let Some(id) = state.by_scheduler_id.get(&scheduler_id).copied() else { return Vec::new() };
        let FleetState { models, scheduler, .. } = state;
        let Some(managed) = models.get_mut(&id) else { return Vec::new() };
        let (model, parameters) = (&managed.model, managed.plan.parameters);
        if !managed
            .plan
            .sizes
            .estimate_only(|size| scheduler.could_hold(scheduler_id, requirements(model, &parameters, *size)))
        {
            if managed.placement_error.replace(placement_error.clone()).is_none() {
                warn!(model = managed.name(), reason = %placement_error, "model does not fit in any size");
            }
            return scheduler.refuse_waiting(scheduler_id, placement_error);
        }
        let size = managed.plan.sizes.size();
        info!(model = managed.name(), slots = size.slots, ctx_per_slot = size.ctx, reason = %placement_error, "model gets a size that fits");
        self.update_profile(state, id);
        state.scheduler.tick(self.moment())
    }
}

fn managed_of(state: &mut FleetState, scheduler_id: ModelId) -> Option<&mut ManagedModel> {
    let id = state.by_scheduler_id.get(&scheduler_id)?;
    state.models.get_mut(id)
}

fn log_unload(state: &FleetState, scheduler_id: ModelId) {
    let to_make_room_for = state.scheduler.makes_room_for(scheduler_id).and_then(|other| state.name_of(other));
    info!(model = state.name_of(scheduler_id), to_make_room_for, "model is unloaded");
}

fn log_drain(state: &FleetState, scheduler_id: ModelId, limit: Duration, to_make_room_for: Option<ModelId>) {
    info!(
        model = state.name_of(scheduler_id),
        from = "ready",
        to = "draining",
        limit_s = limit.as_secs_f64(),
        to_make_room_for = to_make_room_for.and_then(|other| state.name_of(other)),
        "model"
    );
}
