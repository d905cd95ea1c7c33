//! The phases of one engine; each variant holds exactly what exists in it.

use std::sync::Arc;
use std::time::Instant;

use super::{Ready, RunId, Timer};
use crate::exit_reason::{ExitClass, ExitReport};

/// The state of an engine.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// No process, none wanted. `last` is the run that ended, so that the next one gets a new number.
    Stopped { last: RunId },
    /// A process loads its model. Silence until `stall_at` ends it; output alone does not move that deadline beyond
    /// `output_until`.
    Starting { run: RunId, failures: u32, stall_at: Instant, output_until: Instant, progress: Option<f32> },
    /// The process serves its model.
    Ready { run: RunId, failures: u32, since: Instant, ready: Arc<Ready> },
    /// TERM was sent. `again` is when it is sent again; `None` once that is done.
    Terminating { run: RunId, again: Option<Instant>, kill_at: Instant, then: AfterStop },
    /// KILL was sent.
    Killing { run: RunId, give_up_at: Instant, then: AfterStop },
    /// KILL had no effect (a task that hangs in the kernel or a driver): the process and its memory still count.
    Unkillable { run: RunId, cause: Arc<ExitReport> },
    /// No process until `until`; `run` is the run that ended.
    Backoff { run: RunId, attempt: u32, until: Instant, cause: Arc<ExitReport> },
    /// No process, and none is started before a command asks for it.
    Failed { last: RunId, cause: Arc<ExitReport> },
}

/// What follows the exit of a process that is being stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterStop {
    /// Nothing: the model is not wanted.
    Stopped,
    /// The process is stopped because of `why`, and `failures` have occurred in a row before; a new run may follow.
    Recover { failures: u32, why: ExitClass },
}

impl Phase {
    /// The run whose events still have a meaning.
    pub(crate) fn live_run(&self) -> Option<RunId> {
        match self {
            Phase::Starting { run, .. }
            | Phase::Ready { run, .. }
            | Phase::Terminating { run, .. }
            | Phase::Killing { run, .. }
            | Phase::Unkillable { run, .. }
            | Phase::Backoff { run, .. } => Some(*run),
            Phase::Stopped { .. } | Phase::Failed { .. } => None,
        }
    }

    /// The newest run, ended or not.
    pub(crate) fn run(&self) -> RunId {
        match self {
            Phase::Stopped { last } | Phase::Failed { last, .. } => *last,
            other => other.live_run().unwrap_or_default(),
        }
    }

    /// Whether a process exists.
    pub(crate) fn has_process(&self) -> bool {
        !matches!(self, Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. })
    }

    /// The one timer of this phase: which one, and when it is due.
    pub(crate) fn timer(&self) -> Option<(RunId, Timer, Instant)> {
        match self {
            Phase::Starting { run, stall_at, .. } => Some((*run, Timer::Stall, *stall_at)),
            Phase::Terminating { run, again: Some(again), .. } => Some((*run, Timer::Again, *again)),
            Phase::Terminating { run, again: None, kill_at, .. } => Some((*run, Timer::Kill, *kill_at)),
            Phase::Killing { run, give_up_at, .. } => Some((*run, Timer::GiveUp, *give_up_at)),
            Phase::Backoff { run, until, .. } => Some((*run, Timer::Backoff, *until)),
            Phase::Stopped { .. } | Phase::Ready { .. } | Phase::Unkillable { .. } | Phase::Failed { .. } => None,
        }
    }

    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Phase::Stopped { .. } => "stopped",
            Phase::Starting { .. } => "starting",
            Phase::Ready { .. } => "ready",
            Phase::Terminating { .. } => "terminating",
            Phase::Killing { .. } => "killing",
            Phase::Unkillable { .. } => "unkillable",
            Phase::Backoff { .. } => "backoff",
            Phase::Failed { .. } => "failed",
        }
    }
}
