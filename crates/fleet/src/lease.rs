//! The right to one slot of one engine, for as long as it is held.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use auxot_engine::{Awaiting, Claim, Endpoint, ExitReport, Ready, State, Status};
use tokio::sync::{oneshot, watch};

use crate::model::managed::{ManagedId, generation_of};
use crate::refusal::Refusal;
use crate::text_limit::TextLimit;
use auxot_scheduler::Run;

/// What a lease tells the fleet.
pub(crate) trait Owner: Debug + Send + Sync {
    /// The slot of that run is free.
    fn release(self: Arc<Self>, managed: ManagedId, run: Run);

    /// The status of a model's process may have changed.
    fn status_changed(self: Arc<Self>, managed: ManagedId, generation: u64);
}

/// One slot of one engine. Dropping it frees the slot, so it lives as long as the answer's body.
#[derive(Debug)]
pub struct Lease {
    pub(crate) owner: Arc<dyn Owner>,
    pub(crate) managed: ManagedId,
    pub(crate) model: Arc<auxot_catalog::Model>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) run: Run,
    /// Tells the instance that it is in use, so that a drain waits for this job.
    pub(crate) claim: Claim,
    pub(crate) status: watch::Receiver<Status>,
    /// The newest failure of the engine when the lease was given.
    pub(crate) blamed: Option<Arc<ExitReport>>,
}

/// How an engine was lost to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineEnd {
    /// It ended by itself, or stood still and was ended for it.
    Crashed,
    /// It was told to end: its model is let go, or loaded anew.
    Stopped,
    /// It lives, as far as is known.
    Running,
}

impl Lease {
    /// Where the engine listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.ready.endpoint
    }

    /// The model's name, as in logs and metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model.name
    }

    /// The most text that one slot of the engine can hold; nothing where that is not known.
    #[must_use]
    pub fn text_limit(&self) -> Option<TextLimit> {
        TextLimit::of(&self.model, self.ready.props.n_ctx)
    }

    /// Whether the engine can see images.
    #[must_use]
    pub fn vision(&self) -> bool {
        self.ready.props.vision
    }

    /// Waits until the engine's end is known here too, for at most `patience`.
    ///
    /// A job hears of it through its socket some milliseconds before the exit is reaped and classified;
    /// asking for a slot in between would give one of the dead engine again.
    pub async fn engine_end(mut self, patience: Duration) -> EngineEnd {
        let run = self.ready.run;
        let until = tokio::time::Instant::now() + patience;
        let leaves = |status: &Status| !matches!(&status.state, State::Ready(ready) if ready.run == run);
        // Too late means that it lives: it cut this one connection only, and the next try may do better.
        let gone = tokio::time::timeout_at(until, self.status.wait_for(leaves)).await.is_ok();
        let loss = if gone { self.loss(until).await } else { EngineEnd::Running };
        // The fleet state may be told a moment later by the listener; who asks next must find it told.
        Arc::clone(&self.owner).status_changed(self.managed, generation_of(self.run));
        loss
    }

    /// Why it goes: one that is being ended may be so because it stood still, which is told when it has ended.
    async fn loss(&mut self, until: tokio::time::Instant) -> EngineEnd {
        let ended = |status: &Status| !matches!(status.state, State::Draining | State::Stopping);
        let _ = tokio::time::timeout_at(until, self.status.wait_for(ended)).await;
        let status = self.status.borrow();
        match (&status.last_error, &self.blamed) {
            (Some(now), Some(then)) if Arc::ptr_eq(now, then) => EngineEnd::Stopped,
            (Some(_), _) => EngineEnd::Crashed,
            (None, _) => EngineEnd::Stopped,
        }
    }

    /// Resolves when the engine is being ended, or is gone. An engine that is told to end waits for its clients, so who
    /// holds a lease hangs up then.
    pub async fn engine_stopping(&self) {
        let (run, mut status) = (self.ready.run, self.status.clone());
        let ending = status.wait_for(|status| match &status.state {
            State::Ready(ready) => ready.run != run,
            State::Draining => false,
            _ => true,
        });
        // Its driver is gone, and the engine with it.
        let _ = ending.await;
    }

    /// Says that this job waits for the engine, until the guard is dropped.
    pub fn awaits(&self) -> Awaiting {
        self.claim.awaits()
    }

    /// Says that an engine has crashed during this job's request before: a second crash is the request's and takes nothing
    /// from the model's restart budget, and gives back what the first one took.
    pub fn suspect(&mut self) {
        self.claim.suspect();
    }

    /// Says that this job has its whole answer: an engine that gives some is not to blame for a request that ends two.
    pub fn answered(&self) {
        self.claim.answered();
    }

    /// The pulse of this job: the instance takes it as a sign of life of its engine.
    pub fn progressed(&self) {
        self.claim.progress();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        Arc::clone(&self.owner).release(self.managed, self.run);
    }
}

/// An answer on its way; it is sent only after the lock is gone.
pub(crate) type PendingAnswer = (oneshot::Sender<Result<Lease, Refusal>>, Result<Lease, Refusal>);

/// Sends the answers.
pub(crate) fn send_answers(answers: Vec<PendingAnswer>) {
    for (answer, outcome) in answers {
        // An `Err` gives the lease back, and its drop frees the slot for the next one.
        let _ = answer.send(outcome);
    }
}
