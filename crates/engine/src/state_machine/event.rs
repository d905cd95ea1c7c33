//! What can happen to an engine, and the whole list of things a decision may do to the world.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Ready, RunId};
use crate::exit_reason::{ExitClass, ExitReport};

/// Something that happened. Verbs come from handles; all else belongs to one life.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Verb: the model is wanted.
    Start,
    /// Verb: the model is to go, once its users have left or `drain` is over.
    Stop { drain: Duration },
    /// Verb: the process is to go now.
    Kill,
    /// Verb of an operator: try again.
    Reset,
    /// The loading child did something, or only said something; the fraction is known where the engine tells it.
    Progress { run: RunId, fraction: Option<f32>, output_only: bool },
    /// The loading child will never serve us.
    LoadRefused { run: RunId, why: ExitClass },
    /// The child serves.
    ProbePassed { run: RunId, ready: Arc<Ready> },
    /// The child has stopped answering.
    LivenessLost { run: RunId },
    /// Nobody holds a claim.
    Idle { run: RunId },
    /// The child was reaped, or could not be started at all.
    Exited { run: RunId, report: Arc<ExitReport> },
    /// A deadline has come.
    TimerFired { run: RunId, timer: Timer },
}

/// The deadlines; a phase has at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A loading child was silent for too long.
    Stall,
    /// The users had time enough.
    Drain,
    /// TERM had no effect: it can be lost, so it is sent again.
    Again,
    /// The second TERM had no effect either.
    Kill,
    /// KILL had no effect.
    GiveUp,
    /// The wait before the next try is over.
    Backoff,
}

/// A wish to the world.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Start a process; `after` is the failure that this start follows.
    Spawn { run: RunId, after: Option<Arc<ExitReport>> },
    /// Send a signal to the whole group of the child.
    SignalGroup { run: RunId, signal: Signal },
    /// Have the one timer fire at `at`; replaces what was armed.
    ArmTimer { run: RunId, timer: Timer, at: Instant },
    /// Forget the timer.
    DisarmTimer,
    /// Watch the child for this from now on.
    Probe(Probing),
    /// Tell the outer state.
    Publish,
    /// Remember this as the last error.
    Blame(Arc<ExitReport>),
    /// Answer everyone who waits, if the phase has an answer.
    AnswerWaiters,
    /// Count news of an earlier life.
    CountStale,
}

/// What is watched for, beside the exit, which always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probing {
    /// Nothing.
    Off,
    /// Progress of the load, and its end.
    Readiness,
    /// That it still answers.
    Liveness,
}

/// The two signals of the stop ladder.
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
    /// The life this news belongs to; `None` for verbs.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self {
            Event::Start | Event::Stop { .. } | Event::Kill | Event::Reset => None,
            Event::Progress { run, .. }
            | Event::LoadRefused { run, .. }
            | Event::ProbePassed { run, .. }
            | Event::LivenessLost { run }
            | Event::Idle { run }
            | Event::Exited { run, .. }
            | Event::TimerFired { run, .. } => Some(*run),
        }
    }

    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Event::Start => "start",
            Event::Stop { .. } => "stop",
            Event::Kill => "kill",
            Event::Reset => "reset",
            Event::Progress { .. } => "progress",
            Event::LoadRefused { .. } => "load_refused",
            Event::ProbePassed { .. } => "probe_passed",
            Event::LivenessLost { .. } => "liveness_lost",
            Event::Idle { .. } => "idle",
            Event::Exited { .. } => "exited",
            Event::TimerFired { timer, .. } => match timer {
                Timer::Stall => "stall_deadline",
                Timer::Drain => "drain_deadline",
                Timer::Again => "again_deadline",
                Timer::Kill => "kill_deadline",
                Timer::GiveUp => "give_up",
                Timer::Backoff => "backoff_elapsed",
            },
        }
    }
}
