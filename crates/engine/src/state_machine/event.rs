//! What can happen to an engine, and everything that a decision can have done.

use std::sync::Arc;
use std::time::Instant;

use super::{Ready, RunId};
use crate::exit_reason::{ExitClass, ExitReport};

/// Something that happened. Commands come from handles; every other event belongs to one run.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Command: the model is wanted.
    Start,
    /// Command: the process must end, TERM first.
    Stop,
    /// Command: the process must end now.
    Kill,
    /// Command of an operator: try again.
    Reset,
    /// The loading process did something, or only wrote output; `fraction` is known where the engine reports it.
    Progress { run: RunId, fraction: Option<f32>, output_only: bool },
    /// The loading process will never serve the worker.
    LoadRefused { run: RunId, why: ExitClass },
    /// The process serves.
    ProbePassed { run: RunId, ready: Arc<Ready> },
    /// The process has stopped responding.
    LivenessLost { run: RunId },
    /// The process was reaped, or could not be started.
    Exited { run: RunId, report: Arc<ExitReport> },
    /// A deadline has passed.
    TimerFired { run: RunId, timer: Timer },
}

/// The deadlines; a phase has at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A loading process was silent for too long.
    Stall,
    /// TERM had no effect. It can be lost, so it is sent again.
    Again,
    /// The second TERM had no effect either.
    Kill,
    /// KILL had no effect.
    GiveUp,
    /// The wait before the next run is over.
    Backoff,
}

/// Something to be done by the driver.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Start a process; `after` is the failure that this start follows.
    Spawn { run: RunId, after: Option<Arc<ExitReport>> },
    /// Send a signal to the whole process group.
    SignalGroup { run: RunId, signal: Signal },
    /// Arm the one timer for `at`, in place of what was armed.
    ArmTimer { run: RunId, timer: Timer, at: Instant },
    /// Disarm the timer.
    DisarmTimer,
    /// Watch the process for this from now on.
    Probe(Probing),
    /// Publish the status.
    Publish,
    /// Record this as the last error.
    RecordFailure(Arc<ExitReport>),
    /// Count an event of an earlier run.
    CountStale,
}

/// What a process is watched for, beside its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probing {
    /// Nothing.
    Off,
    /// Progress of the load, and its end.
    Readiness,
    /// Whether it still responds.
    Liveness,
}

/// The two signals that stop a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Terminate,
    Kill,
}

impl Signal {
    /// The word for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Kill => "SIGKILL",
        }
    }
}

impl Event {
    /// The run that this event belongs to; `None` for commands.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self {
            Event::Start | Event::Stop | Event::Kill | Event::Reset => None,
            Event::Progress { run, .. }
            | Event::LoadRefused { run, .. }
            | Event::ProbePassed { run, .. }
            | Event::LivenessLost { run }
            | Event::Exited { run, .. }
            | Event::TimerFired { run, .. } => Some(*run),
        }
    }

    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Event::Start => "start",
            Event::Stop => "stop",
            Event::Kill => "kill",
            Event::Reset => "reset",
            Event::Progress { .. } => "progress",
            Event::LoadRefused { .. } => "load_refused",
            Event::ProbePassed { .. } => "probe_passed",
            Event::LivenessLost { .. } => "liveness_lost",
            Event::Exited { .. } => "exited",
            Event::TimerFired { timer, .. } => match timer {
                Timer::Stall => "stall_deadline",
                Timer::Again => "again_deadline",
                Timer::Kill => "kill_deadline",
                Timer::GiveUp => "give_up",
                Timer::Backoff => "backoff_elapsed",
            },
        }
    }
}
