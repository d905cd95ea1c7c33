//! Loads that do not end, and processes that the worker could not spawn.

use super::*;

#[test]
fn output_alone_keeps_a_load_alive_for_a_bounded_time() {
    let (start, policy) = (Instant::now(), policy());
    let mut phase = step(Phase::Stopped { last: RunId(0) }, Event::Start, start, &policy).0;
    let run = phase.run();
    let (mut now, mut written) = (start, Duration::ZERO);
    loop {
        now += policy.load_stall / 2;
        phase = step(phase, Event::TimerFired { run, timer: Timer::Stall }, now, &policy).0;
        if phase.name() == "terminating" {
            break;
        }
        phase = step(phase, Event::Progress { run, fraction: None, output_only: true }, now, &policy).0;
        written = now - start;
        assert!(written <= policy.output_only_limit(), "output does not extend it for ever");
    }
    assert!(written >= policy.load_stall * 2, "output extends it for a while: {written:?}");
    // Progress in between restarts the time.
    let working = step(Phase::Stopped { last: RunId(0) }, Event::Start, start, &policy).0;
    let progressed = start + policy.load_stall / 2;
    let working = step(working, Event::Progress { run, fraction: None, output_only: false }, progressed, &policy).0;
    let Phase::Starting { output_until, .. } = working else { panic!("{working:?}") };
    assert_eq!(output_until, progressed + policy.output_only_limit());
}

#[test]
fn a_process_that_refuses_to_serve_is_stopped_for_that_reason() {
    let (now, policy) = (Instant::now(), policy());
    let phase = Phase::Starting { run: RUN, failures: 0, stall_at: now, output_until: now, progress: None };
    let (phase, _) = step(phase, Event::LoadRefused { run: RUN, why: ExitClass::KeyWanted }, now, &policy);
    let (phase, _) = step(phase, Event::Exited { run: RUN, report: report(ExitClass::Signal) }, now, &policy);
    let Phase::Failed { cause, .. } = phase else { panic!("{phase:?}") };
    assert_eq!(cause.class, ExitClass::KeyWanted);
}

#[test]
fn a_lack_of_our_own_resources_never_fails_and_costs_no_budget() {
    let (mut now, policy) = (Instant::now(), policy());
    let mut phase = step(Phase::Stopped { last: RunId(0) }, Event::Start, now, &policy).0;
    let mut ends = |phase: Phase, class| {
        let run = phase.run();
        let mut phase = step(phase, Event::Exited { run, report: report(class) }, now, &policy).0;
        if let Phase::Backoff { until, .. } = phase {
            assert!(until - now <= policy.backoff.pause(u32::MAX));
            now = until;
            phase = step(phase, Event::TimerFired { run, timer: Timer::Backoff }, now, &policy).0;
        }
        phase
    };
    for _ in 0..4 * policy.budget {
        phase = ends(phase, ExitClass::SpawnTrouble);
        assert!(matches!(phase, Phase::Starting { failures: 0, .. }), "{phase:?}");
    }
    for _ in 0..policy.budget {
        phase = ends(phase, ExitClass::Signal);
        assert_eq!(phase.name(), "starting", "the whole budget is left for failures of the engine");
    }
    assert_eq!(ends(phase, ExitClass::Signal).name(), "failed");
}

#[test]
fn an_unkillable_process_that_exits_later_has_failed_as_unkillable() {
    let (now, policy) = (Instant::now(), policy());
    let cause = report(ExitClass::Unkillable);
    let phase = Phase::Unkillable { run: RUN, cause };
    let (phase, _) = step(phase, Event::Exited { run: RUN, report: report(ExitClass::Signal) }, now, &policy);
    let Phase::Failed { cause, .. } = phase else { panic!("{phase:?}") };
    assert_eq!(cause.class, ExitClass::Unkillable);
}

#[test]
fn progress_without_a_fraction_keeps_the_last_fraction() {
    let (now, policy) = (Instant::now(), policy());
    let mut phase = step(Phase::Stopped { last: RunId(0) }, Event::Start, now, &policy).0;
    let run = phase.run();
    for fraction in [Some(0.5), None] {
        phase = step(phase, Event::Progress { run, fraction, output_only: true }, now, &policy).0;
    }
    assert!(matches!(phase, Phase::Starting { progress: Some(0.5), .. }), "{phase:?}");
}

#[test]
fn a_process_that_stops_responding_late_has_no_earlier_failures() {
    let (start, policy) = (Instant::now(), policy());
    let lost = |after: Duration| {
        let phase = Phase::Ready { run: RUN, failures: 2, since: start, ready: ready(RUN) };
        step(phase, Event::LivenessLost { run: RUN }, start + after, &policy).0
    };
    let failures = |phase| match phase {
        Phase::Terminating { then: AfterStop::Recover { failures, .. }, .. } => failures,
        other => panic!("{other:?}"),
    };
    assert_eq!(failures(lost(policy.reset_after - S)), 2);
    assert_eq!(failures(lost(policy.reset_after)), 0);
}
