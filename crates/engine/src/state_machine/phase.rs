//! The phases of one engine; each variant holds exactly what exists while it lasts.

use std::sync::Arc;
use std::time::Instant;

use super::{Ready, RunId, Timer};
use crate::exit_reason::{ExitClass, ExitReport};

/// Where an engine is in its life.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// No process, none wanted. `last` is the life that ended, so that the next one gets a fresh number.
    Stopped { last: RunId },
    /// A process is loading its model; silence until `stall_at` ends it, and output alone does not move that beyond
    /// `output_until`.
    Starting { run: RunId, failures: u32, stall_at: Instant, output_until: Instant, progress: Option<f32> },
    /// The model is served.
    Ready { run: RunId, failures: u32, since: Instant, ready: Arc<Ready> },
    /// Served to who holds a claim, refused to all others.
    Draining { run: RunId, deadline: Instant, then: AfterDrain },
    /// TERM was sent; `again` is when it is repeated, gone once that is done.
    Terminating { run: RunId, again: Option<Instant>, kill_at: Instant, then: AfterStop },
    /// KILL was sent.
    Killing { run: RunId, give_up_at: Instant, then: AfterStop },
    /// KILL did not help (a task stuck in the kernel or a driver): the process and its memory still count.
    Unkillable { run: RunId, cause: Arc<ExitReport> },
    /// No process until `until`; `run` is the life that ended.
    Backoff { run: RunId, attempt: u32, until: Instant, cause: Arc<ExitReport> },
    /// No process, and none before somebody says so.
    Failed { last: RunId, cause: Arc<ExitReport> },
}

/// What follows when the last user has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterDrain {
    Rest,
    Restart,
}

/// What follows when the process that is being ended has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterStop {
    Rest,
    Restart,
    /// It is ended because of `why`, after so many failures without a quiet while between them.
    Recover {
        failures: u32,
        why: ExitClass,
    },
}

impl From<AfterDrain> for AfterStop {
    fn from(then: AfterDrain) -> Self {
        match then {
            AfterDrain::Rest => AfterStop::Rest,
            AfterDrain::Restart => AfterStop::Restart,
        }
    }
}

impl Phase {
    /// The life whose news still means something here.
    pub(crate) fn live_run(&self) -> Option<RunId> {
        match self {
            Phase::Starting { run, .. }
            | Phase::Ready { run, .. }
            | Phase::Draining { run, .. }
            | Phase::Terminating { run, .. }
            | Phase::Killing { run, .. }
            | Phase::Unkillable { run, .. }
            | Phase::Backoff { run, .. } => Some(*run),
            Phase::Stopped { .. } | Phase::Failed { .. } => None,
        }
    }

    /// The newest life, whether it lasts or not.
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

    /// The one timer of this phase: which, and when it is due.
    pub(crate) fn timer(&self) -> Option<(RunId, Timer, Instant)> {
        match self {
            Phase::Starting { run, stall_at, .. } => Some((*run, Timer::Stall, *stall_at)),
            Phase::Draining { run, deadline, .. } => Some((*run, Timer::Drain, *deadline)),
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
            Phase::Draining { .. } => "draining",
            Phase::Terminating { .. } => "terminating",
            Phase::Killing { .. } => "killing",
            Phase::Unkillable { .. } => "unkillable",
            Phase::Backoff { .. } => "backoff",
            Phase::Failed { .. } => "failed",
        }
    }
}
