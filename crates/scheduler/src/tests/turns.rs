//! Rare orders of events, and what must come of them.

use super::*;

fn gpu(bytes: u64) -> Vec<(String, u64)> {
    vec![("GPU-0".into(), bytes)]
}

#[test]
fn memory_of_a_load_that_crashed_and_is_begun_again_is_not_promised_to_another() {
    let mut admission = admission(10, vec![profile("a", 6), profile("b", 6)]);
    admission.arrive(1, 0, seconds(0));
    admission.measured(capacity(5));
    admission.holds(0, gpu(5 * GIB));
    // It crashes before it was ready, and its supervisor restarts it.
    assert_eq!(admission.lost(0, false, seconds(5)), []);
    admission.measured(capacity(10));
    assert_eq!(admission.arrive(2, 1, seconds(6)).0, Decision::Wait, "a will need 6.5 of these 10");
}

#[test]
fn the_host_limit_counts_what_a_loading_model_holds_already() {
    let rules = Rules { host_limit: Some(10 * GIB), ..auxot_placement::Config::default().rules(false) };
    let mut admission = Admission::new(Limits::default(), rules, vec![profile("a", 6), profile("b", 6)]);
    admission.measured(Capacity { devices: vec![], host: Some(64 * GIB), ..Capacity::default() });
    assert!(start(&mut admission, 1, 0, 0).0.is_empty());
    assert_eq!(admission.arrive(2, 1, seconds(1)).0, Decision::Wait, "6 + 6 > 10");
    admission.holds(0, vec![("host".into(), 5 * GIB)]);
    assert_eq!(admission.tick(seconds(2)), [], "still 6 + 6 > 10");
}

/// One that takes 6.5 of 10 and is idle, four that do not fit beside it, one that does.
fn crowd() -> Admission {
    let mut models: Vec<Profile> = (0..5).map(|_| profile("large", 6)).collect();
    models.push(profile("small", 2));
    let mut admission = admission(10, models);
    load(&mut admission, 0, 0, 3);
    for large in 1..5 {
        admission.want(large, Wanted::IfRoom(seconds(10)), seconds(10));
    }
    admission
}

#[test]
fn four_that_have_no_room_do_not_keep_a_fifth_out_that_has() {
    let mut admission = crowd();
    let effects = admission.want(5, Wanted::IfRoom(seconds(11)), seconds(11));
    assert!(matches!(effects[..], [Effect::Load { model: 5, .. }]), "{effects:?}");
}

#[test]
fn a_job_s_model_whose_load_failed_once_is_not_behind_wanted_models_that_have_no_room() {
    let mut admission = crowd();
    assert!(start(&mut admission, 1, 5, 20).0.is_empty());
    let effects = admission.again(5, seconds(21));
    assert!(matches!(effects[..], [Effect::Load { model: 5, .. }]), "there is room for it: {effects:?}");
}

#[test]
fn the_backoff_of_a_failed_load_ends() {
    let mut admission = admission(6, vec![profile("a", 4), profile("b", 4)]);
    load(&mut admission, 0, 0, 1);
    assert_eq!(start(&mut admission, 1, 1, 100).0, [0]);
    assert_eq!(admission.arrive(2, 0, seconds(101)).0, Decision::Wait);
    admission.measured(capacity(6));
    assert!(matches!(admission.gone(0, seconds(102))[..], [Effect::Load { model: 1, .. }]));
    // Another process holds the memory at that moment.
    let effects = admission.again(1, seconds(105));
    assert!(matches!(effects[..], [Effect::Load { model: 0, .. }]), "{effects:?}");
    admission.measured(capacity(1));
    admission.ready(0, RUN, 1, seconds(106));
    admission.shown(0);
    admission.left(0, RUN, seconds(107));
    admission.revive(1, seconds(108));
    // A day later: a has been idle since, and a job arrives for b.
    let (_, mut effects) = admission.arrive(3, 1, seconds(90_000));
    for second in 90_001..90_601 {
        effects.extend(admission.tick(seconds(second)));
    }
    assert!(effects.contains(&Effect::Stop { model: 0 }), "{effects:?}");
}

#[test]
fn where_memory_cannot_be_read_an_idle_model_goes_for_another() {
    let mut admission = Admission::new(Limits::default(), Rules::default(), vec![profile("a", 4), profile("b", 4)]);
    let mut unread = capacity(5);
    unread.devices[0].free = None;
    admission.measured(unread);
    admission.arrive(1, 0, seconds(0));
    assert!(matches!(admission.tick(seconds(15))[..], [Effect::Load { model: 0, .. }]));
    admission.ready(0, RUN, 1, seconds(16));
    admission.shown(0);
    admission.left(0, RUN, seconds(17));
    admission.arrive(2, 1, seconds(1000));
    let mut effects = Vec::new();
    for second in 1001..1601 {
        effects.extend(admission.tick(seconds(second)));
    }
    assert!(effects.contains(&Effect::Stop { model: 0 }), "{effects:?}");
}

#[test]
fn where_memory_cannot_be_read_an_engine_sees_the_devices_of_its_model_and_no_other() {
    let shown = |names: Option<&[&str]>, cards: usize| {
        let devices = names.map(|names| names.iter().map(ToString::to_string).collect());
        let profile = Profile { devices, ..profile("a", 4) };
        let rules = auxot_placement::Config::default().rules(cards > 0);
        let mut admission = Admission::new(Limits::default(), rules, vec![profile]);
        let card = |index| DeviceCapacity { index, ..DeviceCapacity::new(format!("GPU-{index}"), Kind::Nvidia, None) };
        admission.measured(Capacity { devices: (0..cards).map(card).collect(), host: None, ..Capacity::default() });
        if let (Decision::Refuse(reason), _) = admission.arrive(1, 0, seconds(0)) {
            return Err(reason.to_string());
        }
        admission.tick(seconds(15));
        let shown = place(&admission, 0).shown;
        Ok(shown.map(|shown| shown.into_iter().map(|shown| shown.device).collect::<Vec<_>>()))
    };
    let devices = |names: &[&str]| Ok(Some(names.iter().map(ToString::to_string).collect()));
    assert_eq!(shown(None, 2), devices(&["GPU-0", "GPU-1"]), "all that may be used");
    assert_eq!(shown(Some(&["1"]), 2), devices(&["GPU-1"]));
    assert_eq!(shown(Some(&["host"]), 2), devices(&[]));
    assert_eq!(shown(None, 0), Ok(None), "the devices that the engine will find are unknown");
    let nowhere = "cannot place it: none of the devices that it may use is present";
    assert_eq!(shown(Some(&["7"]), 2), Err(nowhere.to_owned()));
}

#[test]
fn a_model_that_is_wanted_while_it_goes_for_another_is_wanted_afterwards_too() {
    let mut admission = admission(6, vec![profile("a", 4), profile("b", 4)]);
    load(&mut admission, 0, 0, 1);
    admission.arrive(1, 0, seconds(100));
    admission.arrive(2, 1, seconds(101));
    assert!(matches!(admission.tick(seconds(116))[..], [Effect::Drain { model: 0, .. }]));
    admission.want(0, Wanted::Since(seconds(117)), seconds(117));
    assert_eq!(admission.left(0, RUN, seconds(118)), [Effect::Stop { model: 0 }]);
    admission.measured(capacity(6));
    admission.gone(0, seconds(119));
    assert!(admission.is_wanted(0), "the router's policy names it");
}

#[test]
fn could_hold_agrees_with_the_planner() {
    let known = Remembered::new(|_| Some(vec![6 * GIB]));
    let profile = || Profile { remembered: Some(known.clone()), shrinks: true, ..profile("a", 4) };
    let mut admission = admission(5, vec![profile()]);
    let (_, mut effects) = admission.arrive(1, 0, seconds(0));
    for _ in 0..100 {
        let [Effect::TooLarge { .. }] = effects[..] else { return };
        let requirements = MemoryRequirements::clone(&profile().requirements);
        // As fleet's `shrink` does under its lock.
        if !admission.could_hold(0, requirements) {
            return;
        }
        admission.set(0, profile());
        effects = admission.tick(seconds(0));
    }
    panic!("it never ends");
}

#[test]
fn a_model_of_the_list_is_loaded_as_soon_as_there_is_room() {
    let mut admission = admission(1, vec![profile("a", 4)]);
    admission.want(0, Wanted::IfRoom(seconds(0)), seconds(0));
    for second in 1..60 {
        admission.tick(seconds(second));
    }
    // What the other process held is free.
    admission.measured(capacity(10));
    let effects = admission.tick(seconds(60));
    assert!(matches!(effects[..], [Effect::Load { model: 0, .. }]), "{effects:?}");
}

/// As in many containers: the driver reports what is free, and not what a process holds.
#[test]
fn the_place_of_a_loading_model_becomes_free_also_where_it_is_unknown_what_it_holds() {
    let mut admission = admission(6, vec![profile("a", 4), profile("b", 4)]);
    assert!(start(&mut admission, 1, 0, 0).0.is_empty());
    admission.measured(capacity(1));
    assert_eq!(admission.arrive(2, 1, seconds(1)), (Decision::Wait, vec![]), "a loads, and will go");
    assert_eq!(admission.ready(0, RUN, 1, seconds(2)), [Effect::Admit { ticket: 1, model: 0 }]);
    assert_eq!(admission.arrive(3, 1, seconds(3)), (Decision::Wait, vec![]), "no reading yet");
    admission.shown(0);
    assert_eq!(admission.left(0, RUN, seconds(4)), []);
    assert_eq!(admission.tick(seconds(22)), [Effect::Stop { model: 0 }]);
}

#[test]
fn a_model_that_can_be_shrunk_is_not_while_it_is_unknown_what_another_holds() {
    let small = Profile { shrinks: true, ..profile("b", 4) };
    let mut admission = admission(6, vec![profile("a", 4), small]);
    assert!(start(&mut admission, 1, 0, 0).0.is_empty());
    admission.measured(capacity(1));
    assert_eq!(admission.arrive(2, 1, seconds(1)), (Decision::Wait, vec![]));
    assert!(admission.could_hold(1, MemoryRequirements::clone(&profile("b", 4).requirements)));
}

#[test]
fn beside_a_pinned_model_that_loads_there_may_be_more_room_than_is_promised() {
    let pinned = Profile { pin: true, ..profile("a", 4) };
    let mut admission = admission(10, vec![pinned, profile("b", 4), profile("c", 8)]);
    assert!(start(&mut admission, 1, 0, 0).0.is_empty());
    admission.measured(capacity(5));
    assert_eq!(admission.arrive(2, 1, seconds(1)), (Decision::Wait, vec![]), "what a takes may be measured already");
    assert!(matches!(admission.arrive(3, 2, seconds(1)).0, Decision::Refuse(_)), "5 is all that there can be");
    admission.ready(0, RUN, 1, seconds(2));
    admission.shown(0);
    let effects = admission.tick(seconds(3));
    assert!(matches!(effects[..], [Effect::Load { model: 1, .. }]), "{effects:?}");
}

#[test]
fn a_model_larger_than_its_device_is_refused_whatever_loads_there() {
    let mut admission = admission(10, vec![profile("a", 6), profile("b", 12)]);
    let mut known = capacity(10);
    known.devices[0].total = Some(11 * GIB);
    admission.measured(known);
    assert!(start(&mut admission, 1, 0, 0).0.is_empty());
    let refused = admission.arrive(2, 1, seconds(1)).0;
    assert!(matches!(refused, Decision::Refuse(Reason::DoesNotFit(_))), "10 and the 6 of a are not 16: {refused:?}");
}

#[test]
fn the_own_place_of_a_model_does_not_count_as_room_for_another_size_of_it() {
    let mut admission = admission(6, vec![profile("a", 4)]);
    assert!(start(&mut admission, 1, 0, 0).0.is_empty());
    admission.lost(0, false, seconds(1));
    admission.measured(capacity(6));
    let fits = |gib| admission.could_hold(0, MemoryRequirements::clone(&profile("a", gib).requirements));
    assert!(fits(5) && !fits(6), "its engine is gone, and its memory among what is free");
}

#[test]
fn a_model_whose_engine_backs_off_keeps_its_place_and_is_loading_again_once_it_is_restarted() {
    let mut admission = admission(10, vec![profile("a", 6), profile("b", 6)]);
    load(&mut admission, 0, 0, 3);
    assert_eq!(admission.lost(0, true, seconds(50)), []);
    admission.measured(capacity(10));
    assert_eq!(admission.state(0).name(), "backoff");
    assert_eq!(admission.arrive(1, 1, seconds(51)).0, Decision::Wait, "the place of a is promised");
    assert_eq!(admission.arrive(2, 0, seconds(51)).0, Decision::Wait);
    admission.restarted(0, seconds(52));
    assert!(matches!(admission.state(0), ModelState::Loading { since, .. } if *since == seconds(52)));
    assert_eq!(admission.ready(0, RUN + 1, 1, seconds(54)), [Effect::Admit { ticket: 2, model: 0 }]);
}

#[test]
fn a_model_whose_engine_backs_off_is_unloaded_at_once() {
    let mut admission = admission(10, vec![profile("a", 6)]);
    load(&mut admission, 0, 0, 3);
    admission.lost(0, true, seconds(50));
    assert_eq!(admission.unload(0, seconds(80), seconds(50)), [Effect::Stop { model: 0 }]);
    assert_eq!(admission.state(0).name(), "unloading");
    admission.gone(0, seconds(51));
    assert_eq!(admission.state(0), &ModelState::OnDisk);
}

#[test]
fn a_model_waits_for_room_exactly_while_it_is_wanted() {
    let mut admission = crowd();
    assert_eq!(admission.state(1), &ModelState::WaitingForRoom(Obstacle::NoRoom), "no other model is unloaded for it");
    admission.want(1, Wanted::No, seconds(11));
    assert_eq!(admission.state(1), &ModelState::OnDisk);
    admission.arrive(1, 1, seconds(11));
    assert_eq!(admission.state(1), &ModelState::WaitingForRoom(Obstacle::Queue));
    admission.cancelled(1, seconds(12));
    assert_eq!(admission.state(1), &ModelState::OnDisk);
}
