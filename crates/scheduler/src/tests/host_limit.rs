//! The limit of the host's memory for all models together.

use super::*;

#[test]
fn the_host_limit_counts_what_a_loading_model_holds_already() {
    let rules = Rules { host_limit: Some(10 * GIB), ..auxot_placement::Config::default().rules(false) };
    let mut scheduler = Scheduler::new(Limits::default(), rules, vec![profile("a", 6), profile("b", 6)]);
    scheduler.measured(Capacity { devices: vec![], host: Some(64 * GIB), ..Capacity::default() });
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    assert_eq!(scheduler.job_arrived(2, 1, seconds(1)).0, Decision::Wait, "6 + 6 > 10");
    scheduler.set_measured(0, vec![("host".into(), 5 * GIB)]);
    assert_eq!(scheduler.tick(seconds(2)), [], "still 6 + 6 > 10");
}

#[test]
fn the_host_limit_counts_what_a_loaded_model_holds() {
    let rules = Rules { host_limit: Some(10 * GIB), ..auxot_placement::Config::default().rules(false) };
    let mut scheduler = Scheduler::new(Limits::default(), rules, vec![profile("a", 6), profile("b", 6)]);
    scheduler.measured(Capacity { devices: vec![], host: Some(64 * GIB), ..Capacity::default() });
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    scheduler.engine_ready(0, RUN, 1, seconds(2));
    scheduler.set_measured(0, vec![("host".into(), 6 * GIB)]);
    scheduler.memory_shown(0);
    assert_eq!(scheduler.job_arrived(2, 1, seconds(3)), (Decision::Wait, vec![]), "6 + 6 > 10");
}

#[test]
fn a_model_too_large_for_the_host_limit_is_so_beside_one_that_needs_more_while_it_works() {
    let rules = Rules { host_limit: Some(10 * GIB), ..auxot_placement::Config::default().rules(false) };
    let working = |name, gib, compute: u64| {
        let mut profile = profile(name, gib);
        let requirements = MemoryRequirements { compute: compute * GIB, ..(*profile.requirements).clone() };
        profile.requirements = Arc::new(requirements);
        profile
    };
    let too_large = Profile { shrinks: true, ..working("b", 11, 0) };
    for shown in [false, true] {
        let models = vec![working("a", 6, 3), too_large.clone()];
        let mut scheduler = Scheduler::new(Limits::default(), rules, models);
        scheduler.measured(Capacity { devices: vec![], host: Some(64 * GIB), ..Capacity::default() });
        assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
        scheduler.engine_ready(0, RUN, 1, seconds(2));
        scheduler.set_measured(0, vec![("host".into(), 6 * GIB)]);
        if shown {
            scheduler.memory_shown(0);
        }
        let (decision, actions) = scheduler.job_arrived(2, 1, seconds(3));
        assert_eq!(decision, Decision::Wait);
        assert!(matches!(actions[..], [Action::TooLarge { model: 1, .. }]), "11 > 10, shown: {shown}: {actions:?}");
    }
}
