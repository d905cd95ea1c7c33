//! A lease: the exclusive use of one slot of one engine.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Model;
use auxot_engine::{Awaiting, Claim, Endpoint, ExitReport, Ready, State, Status};
use auxot_llama::KeptConnection;
use tokio::sync::watch;

use crate::kept_connections::KeptConnections;
use crate::model::managed::{ManagedId, generation_of};
use auxot_scheduler::Run;

/// What a lease calls on the fleet.
pub(crate) trait Owner: Debug + Send + Sync {
    /// Frees a slot of that run.
    fn release(self: Arc<Self>, managed: ManagedId, run: Run);

    /// Handles a possible change in the status of a model's engine.
    fn status_changed(self: Arc<Self>, managed: ManagedId, generation: u64);
}

/// One slot of one engine. Dropping it frees the slot, so it is kept as long as the answer's body.
#[derive(Debug)]
pub struct Lease {
    pub(crate) owner: Arc<dyn Owner>,
    pub(crate) managed: ManagedId,
    pub(crate) model: Arc<Model>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) run: Run,
    /// The connections that are kept, to all engines.
    pub(crate) kept: Arc<KeptConnections>,
    /// Marks the engine as in use, so that a drain waits for this job.
    pub(crate) claim: Claim,
    pub(crate) status: watch::Receiver<Status>,
    /// The newest failure of the engine when the lease was granted.
    pub(crate) earlier_failure: Option<Arc<ExitReport>>,
}

/// What became of an engine during a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineEnd {
    /// The engine exited by itself, or was stopped because it made no progress.
    Crashed,
    /// The fleet stopped it: its model is unloaded or reloaded.
    Stopped,
    /// It still runs, as far as is known.
    Running,
}

/// The most text that one slot of a model can hold, known before the model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimit {
    /// Bytes of text, whatever its content.
    pub bytes: u64,
    /// Tokens of its context.
    pub ctx: u32,
}

impl TextLimit {
    /// The limit for a context of this many tokens; `None` where the tokenizer sets no bound.
    pub(crate) fn of(model: &Model, ctx: u32) -> Option<Self> {
        let bytes = model.longest_token?.saturating_mul(ctx.into());
        (ctx > 0).then_some(Self { bytes, ctx })
    }
}

impl Lease {
    /// The engine's address.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.ready.endpoint
    }

    /// A connection that has answered another request a moment ago; it is used before a new one is opened. The engine may
    /// have closed it meanwhile: then it has answered nothing, and the request can be sent again.
    #[must_use]
    pub fn kept_connection(&self) -> Option<KeptConnection> {
        self.kept.take(self.endpoint())
    }

    /// Keeps a connection for the next request, for a short time and not longer than the engine runs.
    pub fn keep(&self, connection: KeptConnection) {
        self.kept.put(self.endpoint(), connection, || self.engine_stopping());
    }

    /// The model's name, as in logs and metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model.name
    }

    /// The most text that one slot of the engine can hold, where that is known.
    #[must_use]
    pub fn text_limit(&self) -> Option<TextLimit> {
        TextLimit::of(&self.model, self.ready.props.n_ctx)
    }

    /// Whether the engine accepts images.
    #[must_use]
    pub fn vision(&self) -> bool {
        self.ready.props.vision
    }

    /// Waits until the fleet knows the end of the engine, for at most `limit`.
    ///
    /// The job's socket closes some milliseconds before the exit is reaped and classified. A request in between would get a
    /// slot of the dead engine again.
    pub async fn engine_end(mut self, limit: Duration) -> EngineEnd {
        let run = self.ready.run;
        let until = tokio::time::Instant::now() + limit;
        let leaves = |status: &Status| !matches!(&status.state, State::Ready(ready) if ready.run == run);
        // A timeout means that the engine runs: it closed only this connection, and a retry may succeed.
        let gone = tokio::time::timeout_at(until, self.status.wait_for(leaves)).await.is_ok();
        let end = if gone { self.cause(until).await } else { EngineEnd::Running };
        // The listener may update the fleet a moment later; a request that follows must see the new status.
        Arc::clone(&self.owner).status_changed(self.managed, generation_of(self.run));
        end
    }

    /// The cause: an engine that is being stopped may have made no progress, which is known once it has exited.
    async fn cause(&mut self, until: tokio::time::Instant) -> EngineEnd {
        let ended = |status: &Status| !matches!(status.state, State::Stopping);
        let _ = tokio::time::timeout_at(until, self.status.wait_for(ended)).await;
        let status = self.status.borrow();
        match (&status.last_error, &self.earlier_failure) {
            (Some(now), Some(then)) if Arc::ptr_eq(now, then) => EngineEnd::Stopped,
            (Some(_), _) => EngineEnd::Crashed,
            (None, _) => EngineEnd::Stopped,
        }
    }

    /// Resolves when the engine is being stopped, or has exited. An engine that drains waits for its clients, so the lease
    /// holder closes its connection then.
    pub fn engine_stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let (run, mut status) = (self.ready.run, self.status.clone());
        async move {
            let ending = status.wait_for(|status| match &status.state {
                State::Ready(ready) => ready.run != run,
                _ => true,
            });
            // An error means that the driver is gone, and the engine with it.
            let _ = ending.await;
        }
    }

    /// Marks this job as waiting for the engine, until the guard is dropped.
    pub fn awaits(&self) -> Awaiting {
        self.claim.awaits()
    }

    /// Marks a request during which an engine has crashed before. A second crash counts against the request: it takes nothing
    /// from the model's restart budget, and gives back what the first one took.
    pub fn suspect(&mut self) {
        self.claim.suspect();
    }

    /// Marks the answer as complete: an engine that completes answers is not to blame for a request that crashes two.
    pub fn answered(&self) {
        self.claim.answered();
    }

    /// Reports progress of this job, which the liveness check of the engine uses.
    pub fn progressed(&self) {
        self.claim.progress();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        Arc::clone(&self.owner).release(self.managed, self.run);
    }
}
