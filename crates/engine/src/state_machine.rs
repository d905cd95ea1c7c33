//! The states of one engine as a pure state machine: a phase and an event give the next phase and the effects.
//!
//! ```text
//!              Start                ProbePassed
//!   Stopped ──────────▶ Starting ──────────────▶ Ready
//!                          │                       │
//!                          │ Stop, LoadRefused,    │ Stop, LivenessLost
//!                          │ stall deadline        │
//!                          ▼                       ▼
//!                     Terminating{again, kill_at, then} ◀─┐ second TERM
//!                          │           └──────────────────┘
//!                          │ kill deadline; Kill from every phase with a process
//!                          ▼
//!                       Killing{give_up_at, then} ──give-up deadline──▶ Unkillable ──Exited──▶ Failed
//!
//!   Exited in Terminating and Killing, by `then`:
//!     Stopped → Stopped
//!     Recover → as an unexpected exit, with the reason for which the engine was stopped
//!   Exited in Starting and Ready, which is unexpected:
//!     a cause that no retry cures, or the budget is spent → Failed
//!     out of memory in Starting → Failed: this size is too large, and the owner may try a smaller one
//!     the first failure → Starting, as the next run
//!     else → Backoff{attempt, until} ──deadline, or Reset──▶ Starting, as the next run
//!
//!   Stop in Backoff and Failed → Stopped; while stopping, it sets `then` to Stopped.
//!   Start does something in Stopped only. Reset in Failed → Stopped.
//! ```
//!
//! This module reads no clock, does no I/O and knows no runtime: `now` is an argument, and everything to be done is an
//! [`Effect`]. An event of a process or a timer carries the [`RunId`] of its run, so an event of an earlier run cannot
//! change the present one. A phase has at most one timer; leaving the phase replaces or disarms it.

mod event;
mod phase;
mod policy;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

pub(crate) use event::{Effect, Event, Probing, Signal, Timer};
pub(crate) use phase::{AfterStop, Phase};
pub(crate) use policy::Policy;
pub use run::{Ready, RunId};

use crate::exit_reason::{Blame, ExitClass, ExitReport, Recovery};

/// The result of a step: the next phase, and the effects in the order in which they are applied.
pub(crate) type Step = (Phase, Vec<Effect>);

/// Decides what one event means in one phase.
pub(crate) fn step(phase: Phase, event: Event, now: Instant, policy: &Policy) -> Step {
    if event.run().is_some_and(|run| phase.live_run() != Some(run)) {
        return (phase, vec![Effect::CountStale]);
    }
    match event {
        Event::Start => start(phase, now, policy),
        Event::Stop => stop(phase, now, policy),
        Event::Kill => kill(phase, now, policy),
        Event::Reset => reset(phase, now, policy),
        Event::Progress { fraction, output_only, .. } => progress(phase, fraction, output_only, now, policy),
        Event::LoadRefused { why, .. } => load_refused(phase, why, now, policy),
        Event::ProbePassed { ready, .. } => probe_passed(phase, ready, now),
        Event::LivenessLost { .. } => liveness_lost(phase, now, policy),
        Event::Exited { report, .. } => exited(phase, report, now, policy),
        Event::TimerFired { timer, .. } => timer_fired(phase, timer, now, policy),
    }
}

/// The model is wanted.
fn start(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Stopped { last } => begin_run(last.next(), 0, None, now, policy),
        // It runs already, is being stopped, or has failed; the status says which.
        same => (same, vec![]),
    }
}

/// The model is not wanted any more.
fn stop(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, .. } | Phase::Ready { run, .. } => terminate(run, AfterStop::Stopped, now, policy),
        Phase::Terminating { run, again, kill_at, .. } => {
            (Phase::Terminating { run, again, kill_at, then: AfterStop::Stopped }, vec![])
        }
        Phase::Killing { run, give_up_at, .. } => {
            (Phase::Killing { run, give_up_at, then: AfterStop::Stopped }, vec![])
        }
        Phase::Backoff { run, .. } | Phase::Failed { last: run, .. } => to_stopped(run),
        same @ (Phase::Stopped { .. } | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// The process must end now: the worker got a second signal.
fn kill(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, .. } | Phase::Ready { run, .. } | Phase::Terminating { run, .. } => {
            let (phase, mut effects) = kill_group(run, AfterStop::Stopped, now, policy);
            effects.insert(0, Effect::Probe(Probing::Off));
            (phase, effects)
        }
        // KILL is sent once: a second one ends nothing that the first did not.
        Phase::Killing { run, give_up_at, .. } => {
            (Phase::Killing { run, give_up_at, then: AfterStop::Stopped }, vec![])
        }
        Phase::Backoff { run, .. } | Phase::Failed { last: run, .. } => to_stopped(run),
        same @ (Phase::Stopped { .. } | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// An operator has removed the cause of the failures.
fn reset(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Backoff { run, cause, .. } => begin_run(run.next(), 0, Some(cause), now, policy),
        Phase::Failed { last, .. } => to_stopped(last),
        same @ (Phase::Stopped { .. }
        | Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }
        | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// The loading process made progress, or wrote output.
fn progress(phase: Phase, fraction: Option<f32>, output_only: bool, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, failures, stall_at: _, output_until, progress } => {
            let output_until = if output_only { output_until } else { now + policy.output_only_limit() };
            let stall_at = (now + policy.load_stall).min(output_until);
            let mut effects = vec![Effect::ArmTimer { run, timer: Timer::Stall, at: stall_at }];
            if fraction.is_some() && fraction != progress {
                effects.push(Effect::Publish);
            }
            (Phase::Starting { run, failures, stall_at, output_until, progress: fraction.or(progress) }, effects)
        }
        same => (same, vec![]),
    }
}

/// The process runs and will never serve the worker.
fn load_refused(phase: Phase, why: ExitClass, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, failures, .. } => terminate(run, AfterStop::Recover { failures, why }, now, policy),
        same => (same, vec![]),
    }
}

/// The process answers and has loaded its model.
fn probe_passed(phase: Phase, ready: Arc<Ready>, now: Instant) -> Step {
    match phase {
        Phase::Starting { run, failures, .. } => (
            Phase::Ready { run, failures, since: now, ready },
            vec![Effect::DisarmTimer, Effect::Publish, Effect::Probe(Probing::Liveness)],
        ),
        same => (same, vec![]),
    }
}

/// The process was silent for longer than a healthy one can be.
fn liveness_lost(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Ready { run, failures, since, .. } => {
            let failures = policy.failures_after(failures, since, now);
            terminate(run, AfterStop::Recover { failures, why: ExitClass::Unresponsive }, now, policy)
        }
        same => (same, vec![]),
    }
}

/// The process has exited and is reaped.
fn exited(phase: Phase, report: Arc<ExitReport>, now: Instant, policy: &Policy) -> Step {
    match phase {
        // The same size would not fit either; the owner decides about sizes.
        Phase::Starting { run, .. } if report.class.is_memory() => to_failed(run, report),
        Phase::Starting { run, failures, .. } => retry_or_fail(run, failures, report, now, policy),
        Phase::Ready { run, failures, since, .. } => {
            retry_or_fail(run, policy.failures_after(failures, since, now), report, now, policy)
        }
        Phase::Terminating { run, then, .. } | Phase::Killing { run, then, .. } => match then {
            AfterStop::Stopped => to_stopped(run),
            // The process died of our signal; the cause is the reason for which the signal was sent.
            AfterStop::Recover { failures, why } => {
                retry_or_fail(run, failures, Arc::new(report.because(why)), now, policy)
            }
        },
        Phase::Unkillable { run, cause } => to_failed(run, cause),
        // There is no process. The driver reports each exit once, so this does not happen; if it did, nothing changes.
        same @ (Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. }) => (same, vec![]),
    }
}

/// A deadline of the present run has passed. A deadline that was moved meanwhile is armed again.
fn timer_fired(phase: Phase, timer: Timer, now: Instant, policy: &Policy) -> Step {
    if let Some((run, own, at)) = phase.timer()
        && own == timer
        && now < at
    {
        return (phase, vec![Effect::ArmTimer { run, timer, at }]);
    }
    match (timer, phase) {
        (Timer::Stall, Phase::Starting { run, failures, .. }) => {
            terminate(run, AfterStop::Recover { failures, why: ExitClass::Stalled }, now, policy)
        }
        (Timer::Again, Phase::Terminating { run, again: Some(_), kill_at, then }) => (
            Phase::Terminating { run, again: None, kill_at, then },
            vec![
                Effect::SignalGroup { run, signal: Signal::Terminate },
                Effect::ArmTimer { run, timer: Timer::Kill, at: kill_at },
            ],
        ),
        (Timer::Kill, Phase::Terminating { run, again: None, then, .. }) => kill_group(run, then, now, policy),
        (Timer::GiveUp, Phase::Killing { run, .. }) => {
            let cause = Arc::new(ExitReport::unkillable());
            let effects = vec![Effect::DisarmTimer, Effect::RecordFailure(Arc::clone(&cause)), Effect::Publish];
            (Phase::Unkillable { run, cause }, effects)
        }
        (Timer::Backoff, Phase::Backoff { run, attempt, cause, .. }) => {
            begin_run(run.next(), attempt, Some(cause), now, policy)
        }
        (_, same) => (same, vec![]),
    }
}

/// Begins a run: spawns a process and watches its load.
fn begin_run(run: RunId, failures: u32, after: Option<Arc<ExitReport>>, now: Instant, policy: &Policy) -> Step {
    let (stall_at, output_until) = (now + policy.load_stall, now + policy.output_only_limit());
    (
        Phase::Starting { run, failures, stall_at, output_until, progress: None },
        vec![
            Effect::Spawn { run, after },
            Effect::Probe(Probing::Readiness),
            Effect::ArmTimer { run, timer: Timer::Stall, at: stall_at },
            Effect::Publish,
        ],
    )
}

/// Sends TERM to the group. A second TERM follows where the first may have been lost; a process that has already stopped
/// responding gets only the shorter wait before KILL.
fn terminate(run: RunId, then: AfterStop, now: Instant, policy: &Policy) -> Step {
    let (again, kill_at) = match then {
        AfterStop::Recover { .. } => (None, now + policy.again_grace),
        AfterStop::Stopped => {
            let again = now + policy.term_grace;
            (Some(again), again + policy.again_grace)
        }
    };
    let (timer, at) = again.map_or((Timer::Kill, kill_at), |at| (Timer::Again, at));
    let effects = vec![
        Effect::Probe(Probing::Off),
        Effect::SignalGroup { run, signal: Signal::Terminate },
        Effect::ArmTimer { run, timer, at },
        Effect::Publish,
    ];
    (Phase::Terminating { run, again, kill_at, then }, effects)
}

/// Sends KILL to the group.
fn kill_group(run: RunId, then: AfterStop, now: Instant, policy: &Policy) -> Step {
    let give_up_at = now + policy.kill_grace;
    let effects = vec![
        Effect::SignalGroup { run, signal: Signal::Kill },
        Effect::ArmTimer { run, timer: Timer::GiveUp, at: give_up_at },
        Effect::Publish,
    ];
    (Phase::Killing { run, give_up_at, then }, effects)
}

/// Decides what follows an unexpected exit: another run now, another run later, or none.
fn retry_or_fail(run: RunId, failures: u32, cause: Arc<ExitReport>, now: Instant, policy: &Policy) -> Step {
    let (attempt, delay) = match cause.class.recovery() {
        Recovery::Fail => return to_failed(run, cause),
        // The request has failed, and it is not run a third time.
        Recovery::Retry if cause.blame == Blame::Request => (failures, policy.delay(failures, run)),
        Recovery::Retry if cause.blame == Blame::RequestTwice => {
            let left = failures.saturating_sub(1);
            (left, policy.delay(left, run))
        }
        Recovery::Retry if failures >= policy.budget => return to_failed(run, cause),
        // No engine has failed, so nothing is taken from its budget.
        Recovery::RetryUnlimited => (failures, policy.longest_delay(run)),
        Recovery::Retry => (failures.saturating_add(1), policy.delay(failures.saturating_add(1), run)),
    };
    let failure = Effect::RecordFailure(Arc::clone(&cause));
    if delay.is_zero() {
        let (phase, mut effects) = begin_run(run.next(), attempt, Some(cause), now, policy);
        effects.insert(0, failure);
        return (phase, effects);
    }
    let until = now + delay;
    let effects = vec![
        failure,
        Effect::Probe(Probing::Off),
        Effect::ArmTimer { run, timer: Timer::Backoff, at: until },
        Effect::Publish,
    ];
    (Phase::Backoff { run, attempt, until, cause }, effects)
}

fn to_failed(run: RunId, cause: Arc<ExitReport>) -> Step {
    let effects = vec![
        Effect::Probe(Probing::Off),
        Effect::DisarmTimer,
        Effect::RecordFailure(Arc::clone(&cause)),
        Effect::Publish,
    ];
    (Phase::Failed { last: run, cause }, effects)
}

fn to_stopped(run: RunId) -> Step {
    (Phase::Stopped { last: run }, vec![Effect::Probe(Probing::Off), Effect::DisarmTimer, Effect::Publish])
}
