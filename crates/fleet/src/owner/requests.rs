//! Requests for a slot: a job waits in the queue of its model, and gets a lease or a refusal.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::job_task::JobTask;
use crate::lease::{Lease, Owner, TextLimit};
use crate::model::managed::{Files, KeepReason, ManagedId};
use crate::model::plan::{CTX_BLOCK, parameters};
use crate::owner::Shared;
use crate::refusal::{Refusal, refusal};
use crate::state::scan::Requested;
use crate::state::{FleetState, Intake, Waiter};
use auxot_scheduler::{Action, Decision, Run, Ticket};

/// A place in the queue of a model; dropping it leaves the queue.
struct QueueEntry {
    shared: Arc<Shared>,
    ticket: Ticket,
    model: String,
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let Some(waiter) = state.waiters.remove(&self.ticket) else { return };
        let actions = state.scheduler.job_cancelled(self.ticket, self.shared.moment());
        self.shared.conclude(state, actions);
        drop(waiter);
        // Models that were draining for this job may stay.
        self.shared.changed();
    }
}

enum Answer {
    Lease(Lease),
    Wait(oneshot::Receiver<Result<Lease, Refusal>>, QueueEntry),
}

/// An answer that is sent after the lock is released.
pub(crate) type PendingAnswer = (oneshot::Sender<Result<Lease, Refusal>>, Result<Lease, Refusal>);

/// Sends the answers.
pub(crate) fn send_answers(answers: Vec<PendingAnswer>) {
    for (answer, outcome) in answers {
        // An `Err` returns the lease, and dropping it frees the slot for the next job.
        let _ = answer.send(outcome);
    }
}

impl Shared {
    /// The state, and what a job's model name means. The lock is released while a name is resolved that is not exact.
    pub(crate) fn lock_for<'a>(&self, name: Option<&'a str>) -> (MutexGuard<'_, FleetState>, Requested<'a>) {
        let state = self.lock();
        let Some(name) = name.filter(|name| !name.is_empty()) else { return (state, Requested::Primary) };
        if state.models.values().any(|managed| managed.name() == name) {
            return (state, Requested::Exact(name));
        }
        let scan = Arc::clone(&state.scan);
        drop(state);
        let requested = Requested::resolve(name, &scan);
        (self.lock(), requested)
    }

    /// The most text that a slot of the named model, or else the primary one, can hold; `None` where that is unknown.
    pub(crate) fn text_limit(&self, name: Option<&str>) -> Option<TextLimit> {
        let (state, requested) = self.lock_for(name);
        let (model, planned, ready) = match state.find(&requested, JobTask::Chat) {
            Ok(id) => {
                let managed = state.models.get(&id)?;
                (&*managed.model, managed.plan.ctx(), managed.ready().map(|ready| ready.props.n_ctx))
            }
            Err(_) => {
                let model = state.scan.model(requested.file()?)?;
                let own = self.config_of(&state, model);
                let ctx = parameters(&self.settings().engine, &own, None, model).ctx;
                (model, own.args.is_empty().then_some(ctx), None)
            }
        };
        // Extra arguments may set another context, which only the engine knows.
        let planned = planned.filter(|ctx| *ctx > 0 && self.settings().engine.extra_args.is_empty());
        // The longer one of the running engine's and the wanted size's. Engines round a context up, by less than a block.
        TextLimit::of(model, ready.max(planned.map(|ctx| ctx.saturating_add(CTX_BLOCK)))?)
    }

    /// Waits for a slot until `deadline`, or for the configured maximum.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        model: Option<&str>,
        task: JobTask,
        deadline: Instant,
    ) -> Result<Lease, Refusal> {
        let since = now();
        let until = deadline.min(since + self.settings().fleet.max_wait);
        let answer = match self.request(model, task) {
            Err(Refusal::UnknownModel { .. } | Refusal::NoModelForTask { .. } | Refusal::NoModel { .. })
                if self.scan_again(until).await =>
            {
                self.request(model, task)?
            }
            answer => answer?,
        };
        let (answer, waiting) = match answer {
            Answer::Lease(lease) => return Ok(lease),
            Answer::Wait(answer, waiting) => (answer, waiting),
        };
        match tokio::time::timeout_at(until.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_) => Err(Refusal::WaitTimeout {
                model: waiting.model.clone(),
                waited: now().saturating_duration_since(since),
            }),
        }
    }

    /// The model for a job. A model of the folders is added when a job names it; a leaving one stays.
    fn resolve(
        self: &Arc<Self>,
        state: &mut FleetState,
        requested: &Requested<'_>,
        task: JobTask,
    ) -> Result<ManagedId, Refusal> {
        let found = state.find(requested, task);
        if let Some(refused) = state.wrong_task(found.as_ref().ok(), requested, task) {
            return Err(refused);
        }
        let leaves = |id: &ManagedId| state.models.get(id).is_some_and(|managed| managed.keep == KeepReason::Leaving);
        match (found, requested.file()) {
            (Ok(id), _) if !leaves(&id) => Ok(id),
            (Ok(id), _) if self.settings().fleet.on_demand && state.intake == Intake::Open && state.has_file(id) => {
                if let Some(managed) = state.models.get_mut(&id) {
                    managed.stay(KeepReason::Demand);
                }
                self.want(state, id, KeepReason::Demand);
                Ok(id)
            }
            (Ok(_), _) => Err(state.unknown(requested.name().unwrap_or_default())),
            (Err(refused @ Refusal::UnknownModel { .. }), Some(file)) if self.settings().fleet.on_demand => {
                let scan = Arc::clone(&state.scan);
                let model = scan.model(file).ok_or_else(|| refused.clone())?;
                self.add_file(state, model, KeepReason::Demand, None).map_err(|_| refused)
            }
            // Without a model for the task in the fleet, the first of the folders serves.
            (Err(refused @ (Refusal::NoModelForTask { .. } | Refusal::NoModel { .. })), _)
                if state.intake == Intake::Open =>
            {
                self.add_any(state, task).ok_or(refused)
            }
            (Err(refused), _) => Err(refused),
        }
    }

    fn request(self: &Arc<Self>, model: Option<&str>, task: JobTask) -> Result<Answer, Refusal> {
        let (mut guard, requested) = self.lock_for(model);
        let state = &mut *guard;
        if state.intake == Intake::Closed {
            return Err(Refusal::Draining);
        }
        let id = self.resolve(state, &requested, task)?;
        // Only a chat may be moved to another model: the others of a task are not interchangeable.
        let named = task != JobTask::Chat || requested.name().is_some();
        let (ticket, moment) = (state.ticket(), self.moment());
        let Some(managed) = state.models.get(&id) else { return Err(Refusal::Draining) };
        let (scheduler_id, name) = (managed.scheduler_id, managed.name().to_owned());
        let (decision, actions) = state.scheduler.job_arrived(ticket, scheduler_id, moment);
        let answer = match decision {
            Decision::Admit => match lease(self, state, id) {
                Some(lease) => Ok(Answer::Lease(lease)),
                None => {
                    // The scheduler admitted a job to an engine that is gone, and with it all of its slots. It has not been
                    // observed.
                    let lost = state.scheduler.engine_lost(scheduler_id, false, moment);
                    state.decisions.extend(lost);
                    Err(Refusal::Stopped { model: name })
                }
            },
            Decision::Refuse(reason) => Err(refusal(&state.models[&id], reason)),
            Decision::Wait => {
                let (answer, awaited) = oneshot::channel();
                state.waiters.insert(ticket, Waiter { managed: id, named, answer });
                // Its deadline may be the next.
                self.work_ready.notify_one();
                Ok(Answer::Wait(awaited, QueueEntry { shared: Arc::clone(self), ticket, model: name }))
            }
        };
        let changed = !actions.is_empty();
        self.conclude(guard, actions);
        if changed {
            self.changed();
        }
        answer
    }

    /// Carries out actions and queued decisions, releases the lock, and then sends the answers.
    pub(crate) fn conclude(self: &Arc<Self>, mut state: MutexGuard<'_, FleetState>, actions: Vec<Action>) {
        // Most jobs begin and end without one.
        if actions.is_empty() && state.decisions.is_empty() {
            return;
        }
        let answers = self.apply_actions(&mut state, actions);
        drop(state);
        send_answers(answers);
    }

    /// Refuses jobs that were taken out of the queue.
    pub(crate) fn dismiss(
        &self,
        state: &mut FleetState,
        tickets: Vec<Ticket>,
        refusal: impl Fn() -> Refusal,
    ) -> Vec<PendingAnswer> {
        let waiters = tickets.into_iter().filter_map(|ticket| state.waiters.remove(&ticket));
        waiters.map(|waiter| (waiter.answer, Err(refusal()))).collect()
    }

    /// Moves the waiters of one model that named no model to another one; the others stay.
    pub(crate) fn move_waiters(
        self: &Arc<Self>,
        state: &mut FleetState,
        from: ManagedId,
        to: ManagedId,
    ) -> Vec<PendingAnswer> {
        let by_scheduler_id = (
            state.models.get(&from).map(|managed| managed.scheduler_id),
            state.models.get(&to).map(|managed| managed.scheduler_id),
        );
        let (Some(scheduler_id), Some(target)) = by_scheduler_id else { return Vec::new() };
        let now = self.moment();
        let (mut answers, mut actions) = (Vec::new(), Vec::new());
        for ticket in state.scheduler.take_waiting(scheduler_id) {
            let Some(waiter) = state.waiters.get_mut(&ticket) else { continue };
            let target_id = if waiter.named { scheduler_id } else { target };
            if !waiter.named {
                waiter.managed = to;
            }
            let (decision, more) = state.scheduler.job_arrived(ticket, target_id, now);
            actions.extend(more);
            match decision {
                Decision::Admit => answers.extend(self.admit(state, ticket)),
                Decision::Refuse(reason) => {
                    let waits_for = if target_id == scheduler_id { from } else { to };
                    let why = refusal(&state.models[&waits_for], reason);
                    answers.extend(self.dismiss(state, vec![ticket], || why.clone()));
                }
                Decision::Wait => {}
            }
        }
        answers.extend(self.apply_actions(state, actions));
        answers
    }

    /// The lease for a waiting job that was admitted.
    pub(crate) fn admit(self: &Arc<Self>, state: &mut FleetState, ticket: Ticket) -> Option<PendingAnswer> {
        let waiter = state.waiters.remove(&ticket)?;
        let stopped = || Refusal::Stopped {
            model: state.models.get(&waiter.managed).map(|managed| managed.name().to_owned()).unwrap_or_default(),
        };
        let outcome = lease(self, state, waiter.managed).ok_or_else(stopped);
        Some((waiter.answer, outcome))
    }
}

/// The runtime's clock, which tests pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A lease for one slot of a model's engine.
fn lease(shared: &Arc<Shared>, state: &FleetState, id: ManagedId) -> Option<Lease> {
    let managed = state.models.get(&id)?;
    let (engine, ready) = (managed.engine.as_ref()?, managed.ready()?);
    let status = engine.handle.status();
    let earlier_failure = status.borrow().last_error.clone();
    Some(Lease {
        owner: Arc::clone(shared) as Arc<dyn Owner>,
        managed: id,
        model: Arc::clone(&managed.model),
        ready: Arc::clone(ready),
        run: managed.run(ready),
        kept: Arc::clone(&shared.kept),
        claim: engine.handle.claim(),
        status,
        earlier_failure,
    })
}

impl Owner for Shared {
    /// Frees the slot of a lease.
    fn release(self: Arc<Self>, id: ManagedId, run: Run) {
        let mut state = self.lock();
        let Some(managed) = state.models.get(&id) else { return };
        let (scheduler_id, is_outdated) = (managed.scheduler_id, managed.files == Files::Outdated);
        let due = state.scheduler.due();
        let actions = state.scheduler.job_ended(scheduler_id, run, self.moment());
        // Most jobs only pass their slot to the next.
        let changed = actions.iter().any(|action| !matches!(action, Action::Admit { .. }));
        if is_outdated {
            self.replace_if_idle(&mut state, id);
        }
        let wakes = state.scheduler.due() != due;
        // A caller that is gone drops its lease, which calls this again.
        self.conclude(state, actions);
        if changed {
            self.changed();
        } else if wakes {
            self.work_ready.notify_one();
        }
    }

    fn status_changed(self: Arc<Self>, managed: ManagedId, generation: u64) {
        self.on_engine_status(managed, generation);
    }
}
