//! Loads that do not come to an end, and starts that we could not make.

use super::*;

#[test]
fn output_alone_keeps_a_load_alive_for_a_bounded_time() {
    let (start, policy) = (Instant::now(), policy());
    let mut phase = step(Phase::Stopped { last: RunId(0) }, Event::Start, start, &policy).0;
    let run = phase.run();
    let (mut now, mut talked) = (start, Duration::ZERO);
    loop {
        now += policy.load_stall / 2;
        phase = step(phase, Event::TimerFired { run, timer: Timer::Stall }, now, &policy).0;
        if phase.name() == "terminating" {
            break;
        }
        phase = step(phase, Event::Progress { run, fraction: None, output_only: true }, now, &policy).0;
        talked = now - start;
        assert!(talked <= policy.output_only_limit(), "it is ended in the end");
    }
    assert!(talked >= policy.load_stall * 2, "output is a sign of life for a while: {talked:?}");
    // Work in between begins the time anew.
    let at_work = step(Phase::Stopped { last: RunId(0) }, Event::Start, start, &policy).0;
    let worked = start + policy.load_stall / 2;
    let at_work = step(at_work, Event::Progress { run, fraction: None, output_only: false }, worked, &policy).0;
    let Phase::Starting { output_until, .. } = at_work else { panic!("{at_work:?}") };
    assert_eq!(output_until, worked + policy.output_only_limit());
}

#[test]
fn a_child_that_will_not_serve_us_is_ended_for_that_reason() {
    let (now, policy) = (Instant::now(), policy());
    let phase = Phase::Starting { run: RUN, failures: 0, stall_at: now, output_until: now, progress: None };
    let (phase, _) = step(phase, Event::LoadRefused { run: RUN, why: ExitClass::KeyWanted }, now, &policy);
    let (phase, _) = step(phase, Event::Exited { run: RUN, report: report(ExitClass::Signal) }, now, &policy);
    let Phase::Failed { cause, .. } = phase else { panic!("{phase:?}") };
    assert_eq!(cause.class, ExitClass::KeyWanted);
}

#[test]
fn want_of_our_own_means_is_never_the_last_failure_and_takes_nothing_from_the_budget() {
    let (mut now, policy) = (Instant::now(), policy());
    let mut phase = step(Phase::Stopped { last: RunId(0) }, Event::Start, now, &policy).0;
    let mut ends = |phase: Phase, class| {
        let run = phase.run();
        let mut phase = step(phase, Event::Exited { run, report: report(class) }, now, &policy).0;
        if let Phase::Backoff { until, .. } = phase {
            assert!(until - now <= policy.backoff_max);
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
        assert_eq!(phase.name(), "starting", "the whole budget is left for real failures");
    }
    assert_eq!(ends(phase, ExitClass::Signal).name(), "failed");
}

#[test]
fn one_that_was_unkillable_and_ends_after_all_has_failed_for_that() {
    let (now, policy) = (Instant::now(), policy());
    let cause = report(ExitClass::Unkillable);
    let phase = Phase::Unkillable { run: RUN, cause };
    let (phase, _) = step(phase, Event::Exited { run: RUN, report: report(ExitClass::Signal) }, now, &policy);
    let Phase::Failed { cause, .. } = phase else { panic!("{phase:?}") };
    assert_eq!(cause.class, ExitClass::Unkillable);
}
