//! Properties that hold under any traffic. The simulated host checks most of them after every step.

use std::time::Duration;

use auxot_scheduler::{Limits, Profile, Reason};
use proptest::prelude::*;

use crate::host::SimulatedHost;
use crate::scenario::{Behaviour, End, Job};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (30u64..600, 1usize..40, 0u64..60, 0u64..40, 0u64..60).prop_map(
        |(wait, max_waiting, min_loaded_time, preempt_after, drain)| Limits {
            max_wait: seconds(wait),
            max_waiting,
            min_loaded_time: seconds(min_loaded_time),
            preempt_after: seconds(preempt_after),
            drain: seconds(drain),
            ..Limits::default()
        },
    )
}

fn any_models() -> impl Strategy<Value = Vec<Behaviour>> {
    let ttl = prop::option::weighted(0.3, 1u64..300);
    let fails = prop::collection::vec(1u32..6, 0..3);
    let model = (500u64..26_000, 1u32..5, 0u64..40, 0u64..10, fails, prop::bool::weighted(0.1), -2i32..3, ttl);
    let model = model.prop_map(|(mib, slots, load, exit, fails, pin, priority, ttl)| {
        let plain = Behaviour::new("m", mib);
        let profile = Profile { pin, priority, ttl: ttl.map(seconds), ..plain.profile };
        Behaviour { profile, slots, load: seconds(load), exit: seconds(exit), fails }
    });
    prop::collection::vec(model, 1..8).prop_map(|mut models| {
        for (at, model) in models.iter_mut().enumerate() {
            model.profile.name = format!("m{at}");
        }
        models
    })
}

fn any_jobs() -> impl Strategy<Value = Vec<(u64, usize, u64, Option<u64>)>> {
    let preempt_after = prop::option::weighted(0.2, 0u64..200);
    prop::collection::vec((0u64..2000, 0usize..8, 0u64..120, preempt_after), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_guarantee_holds_under_any_traffic(
        limits in any_limits(),
        devices in prop::collection::vec(2_000u64..40_000, 1..4),
        models in any_models(),
        jobs in any_jobs(),
        silences in prop::collection::vec((0usize..3, 0u64..2000, 1u64..400), 0..4),
    ) {
        let count = models.len();
        let mut jobs: Vec<Job> = jobs
            .into_iter()
            .map(|(at, model, runs, preempt_after)| Job {
                at: seconds(at),
                model: model % count,
                runs: seconds(runs),
                preempt_after: preempt_after.map(seconds),
            })
            .collect();
        jobs.sort();
        let mut host = SimulatedHost::new(limits, &devices, models);
        for (device, from, long) in silences {
            host.silence(device % devices.len(), seconds(from), seconds(from + long));
        }
        host.run(&jobs);
        prop_assert_eq!(host.ends.len(), jobs.len(), "every job has one end");
    }

    /// Models of which one fits at a time, with jobs for all of them all the time that end within a bound: no job is
    /// refused, and none waits longer than one load of each other model takes.
    #[test]
    fn no_job_starves(
        count in 2usize..5,
        min_loaded_time in 0u64..40,
        preempt_after in 0u64..20,
        runs in 1u64..15,
        every in 1u64..8,
    ) {
        let limits = Limits {
            max_wait: seconds(100_000),
            max_waiting: 10_000,
            min_loaded_time: seconds(min_loaded_time),
            preempt_after: seconds(preempt_after),
            drain: seconds(20),
            ..Limits::default()
        };
        let models: Vec<Behaviour> = (0..count).map(|at| Behaviour { slots: 1000, ..Behaviour::new(&format!("m{at}"), 8_000) }).collect();
        let (load, exit) = (models[0].load, models[0].exit);
        let mut jobs: Vec<Job> = (0..count)
            .flat_map(|model| (0..1500 / every).map(move |n| Job { at: seconds(n * every), model, runs: seconds(runs), preempt_after: None }))
            .collect();
        jobs.sort();
        let mut host = SimulatedHost::new(limits, &[10_000], models);
        host.run(&jobs);
        let turn = limits.min_loaded_time + limits.preempt_after + limits.drain + exit + load;
        let bound = turn * count as u32 + turn;
        for (job, end) in host.ends.values() {
            let End::Ran { waited, .. } = end else { return Err(TestCaseError::fail(format!("{job:?} {end:?}"))) };
            prop_assert!(*waited <= bound, "{job:?} waited {waited:?}, more than {bound:?}");
        }
    }

    /// Two models that need the same memory all the time replace each other no more often than `min_loaded_time` allows.
    #[test]
    fn no_model_thrashes(min_loaded_time in 5u64..60, every in 1u64..10) {
        let limits = Limits { min_loaded_time: seconds(min_loaded_time), preempt_after: seconds(0), drain: seconds(0), max_waiting: 10_000, ..Limits::default() };
        let models = vec![Behaviour::new("a", 8_000), Behaviour::new("b", 8_000)];
        let cycle = min_loaded_time + models[0].load.as_secs() + models[0].exit.as_secs();
        let jobs: Vec<Job> = (0..1000 / every)
            .flat_map(|n| [0, 1].map(|model| Job { at: seconds(n * every), model, runs: seconds(0), preempt_after: None }))
            .collect();
        let mut host = SimulatedHost::new(limits, &[10_000], models);
        host.run(&jobs);
        let most = (1000 + 2 * cycle) / cycle + 2;
        prop_assert!(u64::from(host.loads) <= most, "{} loads, at most {most}", host.loads);
    }
}

#[test]
fn a_model_that_cannot_be_loaded_costs_the_others_nothing() {
    let broken = Behaviour { fails: (1..1000).collect(), ..Behaviour::new("broken", 8_000) };
    let mut host = SimulatedHost::new(Limits::default(), &[10_000], vec![Behaviour::new("good", 8_000), broken]);
    let job = |at, model| Job { at: seconds(at), model, runs: seconds(5), preempt_after: None };
    let jobs: Vec<Job> = (0..200).flat_map(|n| [job(n * 20, 0), job(n * 20 + 1, 1)]).collect();
    host.run(&jobs);
    let good = host.ends.values().filter(|(job, _)| job.model == 0);
    let waits: Vec<Duration> = good
        .map(|(_, end)| match end {
            End::Ran { waited, .. } => *waited,
            other => panic!("{other:?}"),
        })
        .collect();
    let late = waits.iter().filter(|waited| **waited > seconds(1)).count();
    assert!(late <= 5, "{late} jobs of the good model waited");
    let refused = |end: &End| matches!(end, End::Refused(Reason::WaitTimeout { .. }));
    assert!(host.ends.values().all(|(job, end)| job.model == 0 || refused(end)));
}
