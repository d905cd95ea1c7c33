//! The outer words for where an engine is: what handles, doors and metrics may know.

use std::sync::Arc;
use std::time::Instant;

use crate::exit_reason::ExitReport;
use crate::state_machine::{Phase, Ready, RunId};

/// Where an engine is.
#[derive(Debug, Clone)]
pub enum State {
    /// No process, none wanted.
    Stopped,
    /// A process loads its model.
    Starting {
        /// From 0 to 1, where the engine tells it.
        progress: Option<f32>,
    },
    /// The model is served.
    Ready(Arc<Ready>),
    /// Served to those who already use it.
    Draining,
    /// The process is being ended; its memory still counts.
    Stopping,
    /// It failed and is tried again by itself.
    BackingOff {
        /// Failures in a row.
        attempt: u32,
        /// When the next try begins.
        until: Instant,
    },
    /// It failed and is not tried again before somebody says so. A process that could not be killed has failed too, and
    /// still holds its memory.
    Failed {
        /// Why.
        cause: Arc<ExitReport>,
    },
}

impl State {
    /// The word for logs, metrics and the wire.
    pub fn name(&self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Starting { .. } => "starting",
            State::Ready(_) => "ready",
            State::Draining => "draining",
            State::Stopping => "stopping",
            State::BackingOff { .. } => "backing_off",
            State::Failed { .. } => "failed",
        }
    }
}

/// A state with its history, as published.
#[derive(Debug, Clone)]
pub struct Status {
    /// Where the engine is.
    pub state: State,
    /// Since when it has been there.
    pub since: Instant,
    /// The newest life; 0 before the first.
    pub run: RunId,
    /// Process of that life, while there is one.
    pub pid: Option<u32>,
    /// Starts that followed a failure.
    pub restarts: u64,
    /// The newest failure, with the last lines of the child.
    pub last_error: Option<Arc<ExitReport>>,
}

impl Status {
    /// That of an engine which was never started.
    #[must_use]
    pub fn at_rest() -> Self {
        let since = tokio::time::Instant::now().into_std();
        Self { state: State::Stopped, since, run: RunId(0), pid: None, restarts: 0, last_error: None }
    }
}

/// Why an engine will not become ready for who asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    /// Nobody wants it running.
    #[error("cannot use the model: it is stopped")]
    Stopped,
    /// It failed; the next try is at `until`.
    #[error("cannot use the model: it failed and is tried again in {:.1} s",
        until.saturating_duration_since(Instant::now()).as_secs_f64())]
    BackingOff {
        /// When the next try begins.
        until: Instant,
    },
    /// It failed for good.
    #[error("cannot use the model: {0}")]
    Failed(Arc<ExitReport>),
    /// Its owner is gone: the worker ends.
    #[error("cannot use the model: the worker is shutting down")]
    ShuttingDown,
}

/// The outer word for an inner phase.
pub(crate) fn outer(phase: &Phase) -> State {
    match phase {
        Phase::Stopped { .. } => State::Stopped,
        Phase::Starting { progress, .. } => State::Starting { progress: *progress },
        Phase::Ready { ready, .. } => State::Ready(Arc::clone(ready)),
        Phase::Draining { .. } => State::Draining,
        Phase::Terminating { .. } | Phase::Killing { .. } => State::Stopping,
        // Its process is still there, and `Status::pid` says so.
        Phase::Unkillable { cause, .. } => State::Failed { cause: Arc::clone(cause) },
        Phase::Backoff { attempt, until, .. } => State::BackingOff { attempt: *attempt, until: *until },
        Phase::Failed { cause, .. } => State::Failed { cause: Arc::clone(cause) },
    }
}

/// What to tell someone who waits for readiness; `None` is "keep waiting".
pub(crate) fn answer(phase: &Phase) -> Option<Result<Arc<Ready>, NotReady>> {
    use crate::state_machine::{AfterDrain, AfterStop};
    match phase {
        Phase::Ready { ready, .. } => Some(Ok(Arc::clone(ready))),
        Phase::Stopped { .. }
        | Phase::Draining { then: AfterDrain::Rest, .. }
        | Phase::Terminating { then: AfterStop::Rest, .. }
        | Phase::Killing { then: AfterStop::Rest, .. } => Some(Err(NotReady::Stopped)),
        Phase::Backoff { until, .. } => Some(Err(NotReady::BackingOff { until: *until })),
        Phase::Failed { cause, .. } | Phase::Unkillable { cause, .. } => Some(Err(NotReady::Failed(Arc::clone(cause)))),
        Phase::Starting { .. } | Phase::Draining { .. } | Phase::Terminating { .. } | Phase::Killing { .. } => None,
    }
}
