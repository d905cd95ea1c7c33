//! The life of one llama-server as a pure machine: a phase and an event give the next phase and what to do.
//!
//! ```text
//!             Start              ProbePassed
//!  Stopped ───────────────▶ Starting ───────────────▶ Ready
//!     ▲                      │   │ StallDeadline        │  │ LivenessLost ─▶ Terminating{then: Recover}
//!     │ Stop                 │   └▶ Terminating         │  │ Stop
//!     │                      │ Exited    {then:Recover} │  ▼
//!  Backoff{attempt,until} ◀──┴──────────────────────────┘ Draining{deadline, then: Rest|Restart}
//!     │  BackoffElapsed ─▶ Starting           Exited        │ Idle, or DrainDeadline
//!     │                                                     ▼
//!  Failed{cause} ◀─ Exited ─ Unkillable ◀─ GiveUp ─ Killing ◀─ KillDeadline ─ Terminating{again, kill_at, then}
//!                                                      │ Exited              ⟲ AgainDeadline │ Exited
//!                                                      └────────▶ after_exit(then) ◀─────────────┘
//!  after_exit: Rest → Stopped · Restart → Starting
//!          Recover → Starting at once after the first failure, else Backoff; Failed when the budget is spent
//!                    or the cause is one that no retry mends. Out of memory while Starting → Failed: this size is too
//!                    large, and the owner may come with a smaller one.
//!  Stop in Starting → Terminating{Rest}; in Backoff, Failed → Stopped; while stopping, rewrites then := Rest.
//!  Kill is a Stop that goes to Killing from every phase with a process.
//!  Start while stopping rewrites Rest := Restart; in Backoff, Failed, Unkillable it is denied.
//!  Reset (operator): Backoff → Starting · Failed → Stopped.
//! ```
//!
//! Nothing here reads a clock, does I/O or knows the runtime: `now` is an argument and every request to the outside is an
//! [`Effect`]. News from a child or a timer carries the [`RunId`] of the life it belongs to, so news of an earlier
//! life can never move the present one. A phase has at most one timer, and leaving the phase replaces or disarms it.

mod event;
mod phase;
mod policy;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use event::{Effect, Event, Probing, Signal, Timer};
pub(crate) use phase::{AfterDrain, AfterStop, Phase};
pub(crate) use policy::Policy;
pub use run::{Ready, RunId};

use crate::exit_reason::{Blame, ExitClass, ExitReport, Recovery};

/// What a step leaves behind: the phase to be in and what to do, in this order.
pub(crate) type Step = (Phase, Vec<Effect>);

/// Decides what one event means for one phase.
pub(crate) fn step(phase: Phase, event: Event, now: Instant, policy: &Policy) -> Step {
    if event.run().is_some_and(|run| phase.live_run() != Some(run)) {
        return (phase, vec![Effect::CountStale]);
    }
    match event {
        Event::Start => start(phase, now, policy),
        Event::Stop { drain } => stop(phase, drain, now, policy),
        Event::Kill => kill(phase, now, policy),
        Event::Reset => reset(phase, now, policy),
        Event::Progress { fraction, output_only, .. } => progress(phase, fraction, output_only, now, policy),
        Event::LoadRefused { why, .. } => load_refused(phase, why, now, policy),
        Event::ProbePassed { ready, .. } => probe_passed(phase, ready, now),
        Event::LivenessLost { .. } => liveness_lost(phase, now, policy),
        Event::Idle { .. } => idle(phase, now, policy),
        Event::Exited { report, .. } => exited(phase, report, now, policy),
        Event::TimerFired { timer, .. } => timer_fired(phase, timer, now, policy),
    }
}

/// Somebody wants the model to be served.
fn start(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Stopped { last } => begin_run(last.next(), 0, None, now, policy),
        Phase::Draining { run, deadline, then: AfterDrain::Rest } => {
            (Phase::Draining { run, deadline, then: AfterDrain::Restart }, vec![])
        }
        Phase::Terminating { run, again, kill_at, then: AfterStop::Rest } => {
            (Phase::Terminating { run, again, kill_at, then: AfterStop::Restart }, vec![])
        }
        Phase::Killing { run, give_up_at, then: AfterStop::Rest } => {
            (Phase::Killing { run, give_up_at, then: AfterStop::Restart }, vec![])
        }
        // Already so, or already on the way.
        same @ (Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Draining { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }) => (same, vec![]),
        // Denied: `ready` tells the caller until when, or why.
        same @ (Phase::Backoff { .. } | Phase::Failed { .. } | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// Somebody wants the model gone, after `drain` at most.
fn stop(phase: Phase, drain: Duration, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, .. } => terminate(run, AfterStop::Rest, now, policy),
        // Nothing to wait for: waiting would only publish a phase that is left again at once.
        Phase::Ready { run, .. } if drain.is_zero() => terminate(run, AfterStop::Rest, now, policy),
        Phase::Ready { run, .. } => drain_until(run, now + drain, vec![Effect::Probe(Probing::Off), Effect::Publish]),
        // A second stop may shorten the wait, never lengthen it.
        Phase::Draining { run, deadline, .. } => drain_until(run, deadline.min(now + drain), vec![]),
        Phase::Terminating { run, again, kill_at, .. } => {
            (Phase::Terminating { run, again, kill_at, then: AfterStop::Rest }, vec![Effect::AnswerWaiters])
        }
        Phase::Killing { run, give_up_at, .. } => {
            (Phase::Killing { run, give_up_at, then: AfterStop::Rest }, vec![Effect::AnswerWaiters])
        }
        Phase::Backoff { run, .. } | Phase::Failed { last: run, .. } => to_stopped(run),
        same @ (Phase::Stopped { .. } | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// Somebody wants the process gone now: a second signal to the worker, or an operator out of patience.
fn kill(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, .. }
        | Phase::Ready { run, .. }
        | Phase::Draining { run, .. }
        | Phase::Terminating { run, .. } => {
            let (phase, mut effects) = kill_group(run, AfterStop::Rest, now, policy);
            effects.insert(0, Effect::Probe(Probing::Off));
            (phase, effects)
        }
        // KILL is sent once: what it does not end, a second one does not end either.
        Phase::Killing { run, give_up_at, .. } => {
            (Phase::Killing { run, give_up_at, then: AfterStop::Rest }, vec![Effect::AnswerWaiters])
        }
        Phase::Backoff { run, .. } | Phase::Failed { last: run, .. } => to_stopped(run),
        same @ (Phase::Stopped { .. } | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// An operator says that what stood in the way is mended.
fn reset(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Backoff { run, cause, .. } => begin_run(run.next(), 0, Some(cause), now, policy),
        Phase::Failed { last, .. } => to_stopped(last),
        same @ (Phase::Stopped { .. }
        | Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Draining { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }
        | Phase::Unkillable { .. }) => (same, vec![]),
    }
}

/// The loading child gave a sign of work, or wrote something.
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

/// The child is there and will not serve us.
fn load_refused(phase: Phase, why: ExitClass, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Starting { run, failures, .. } => terminate(run, AfterStop::Recover { failures, why }, now, policy),
        same => (same, vec![]),
    }
}

/// The child answers and has its model loaded.
fn probe_passed(phase: Phase, ready: Arc<Ready>, now: Instant) -> Step {
    match phase {
        Phase::Starting { run, failures, .. } => (
            Phase::Ready { run, failures, since: now, ready },
            // Publish first: who was waiting should find the published word to agree with the answer.
            vec![Effect::DisarmTimer, Effect::Publish, Effect::AnswerWaiters, Effect::Probe(Probing::Liveness)],
        ),
        same => (same, vec![]),
    }
}

/// The child has been silent for longer than a living one can be.
fn liveness_lost(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Ready { run, failures, since, .. } => {
            let failures = policy.healed(failures, since, now);
            terminate(run, AfterStop::Recover { failures, why: ExitClass::Unresponsive }, now, policy)
        }
        same => (same, vec![]),
    }
}

/// Nobody uses the child any more.
fn idle(phase: Phase, now: Instant, policy: &Policy) -> Step {
    match phase {
        Phase::Draining { run, then, .. } => terminate(run, then.into(), now, policy),
        same => (same, vec![]),
    }
}

/// The child is gone and reaped.
fn exited(phase: Phase, report: Arc<ExitReport>, now: Instant, policy: &Policy) -> Step {
    match phase {
        // The same size would not fit either; whoever decides about sizes decides what comes next.
        Phase::Starting { run, .. } if report.class.is_memory() => to_failed(run, report),
        Phase::Starting { run, failures, .. } => retry_or_fail(run, failures, report, now, policy),
        Phase::Ready { run, failures, since, .. } => {
            retry_or_fail(run, policy.healed(failures, since, now), report, now, policy)
        }
        Phase::Draining { run, then, .. } => after_exit(run, then.into(), report, now, policy),
        Phase::Terminating { run, then, .. } | Phase::Killing { run, then, .. } => {
            after_exit(run, then, report, now, policy)
        }
        Phase::Unkillable { run, cause } => to_failed(run, cause),
        // No process: the driver reports each exit once, so this cannot come; were it to, it changes nothing.
        same @ (Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. }) => (same, vec![]),
    }
}

/// A deadline of the present life has come. One that was moved meanwhile is armed again.
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
        (Timer::Drain, Phase::Draining { run, then, .. }) => terminate(run, then.into(), now, policy),
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
            let effects =
                vec![Effect::DisarmTimer, Effect::Blame(Arc::clone(&cause)), Effect::Publish, Effect::AnswerWaiters];
            (Phase::Unkillable { run, cause }, effects)
        }
        (Timer::Backoff, Phase::Backoff { run, attempt, cause, .. }) => {
            begin_run(run.next(), attempt, Some(cause), now, policy)
        }
        (_, same) => (same, vec![]),
    }
}

/// Begins a life.
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

/// Waits for the last user before ending the child.
fn drain_until(run: RunId, deadline: Instant, mut effects: Vec<Effect>) -> Step {
    effects.push(Effect::ArmTimer { run, timer: Timer::Drain, at: deadline });
    effects.push(Effect::AnswerWaiters);
    (Phase::Draining { run, deadline, then: AfterDrain::Rest }, effects)
}

/// First rung of the ladder: TERM to the group. A second TERM follows where the first may have been lost; a child that
/// has already proved deaf gets only the shorter wait before KILL.
fn terminate(run: RunId, then: AfterStop, now: Instant, policy: &Policy) -> Step {
    let (again, kill_at) = match then {
        AfterStop::Recover { .. } => (None, now + policy.again_grace),
        AfterStop::Rest | AfterStop::Restart => {
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
        Effect::AnswerWaiters,
    ];
    (Phase::Terminating { run, again, kill_at, then }, effects)
}

/// Last rung: KILL to the group.
fn kill_group(run: RunId, then: AfterStop, now: Instant, policy: &Policy) -> Step {
    let give_up_at = now + policy.kill_grace;
    let effects = vec![
        Effect::SignalGroup { run, signal: Signal::Kill },
        Effect::ArmTimer { run, timer: Timer::GiveUp, at: give_up_at },
        Effect::Publish,
        Effect::AnswerWaiters,
    ];
    (Phase::Killing { run, give_up_at, then }, effects)
}

/// The child that was being ended has ended: what was to follow, follows.
fn after_exit(run: RunId, then: AfterStop, report: Arc<ExitReport>, now: Instant, policy: &Policy) -> Step {
    match then {
        AfterStop::Rest => to_stopped(run),
        AfterStop::Restart => begin_run(run.next(), 0, None, now, policy),
        // It died of our signal; the reason why we sent it is the cause.
        AfterStop::Recover { failures, why } => {
            retry_or_fail(run, failures, Arc::new(report.because(why)), now, policy)
        }
    }
}

/// An end that nobody asked for: try again now, later, or not at all.
fn retry_or_fail(run: RunId, failures: u32, cause: Arc<ExitReport>, now: Instant, policy: &Policy) -> Step {
    let (attempt, delay) = match cause.class.recovery() {
        Recovery::Fail => return to_failed(run, cause),
        // The request is what failed, and it is not run a third time.
        Recovery::Retry if cause.blame == Blame::Request => (failures, policy.delay(failures, run)),
        Recovery::Retry if cause.blame == Blame::RequestTwice => {
            let left = failures.saturating_sub(1);
            (left, policy.delay(left, run))
        }
        Recovery::Retry if failures >= policy.budget => return to_failed(run, cause),
        // No engine has ended, so nothing is taken from its budget.
        Recovery::RetryUnlimited => (failures, policy.longest_delay(run)),
        Recovery::Retry => (failures.saturating_add(1), policy.delay(failures.saturating_add(1), run)),
    };
    let blame = Effect::Blame(Arc::clone(&cause));
    if delay.is_zero() {
        // Waiters keep waiting: the next life begins in this very step.
        let (phase, mut effects) = begin_run(run.next(), attempt, Some(cause), now, policy);
        effects.insert(0, blame);
        return (phase, effects);
    }
    let until = now + delay;
    let effects = vec![
        blame,
        Effect::Probe(Probing::Off),
        Effect::ArmTimer { run, timer: Timer::Backoff, at: until },
        Effect::Publish,
        Effect::AnswerWaiters,
    ];
    (Phase::Backoff { run, attempt, until, cause }, effects)
}

fn to_failed(run: RunId, cause: Arc<ExitReport>) -> Step {
    let effects = vec![
        Effect::Probe(Probing::Off),
        Effect::DisarmTimer,
        Effect::Blame(Arc::clone(&cause)),
        Effect::Publish,
        Effect::AnswerWaiters,
    ];
    (Phase::Failed { last: run, cause }, effects)
}

fn to_stopped(run: RunId) -> Step {
    let effects = vec![Effect::Probe(Probing::Off), Effect::DisarmTimer, Effect::Publish, Effect::AnswerWaiters];
    (Phase::Stopped { last: run }, effects)
}
