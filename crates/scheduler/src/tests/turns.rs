//! Rare orders of events, and what must come of them.

use super::*;

fn gpu(bytes: u64) -> Vec<(String, u64)> {
    vec![("GPU-0".into(), bytes)]
}

#[test]
fn memory_of_a_load_that_crashed_and_is_begun_again_is_not_promised_to_another() {
    let mut scheduler = scheduler(10, vec![profile("a", 6), profile("b", 6)]);
    scheduler.job_arrived(1, 0, seconds(0));
    scheduler.measured(capacity(5));
    scheduler.set_measured(0, gpu(5 * GIB));
    // It crashes before it was ready, and its supervisor restarts it.
    assert_eq!(scheduler.engine_lost(0, false, seconds(5)), []);
    scheduler.measured(capacity(10));
    assert_eq!(scheduler.job_arrived(2, 1, seconds(6)).0, Decision::Wait, "a will need 6.5 of these 10");
}

/// One that takes 6.5 of 10 and is idle, four that do not fit beside it, one that does.
fn crowd() -> Scheduler {
    let mut models: Vec<Profile> = (0..5).map(|_| profile("large", 6)).collect();
    models.push(profile("small", 2));
    let mut scheduler = scheduler(10, models);
    load(&mut scheduler, 0, 0, 3);
    for large in 1..5 {
        scheduler.want(large, Wanted::IfRoom(seconds(10)), seconds(10));
    }
    scheduler
}

#[test]
fn four_that_have_no_room_do_not_keep_a_fifth_out_that_has() {
    let mut scheduler = crowd();
    let actions = scheduler.want(5, Wanted::IfRoom(seconds(11)), seconds(11));
    assert!(matches!(actions[..], [Action::Load { model: 5, .. }]), "{actions:?}");
}

#[test]
fn a_job_s_model_whose_load_failed_once_is_not_behind_wanted_models_that_have_no_room() {
    let mut scheduler = crowd();
    assert!(start(&mut scheduler, 1, 5, 20).0.is_empty());
    let actions = scheduler.load_failed(5, seconds(21));
    assert!(matches!(actions[..], [Action::Load { model: 5, .. }]), "there is room for it: {actions:?}");
}

#[test]
fn the_backoff_of_a_failed_load_ends() {
    let mut scheduler = scheduler(6, vec![profile("a", 4), profile("b", 4)]);
    load(&mut scheduler, 0, 0, 1);
    assert_eq!(start(&mut scheduler, 1, 1, 100).0, [0]);
    assert_eq!(scheduler.job_arrived(2, 0, seconds(101)).0, Decision::Wait);
    scheduler.measured(capacity(6));
    assert!(matches!(scheduler.memory_freed(0, seconds(102))[..], [Action::Load { model: 1, .. }]));
    // Another process holds the memory at that moment.
    let actions = scheduler.load_failed(1, seconds(105));
    assert!(matches!(actions[..], [Action::Load { model: 0, .. }]), "{actions:?}");
    scheduler.measured(capacity(1));
    scheduler.engine_ready(0, RUN, 1, seconds(106));
    scheduler.memory_shown(0);
    scheduler.job_ended(0, RUN, seconds(107));
    scheduler.reset(1, seconds(108));
    // A day later: a has been idle since, and a job arrives for b.
    let (_, mut actions) = scheduler.job_arrived(3, 1, seconds(90_000));
    for second in 90_001..90_601 {
        actions.extend(scheduler.tick(seconds(second)));
    }
    assert!(actions.contains(&Action::Stop { model: 0 }), "{actions:?}");
}

#[test]
fn where_memory_cannot_be_read_an_idle_model_goes_for_another() {
    let mut scheduler = Scheduler::new(Limits::default(), Rules::default(), vec![profile("a", 4), profile("b", 4)]);
    let mut unread = capacity(5);
    unread.devices[0].free = None;
    scheduler.measured(unread);
    scheduler.job_arrived(1, 0, seconds(0));
    assert!(matches!(scheduler.tick(seconds(15))[..], [Action::Load { model: 0, .. }]));
    scheduler.engine_ready(0, RUN, 1, seconds(16));
    scheduler.memory_shown(0);
    scheduler.job_ended(0, RUN, seconds(17));
    scheduler.job_arrived(2, 1, seconds(1000));
    let mut actions = Vec::new();
    for second in 1001..1601 {
        actions.extend(scheduler.tick(seconds(second)));
    }
    assert!(actions.contains(&Action::Stop { model: 0 }), "{actions:?}");
}

#[test]
fn where_memory_cannot_be_read_an_engine_sees_the_devices_of_its_model_and_no_other() {
    let shown = |names: Option<&[&str]>, cards: usize| {
        let devices = names.map(|names| names.iter().map(ToString::to_string).collect());
        let profile = Profile { devices, ..profile("a", 4) };
        let rules = auxot_placement::Config::default().rules(cards > 0);
        let mut scheduler = Scheduler::new(Limits::default(), rules, vec![profile]);
        let card = |index| DeviceCapacity { index, ..DeviceCapacity::new(format!("GPU-{index}"), Kind::Nvidia, None) };
        scheduler.measured(Capacity { devices: (0..cards).map(card).collect(), host: None, ..Capacity::default() });
        if let (Decision::Refuse(reason), _) = scheduler.job_arrived(1, 0, seconds(0)) {
            return Err(reason.to_string());
        }
        scheduler.tick(seconds(15));
        let shown = place(&scheduler, 0).shown;
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
    let mut scheduler = scheduler(6, vec![profile("a", 4), profile("b", 4)]);
    load(&mut scheduler, 0, 0, 1);
    scheduler.job_arrived(1, 0, seconds(100));
    scheduler.job_arrived(2, 1, seconds(101));
    assert!(matches!(scheduler.tick(seconds(116))[..], [Action::Drain { model: 0, .. }]));
    scheduler.want(0, Wanted::Since(seconds(117)), seconds(117));
    assert_eq!(scheduler.job_ended(0, RUN, seconds(118)), [Action::Stop { model: 0 }]);
    scheduler.measured(capacity(6));
    scheduler.memory_freed(0, seconds(119));
    assert!(scheduler.is_wanted(0), "the router's policy names it");
}

#[test]
fn could_hold_agrees_with_the_planner() {
    let known = Remembered::new(|_| Some(vec![6 * GIB]));
    let profile = || Profile { remembered: Some(known.clone()), shrinks: true, ..profile("a", 4) };
    let mut scheduler = scheduler(5, vec![profile()]);
    let (_, mut actions) = scheduler.job_arrived(1, 0, seconds(0));
    for _ in 0..100 {
        let [Action::TooLarge { .. }] = actions[..] else { return };
        let requirements = MemoryRequirements::clone(&profile().requirements);
        // As fleet's `shrink` does under its lock.
        if !scheduler.could_hold(0, requirements) {
            return;
        }
        scheduler.set(0, profile());
        actions = scheduler.tick(seconds(0));
    }
    panic!("it never ends");
}

#[test]
fn a_model_of_the_list_is_loaded_as_soon_as_there_is_room() {
    let mut scheduler = scheduler(1, vec![profile("a", 4)]);
    scheduler.want(0, Wanted::IfRoom(seconds(0)), seconds(0));
    for second in 1..60 {
        scheduler.tick(seconds(second));
    }
    // What the other process held is free.
    scheduler.measured(capacity(10));
    let actions = scheduler.tick(seconds(60));
    assert!(matches!(actions[..], [Action::Load { model: 0, .. }]), "{actions:?}");
}

/// As in many containers: the driver reports what is free, and not what a process holds.
#[test]
fn the_place_of_a_loading_model_becomes_free_also_where_it_is_unknown_what_it_holds() {
    let mut scheduler = scheduler(6, vec![profile("a", 4), profile("b", 4)]);
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    scheduler.measured(capacity(1));
    assert_eq!(scheduler.job_arrived(2, 1, seconds(1)), (Decision::Wait, vec![]), "a loads, and will go");
    assert_eq!(scheduler.engine_ready(0, RUN, 1, seconds(2)), [Action::Admit { ticket: 1, model: 0 }]);
    assert_eq!(scheduler.job_arrived(3, 1, seconds(3)), (Decision::Wait, vec![]), "no reading yet");
    scheduler.memory_shown(0);
    assert_eq!(scheduler.job_ended(0, RUN, seconds(4)), []);
    assert_eq!(scheduler.tick(seconds(22)), [Action::Stop { model: 0 }]);
}

#[test]
fn a_model_that_can_be_shrunk_is_not_while_it_is_unknown_what_another_holds() {
    let small = Profile { shrinks: true, ..profile("b", 4) };
    let mut scheduler = scheduler(6, vec![profile("a", 4), small]);
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    scheduler.measured(capacity(1));
    assert_eq!(scheduler.job_arrived(2, 1, seconds(1)), (Decision::Wait, vec![]));
    assert!(scheduler.could_hold(1, MemoryRequirements::clone(&profile("b", 4).requirements)));
}

#[test]
fn beside_a_pinned_model_that_loads_there_may_be_more_room_than_is_promised() {
    let pinned = Profile { pin: true, ..profile("a", 4) };
    let mut scheduler = scheduler(10, vec![pinned, profile("b", 4), profile("c", 8)]);
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    scheduler.measured(capacity(5));
    assert_eq!(
        scheduler.job_arrived(2, 1, seconds(1)),
        (Decision::Wait, vec![]),
        "what a takes may be measured already"
    );
    assert!(matches!(scheduler.job_arrived(3, 2, seconds(1)).0, Decision::Refuse(_)), "5 is all that there can be");
    scheduler.engine_ready(0, RUN, 1, seconds(2));
    scheduler.memory_shown(0);
    let actions = scheduler.tick(seconds(3));
    assert!(matches!(actions[..], [Action::Load { model: 1, .. }]), "{actions:?}");
}

#[test]
fn a_model_larger_than_its_device_is_refused_whatever_loads_there() {
    let mut scheduler = scheduler(10, vec![profile("a", 6), profile("b", 12)]);
    let mut known = capacity(10);
    known.devices[0].total = Some(11 * GIB);
    scheduler.measured(known);
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    let refused = scheduler.job_arrived(2, 1, seconds(1)).0;
    assert!(matches!(refused, Decision::Refuse(Reason::DoesNotFit(_))), "10 and the 6 of a are not 16: {refused:?}");
}

#[test]
fn the_own_place_of_a_model_does_not_count_as_room_for_another_size_of_it() {
    let mut scheduler = scheduler(6, vec![profile("a", 4)]);
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    scheduler.engine_lost(0, false, seconds(1));
    scheduler.measured(capacity(6));
    let fits = |gib| scheduler.could_hold(0, MemoryRequirements::clone(&profile("a", gib).requirements));
    assert!(fits(5) && !fits(6), "its engine is gone, and its memory among what is free");
}

#[test]
fn a_model_whose_engine_backs_off_keeps_its_place_and_is_loading_again_once_it_is_restarted() {
    let mut scheduler = scheduler(10, vec![profile("a", 6), profile("b", 6)]);
    load(&mut scheduler, 0, 0, 3);
    assert_eq!(scheduler.engine_lost(0, true, seconds(50)), []);
    scheduler.measured(capacity(10));
    assert_eq!(scheduler.state(0).name(), "backoff");
    assert_eq!(scheduler.job_arrived(1, 1, seconds(51)).0, Decision::Wait, "the place of a is promised");
    assert_eq!(scheduler.job_arrived(2, 0, seconds(51)).0, Decision::Wait);
    scheduler.engine_restarted(0, seconds(52));
    assert!(matches!(scheduler.state(0), ModelState::Loading { since, .. } if *since == seconds(52)));
    assert_eq!(scheduler.engine_ready(0, RUN + 1, 1, seconds(54)), [Action::Admit { ticket: 2, model: 0 }]);
}

#[test]
fn a_model_whose_engine_backs_off_is_unloaded_at_once() {
    let mut scheduler = scheduler(10, vec![profile("a", 6)]);
    load(&mut scheduler, 0, 0, 3);
    scheduler.engine_lost(0, true, seconds(50));
    assert_eq!(scheduler.unload(0, seconds(80), seconds(50)), [Action::Stop { model: 0 }]);
    assert_eq!(scheduler.state(0).name(), "unloading");
    scheduler.memory_freed(0, seconds(51));
    assert_eq!(scheduler.state(0), &ModelState::OnDisk);
}

#[test]
fn a_model_waits_for_room_exactly_while_it_is_wanted() {
    let mut scheduler = crowd();
    assert_eq!(scheduler.state(1), &ModelState::WaitingForRoom(Obstacle::NoRoom), "no other model is unloaded for it");
    scheduler.want(1, Wanted::No, seconds(11));
    assert_eq!(scheduler.state(1), &ModelState::OnDisk);
    scheduler.job_arrived(1, 1, seconds(11));
    assert_eq!(scheduler.state(1), &ModelState::WaitingForRoom(Obstacle::Queue));
    scheduler.job_cancelled(1, seconds(12));
    assert_eq!(scheduler.state(1), &ModelState::OnDisk);
}

#[test]
fn a_removed_model_returns_its_waiting_jobs_and_its_index_is_used_again() {
    let mut scheduler = crowd();
    assert_eq!(scheduler.job_arrived(7, 1, seconds(11)).0, Decision::Wait);
    assert_eq!(scheduler.remove(1), [7]);
    assert_eq!((scheduler.add(profile("new", 2)), scheduler.add(profile("next", 2))), (1, 6));
    assert_eq!((scheduler.state(1), scheduler.waiting(1)), (&ModelState::OnDisk, 0));
    let actions = scheduler.job_arrived(8, 6, seconds(12)).1;
    assert!(matches!(actions[..], [Action::Load { model: 6, .. }]), "{actions:?}");
}

#[test]
fn what_a_loading_model_is_measured_to_hold_is_promised_no_more() {
    let mut scheduler = scheduler(12, vec![profile("a", 6), profile("b", 4)]);
    assert!(start(&mut scheduler, 1, 0, 0).0.is_empty());
    scheduler.measured(capacity(5));
    assert_eq!(
        scheduler.job_arrived(2, 1, seconds(1)).1,
        [],
        "the place of a is promised, and as far as known not taken"
    );
    scheduler.set_measured(0, gpu(6 * GIB + GIB / 2));
    let actions = scheduler.tick(seconds(2));
    assert!(matches!(actions[..], [Action::Load { model: 1, .. }]), "{actions:?}");
}

#[test]
fn the_rules_are_those_of_the_last_configuration() {
    let mut scheduler = Scheduler::new(Limits::default(), Rules { reserve: 7, ..Rules::default() }, vec![]);
    assert_eq!(scheduler.rules().reserve, 7);
    scheduler.configure(Limits::default(), Rules { reserve: 9, ..Rules::default() });
    assert_eq!(scheduler.rules().reserve, 9);
}

#[test]
fn a_model_that_its_owner_wants_unloaded_is_wanted_no_more() {
    let mut scheduler = crowd();
    assert!(scheduler.is_wanted(1));
    assert_eq!(scheduler.unload(1, seconds(40), seconds(11)), []);
    assert_eq!((scheduler.is_wanted(1), scheduler.state(1)), (false, &ModelState::OnDisk));
}

#[test]
fn a_wanted_model_without_room_is_loaded_when_memory_becomes_free() {
    let mut scheduler = crowd();
    assert_eq!(scheduler.unload(0, seconds(40), seconds(30)), [Action::Stop { model: 0 }]);
    scheduler.measured(capacity(10));
    let actions = scheduler.memory_freed(0, seconds(31));
    assert!(matches!(actions[..], [Action::Load { model: 1, .. }]), "{actions:?}");
}

#[test]
fn an_idle_model_goes_before_a_busy_one_also_for_a_job_that_may_preempt() {
    let mut scheduler = scheduler(10, vec![profile("a", 4), profile("b", 4), profile("c", 4)]);
    load(&mut scheduler, 0, 0, 6);
    load(&mut scheduler, 1, 10, 1);
    for model in [0, 1] {
        assert_eq!(scheduler.job_arrived(10 + model as u64, model, seconds(100)).0, Decision::Admit);
    }
    assert_eq!(scheduler.job_arrived(1, 2, seconds(101)), (Decision::Wait, vec![]));
    assert_eq!(scheduler.job_ended(1, RUN, seconds(117)), [Action::Stop { model: 1 }]);
    assert!(matches!(scheduler.state(0), ModelState::Ready(_)));
}

#[test]
fn a_model_that_loads_quickly_goes_before_one_that_has_been_idle_longer() {
    let mut scheduler = scheduler(10, vec![profile("slow", 4), profile("quick", 4), profile("c", 4)]);
    for (model, arrival, ready, free_after) in [(0, 0, 30, 6), (1, 32, 33, 1)] {
        assert_eq!(scheduler.job_arrived(10 + model as u64, model, seconds(arrival)).0, Decision::Wait);
        scheduler.measured(capacity(free_after));
        scheduler.engine_ready(model, RUN, 1, seconds(ready));
        scheduler.memory_shown(model);
        scheduler.job_ended(model, RUN, seconds(ready + 1));
    }
    let actions = scheduler.job_arrived(1, 2, seconds(100)).1;
    assert_eq!(actions, [Action::Stop { model: 1 }]);
}

#[test]
fn the_waiting_jobs_of_a_model_are_taken_all_at_once() {
    let mut scheduler = crowd();
    scheduler.job_arrived(7, 1, seconds(11));
    scheduler.job_arrived(8, 1, seconds(12));
    assert_eq!(scheduler.take_waiting(1), [7, 8]);
    assert_eq!((scheduler.waiting(1), scheduler.take_waiting(1)), (0, vec![]));
}

#[test]
fn the_next_moment_is_later_than_now_and_is_remembered() {
    let mut scheduler = scheduler(10, vec![profile("a", 4)]);
    assert_eq!(scheduler.due(), None);
    scheduler.job_arrived(1, 0, seconds(0));
    assert_eq!((scheduler.due(), scheduler.wake_at(seconds(0))), (Some(seconds(600)), Some(seconds(600))));
    assert_eq!(scheduler.wake_at(seconds(600)), None, "the tick of this moment does it");
}

#[test]
fn only_a_ready_model_and_one_on_disk_take_jobs() {
    let mut scheduler = scheduler(10, vec![profile("a", 4), profile("b", 4)]);
    let is = |scheduler: &Scheduler, model| (scheduler.state(model).takes_jobs(), scheduler.state(model).is_pending());
    assert_eq!(is(&scheduler, 0), (true, false), "on disk");
    scheduler.job_arrived(1, 0, seconds(0));
    assert_eq!(is(&scheduler, 0), (false, true), "it loads");
    scheduler.engine_ready(0, RUN, 1, seconds(1));
    assert_eq!(is(&scheduler, 0), (true, false), "it is ready");
    scheduler.engine_failed(0, seconds(2));
    assert_eq!(is(&scheduler, 0), (false, false), "it has failed");
}
