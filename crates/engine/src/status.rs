//! The public state of an engine, as handles, reports and metrics show it.

use std::sync::Arc;
use std::time::Instant;

use crate::exit_reason::ExitReport;
use crate::state_machine::{Phase, Ready, RunId};

/// The state of one engine process; see `auxot_scheduler::ModelState` for that of a model.
#[derive(Debug, Clone)]
pub enum State {
    /// No process, none wanted.
    Stopped,
    /// A process loads its model.
    Starting {
        /// From 0 to 1, where the engine reports it.
        progress: Option<f32>,
    },
    /// The process serves its model.
    Ready(Arc<Ready>),
    /// The process is being stopped; its memory still counts.
    Stopping,
    /// It failed and is started again without a command.
    BackingOff {
        /// Failures in a row.
        attempt: u32,
        /// When the next start is due.
        until: Instant,
    },
    /// It failed and is not started again without a command. A process that KILL does not end has failed too, and still
    /// holds its memory.
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
            State::Stopping => "stopping",
            State::BackingOff { .. } => "backing_off",
            State::Failed { .. } => "failed",
        }
    }
}

/// A state and its history, as published.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state of the engine.
    pub state: State,
    /// When it entered that state.
    pub since: Instant,
    /// The newest run; 0 before the first.
    pub run: RunId,
    /// The process of that run, while there is one.
    pub pid: Option<u32>,
    /// Starts that followed a failure.
    pub restarts: u64,
    /// The newest failure, with the last lines of the process.
    pub last_error: Option<Arc<ExitReport>>,
}

impl Status {
    /// The status of an engine that was never started.
    #[must_use]
    pub fn stopped() -> Self {
        let since = tokio::time::Instant::now().into_std();
        Self { state: State::Stopped, since, run: RunId(0), pid: None, restarts: 0, last_error: None }
    }
}

impl From<&Phase> for State {
    fn from(phase: &Phase) -> State {
        match phase {
            Phase::Stopped { .. } => State::Stopped,
            Phase::Starting { progress, .. } => State::Starting { progress: *progress },
            Phase::Ready { ready, .. } => State::Ready(Arc::clone(ready)),
            Phase::Terminating { .. } | Phase::Killing { .. } => State::Stopping,
            // The process still exists, and `Status::pid` shows it.
            Phase::Unkillable { cause, .. } => State::Failed { cause: Arc::clone(cause) },
            Phase::Backoff { attempt, until, .. } => State::BackingOff { attempt: *attempt, until: *until },
            Phase::Failed { cause, .. } => State::Failed { cause: Arc::clone(cause) },
        }
    }
}
