//! Every phase meets every event, and the named rules hold; `random` tries other orders of events.

mod loads;
mod random;

use std::time::Duration;

use super::*;
use auxot_backoff::Backoff;
use auxot_llama::{Endpoint, Props};

const S: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy {
        load_stall: 60 * S,
        term_grace: 10 * S,
        again_grace: 3 * S,
        kill_grace: 5 * S,
        budget: 3,
        reset_after: 60 * S,
        backoff: Backoff::new(S, 8 * S),
        seed: 7,
    }
}

fn report(class: ExitClass) -> Arc<ExitReport> {
    Arc::new(ExitReport { class, code: Some(1), signal: None, reason: None, lines: vec![], blame: Blame::Engine })
}

fn ready(run: RunId) -> Arc<Ready> {
    Arc::new(Ready {
        run,
        pid: 1,
        endpoint: Endpoint::Unix("/s".into()),
        props: Props { total_slots: 1, n_ctx: 1, vision: false },
        load_time: S,
    })
}

const RUN: RunId = RunId(4);

/// One of each phase, with each `then` where there is one.
fn every_phase(now: Instant) -> Vec<Phase> {
    let recover = AfterStop::Recover { failures: 0, why: ExitClass::Stalled };
    let mut all = vec![
        Phase::Stopped { last: RUN },
        Phase::Starting { run: RUN, failures: 0, stall_at: now, output_until: now, progress: None },
        Phase::Ready { run: RUN, failures: 0, since: now, ready: ready(RUN) },
        Phase::Unkillable { run: RUN, cause: report(ExitClass::Unkillable) },
        Phase::Backoff { run: RUN, attempt: 2, until: now, cause: report(ExitClass::Signal) },
        Phase::Failed { last: RUN, cause: report(ExitClass::BadFile) },
    ];
    for then in [AfterStop::Stopped, recover] {
        all.push(Phase::Terminating { run: RUN, again: Some(now), kill_at: now, then: then.clone() });
        all.push(Phase::Terminating { run: RUN, again: None, kill_at: now, then: then.clone() });
        all.push(Phase::Killing { run: RUN, give_up_at: now, then });
    }
    all
}

const TIMERS: [Timer; 5] = [Timer::Stall, Timer::Again, Timer::Kill, Timer::GiveUp, Timer::Backoff];

/// One of each event, all of the given run.
fn every_event(run: RunId) -> Vec<Event> {
    let mut all = vec![
        Event::Start,
        Event::Stop,
        Event::Kill,
        Event::Reset,
        Event::Progress { run, fraction: Some(0.5), output_only: false },
        Event::Progress { run, fraction: None, output_only: true },
        Event::LoadRefused { run, why: ExitClass::KeyWanted },
        Event::ProbePassed { run, ready: ready(run) },
        Event::LivenessLost { run },
    ];
    let ends = [ExitClass::Signal, ExitClass::BadFile, ExitClass::UnexpectedExit];
    all.extend(ends.map(|class| Event::Exited { run, report: report(class) }));
    all.extend(TIMERS.map(|timer| Event::TimerFired { run, timer }));
    all
}

/// What a process is watched for in a phase.
fn probing(phase: &Phase) -> Probing {
    match phase {
        Phase::Starting { .. } => Probing::Readiness,
        Phase::Ready { .. } => Probing::Liveness,
        _ => Probing::Off,
    }
}

/// What must hold after every step.
fn check(before: &Phase, event: &Event, after: &Phase, effects: &[Effect]) {
    let context = format!("{} --{}--> {}", before.name(), event.name(), after.name());
    let spawned = effects.iter().filter(|effect| matches!(effect, Effect::Spawn { .. })).count();
    let armed = effects.iter().rev().find_map(|effect| match effect {
        Effect::ArmTimer { run, timer, at } => Some(Some((*run, *timer, *at))),
        Effect::DisarmTimer => Some(None),
        _ => None,
    });
    // A process is spawned exactly where a new run begins, and only where none is left.
    let gone = !before.has_process() || matches!(event, Event::Exited { .. });
    assert_eq!(spawned == 1, after.run() > before.run(), "{context}");
    assert!(spawned == 0 || (gone && matches!(after, Phase::Starting { .. })), "{context}");
    assert!(spawned <= 1 && after.run() >= before.run(), "{context}");
    // No process is forgotten: it exists until its exit is reported.
    assert!(!before.has_process() || after.has_process() || matches!(event, Event::Exited { .. }), "{context}");
    // The armed timer is that of the phase. An event that changes nothing may leave the old one.
    match armed {
        Some(armed) => assert_eq!(armed, after.timer(), "{context}"),
        None => assert!(after.timer() == before.timer() || after.timer().is_none(), "{context}"),
    }
    // Entering a phase without a timer disarms the old one.
    let moved = before.name() != after.name();
    if moved && after.timer().is_none() && before.timer().is_some() {
        assert_eq!(armed, Some(None), "{context}");
    }
    if moved {
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Publish)), "{context}");
    }
    // What the process is watched for is that of the phase.
    let mut probes = effects.iter().filter_map(|effect| match effect {
        Effect::Probe(probing) => Some(*probing),
        _ => None,
    });
    if probing(before) != probing(after) || spawned > 0 {
        assert_eq!(probes.next_back(), Some(probing(after)), "{context}");
    }
    // Signals go only to a run that continues.
    for effect in effects {
        if let Effect::SignalGroup { run, .. } = effect {
            assert!(after.has_process() && *run == after.run() && *run == before.run(), "{context}");
        }
    }
}

#[test]
fn each_phase_and_event_lead_only_along_the_drawn_edges() {
    let (now, policy) = (Instant::now(), policy());
    let mut edges = std::collections::BTreeSet::new();
    for phase in every_phase(now) {
        for event in every_event(RUN) {
            let (after, effects) = step(phase.clone(), event.clone(), now, &policy);
            check(&phase, &event, &after, &effects);
            if after.name() != phase.name() {
                edges.insert((phase.name(), after.name()));
            }
        }
    }
    let drawn = [
        ("stopped", "starting"),
        ("starting", "ready"),
        ("starting", "terminating"),
        ("starting", "killing"),
        ("starting", "failed"),
        ("ready", "starting"),
        ("ready", "terminating"),
        ("ready", "killing"),
        ("ready", "failed"),
        ("terminating", "killing"),
        ("terminating", "starting"),
        ("terminating", "stopped"),
        ("killing", "starting"),
        ("killing", "stopped"),
        ("killing", "unkillable"),
        ("unkillable", "failed"),
        ("backoff", "starting"),
        ("backoff", "stopped"),
        ("failed", "stopped"),
    ];
    assert_eq!(edges, drawn.into_iter().collect());
}

#[test]
fn every_phase_with_a_process_handles_its_exit_and_every_timer_changes_its_phase() {
    let (now, policy) = (Instant::now(), policy());
    for phase in every_phase(now) {
        if phase.has_process() {
            let event = Event::Exited { run: RUN, report: report(ExitClass::Signal) };
            let (after, _) = step(phase.clone(), event, now, &policy);
            assert!(!after.has_process() || after.run() > RUN, "{}", phase.name());
        }
        if let Some((run, timer, at)) = phase.timer() {
            let (after, _) = step(phase.clone(), Event::TimerFired { run, timer }, at, &policy);
            assert_ne!(after.timer(), phase.timer(), "{}", phase.name());
        }
    }
}

#[test]
fn an_event_of_another_run_changes_nothing_and_is_counted() {
    let (now, policy) = (Instant::now(), policy());
    for phase in every_phase(now) {
        for event in every_event(RunId(3)).into_iter().filter(|event| event.run().is_some()) {
            let (after, effects) = step(phase.clone(), event.clone(), now, &policy);
            assert_eq!((after.name(), after.run()), (phase.name(), phase.run()));
            assert!(matches!(effects.as_slice(), [Effect::CountStale]), "{} {}", phase.name(), event.name());
        }
    }
}

/// Goes on with timers and exits alone, as with a process that reacts to KILL only, or not even to that.
fn run_timers(mut phase: Phase, mut now: Instant, policy: &Policy, dies_of_kill: bool) -> Phase {
    for _ in 0..200 {
        let event = match (&phase, phase.timer()) {
            (Phase::Killing { run, .. }, _) if dies_of_kill => {
                Event::Exited { run: *run, report: report(ExitClass::Signal) }
            }
            (_, Some((run, timer, at))) => {
                now = now.max(at);
                Event::TimerFired { run, timer }
            }
            (_, None) => return phase,
        };
        let (after, effects) = step(phase.clone(), event.clone(), now, policy);
        check(&phase, &event, &after, &effects);
        phase = after;
    }
    panic!("no final phase was reached: {phase:?}");
}

#[test]
fn without_events_from_outside_only_stopped_ready_and_failed_last() {
    let (now, policy) = (Instant::now(), policy());
    for phase in every_phase(now) {
        let last = run_timers(phase.clone(), now, &policy, true);
        let expected = match phase {
            // Only an exit ends it.
            Phase::Unkillable { .. } => "unkillable",
            Phase::Ready { .. } => "ready",
            _ => last.name(),
        };
        assert!(["stopped", "ready", "failed", "unkillable"].contains(&last.name()), "{phase:?} → {last:?}");
        assert_eq!(last.name(), expected);
        assert_ne!(last.name() == "unkillable", !matches!(phase, Phase::Unkillable { .. }));
    }
}

#[test]
fn a_stop_ends_within_the_computed_worst_case() {
    let (start, policy) = (Instant::now(), policy());
    let mut phase = Phase::Ready { run: RUN, failures: 0, since: start, ready: ready(RUN) };
    let mut now = start;
    let mut signals = vec![];
    let mut event = Event::Stop;
    loop {
        let (after, effects) = step(phase, event, now, &policy);
        signals.extend(effects.iter().filter_map(|effect| match effect {
            Effect::SignalGroup { signal, .. } => Some((*signal, now - start)),
            _ => None,
        }));
        phase = after;
        match phase.timer() {
            Some((run, timer, at)) => (now, event) = (at, Event::TimerFired { run, timer }),
            None => break,
        }
    }
    assert_eq!(signals, [(Signal::Terminate, Duration::ZERO), (Signal::Terminate, 10 * S), (Signal::Kill, 13 * S)]);
    assert_eq!(phase.name(), "unkillable");
    assert_eq!(now - start, policy.term_grace + policy.again_grace + policy.kill_grace);
}

#[test]
fn the_first_restart_is_immediate_then_delays_grow_then_it_fails() {
    let policy = policy();
    let mut now = Instant::now();
    let (mut phase, _) = step(Phase::Stopped { last: RunId(0) }, Event::Start, now, &policy);
    let mut seen = vec![];
    while phase.name() != "failed" {
        let run = phase.run();
        (phase, _) = step(phase, Event::Exited { run, report: report(ExitClass::Signal) }, now, &policy);
        seen.push(phase.name());
        if let Phase::Backoff { run, until, .. } = phase {
            now = until;
            (phase, _) = step(phase, Event::TimerFired { run, timer: Timer::Backoff }, now, &policy);
        }
    }
    assert_eq!(seen, ["starting", "backoff", "backoff", "failed"]);
}

#[test]
fn an_exit_by_a_suspect_request_costs_no_budget_and_returns_what_its_first_one_cost() {
    let (policy, now) = (policy(), Instant::now());
    let ends = |blame, failures| {
        let report = Arc::new(ExitReport { blame, ..(*report(ExitClass::Assertion)).clone() });
        let served = Phase::Ready { run: RUN, failures, since: now, ready: ready(RUN) };
        match step(served, Event::Exited { run: RUN, report }, now, &policy).0 {
            Phase::Starting { failures: left, .. } | Phase::Backoff { attempt: left, .. } => left,
            other => panic!("{other:?}"),
        }
    };
    for failures in [0, 1, policy.budget] {
        assert_eq!(ends(Blame::Request, failures), failures);
        assert_eq!(ends(Blame::RequestTwice, failures), failures.saturating_sub(1));
    }
    assert_eq!(ends(Blame::Engine, 1), 2);
}

#[test]
fn delays_stay_under_their_ceiling_and_differ_between_engines() {
    let policy = policy();
    assert_eq!(policy.delay(1, RUN), Duration::ZERO);
    for attempt in 2..40 {
        let ceiling = (S * 2u32.saturating_pow(attempt - 2)).min(8 * S);
        let delay = policy.delay(attempt, RunId(u64::from(attempt)));
        assert!(delay >= ceiling / 2 && delay <= ceiling, "{attempt}: {delay:?}");
    }
    let other = Policy { seed: 8, ..policy.clone() };
    assert_ne!(policy.delay(6, RUN), other.delay(6, RUN));
}

#[test]
fn time_without_a_failure_restores_the_budget() {
    let (start, policy) = (Instant::now(), policy());
    let crash = |after: Duration| {
        let phase = Phase::Ready { run: RUN, failures: 3, since: start, ready: ready(RUN) };
        step(phase, Event::Exited { run: RUN, report: report(ExitClass::Signal) }, start + after, &policy).0
    };
    assert_eq!(crash(59 * S).name(), "failed");
    assert!(matches!(crash(60 * S), Phase::Starting { failures: 1, .. }));
}

#[test]
fn a_cause_that_no_retry_cures_fails_at_once() {
    let (now, policy) = (Instant::now(), policy());
    for class in ExitClass::ALL {
        let phase = Phase::Starting { run: RUN, failures: 0, stall_at: now, output_until: now, progress: None };
        let (after, _) = step(phase, Event::Exited { run: RUN, report: report(class) }, now, &policy);
        let hopeless = class.recovery() == Recovery::Fail || class.is_memory();
        assert_eq!(after.name() == "failed", hopeless, "{class:?}");
        // A loaded engine has enough memory; that it ran out once can be temporary.
        let phase = Phase::Ready { run: RUN, failures: 0, since: now, ready: ready(RUN) };
        let (after, _) = step(phase, Event::Exited { run: RUN, report: report(class) }, now, &policy);
        assert_eq!(after.name() == "failed", class.recovery() == Recovery::Fail, "{class:?}");
    }
}

#[test]
fn the_cause_of_an_exit_by_our_signal_is_our_reason_and_not_the_signal() {
    let (now, policy) = (Instant::now(), policy());
    let phase = Phase::Starting { run: RUN, failures: 1, stall_at: now, output_until: now, progress: None };
    let (phase, _) = step(phase, Event::TimerFired { run: RUN, timer: Timer::Stall }, now, &policy);
    let (phase, _) = step(phase, Event::Exited { run: RUN, report: report(ExitClass::Signal) }, now, &policy);
    let Phase::Backoff { cause, attempt: 2, .. } = phase else { panic!("{phase:?}") };
    assert_eq!(cause.class, ExitClass::Stalled);
}

#[test]
fn progress_moves_the_stall_deadline_and_an_early_timer_is_armed_again() {
    let (start, policy) = (Instant::now(), policy());
    let phase =
        Phase::Starting { run: RUN, failures: 0, stall_at: start + S, output_until: start + 300 * S, progress: None };
    let (phase, _) = step(phase, Event::Progress { run: RUN, fraction: None, output_only: false }, start + S, &policy);
    let (phase, effects) = step(phase, Event::TimerFired { run: RUN, timer: Timer::Stall }, start + 2 * S, &policy);
    assert_eq!(phase.name(), "starting");
    assert!(matches!(effects.as_slice(), [Effect::ArmTimer { at, .. }] if *at == start + 61 * S));
}

#[test]
fn a_stop_and_a_kill_end_a_backoff_and_a_failure_and_a_reset_forgets_failures() {
    let (now, policy) = (Instant::now(), policy());
    let backoff = Phase::Backoff { run: RUN, attempt: 2, until: now, cause: report(ExitClass::Signal) };
    let failed = Phase::Failed { last: RUN, cause: report(ExitClass::BadFile) };
    for phase in [&backoff, &failed] {
        for event in [Event::Stop, Event::Kill] {
            assert_eq!(step(phase.clone(), event, now, &policy).0.name(), "stopped", "{phase:?}");
        }
    }
    assert!(matches!(step(backoff, Event::Reset, now, &policy).0, Phase::Starting { failures: 0, .. }));
    assert_eq!(step(failed, Event::Reset, now, &policy).0.name(), "stopped");
}

#[test]
fn a_stop_while_stopping_cancels_the_restart_and_a_start_changes_nothing() {
    let (now, policy) = (Instant::now(), policy());
    for phase in every_phase(now).into_iter().filter(|phase| ["terminating", "killing"].contains(&phase.name())) {
        let ends = |phase: &Phase| {
            let event = Event::Exited { run: RUN, report: report(ExitClass::Signal) };
            step(phase.clone(), event, now, &policy).0.name()
        };
        let (started, effects) = step(phase.clone(), Event::Start, now, &policy);
        assert!(effects.is_empty() && ends(&started) == ends(&phase), "{phase:?}");
        let (stopped, _) = step(started, Event::Stop, now, &policy);
        assert_eq!(ends(&stopped), "stopped", "{phase:?}");
    }
}
