//! The size search of a model that is too large for the memory, and the next start, which begins with its result.

use auxot_engine::ExitClass;

use super::test_fleet::{TestFleet, desired};

/// The memory holds at most this many slots: the newest engine loads, or exits for lack of memory.
async fn load(test_fleet: &TestFleet, most: u32) {
    if test_fleet.spec("one-q8_0").slots > most {
        test_fleet.script("one-q8_0").exit(ExitClass::DeviceMemory);
        test_fleet.settle().await;
    } else {
        test_fleet.make_ready("one-q8_0").await;
    }
}

fn tried(test_fleet: &TestFleet) -> Vec<u32> {
    test_fleet.specs("one-q8_0").iter().map(|spec| spec.slots).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_are_reduced_until_the_model_fits_and_the_gap_is_reported() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 8)));
    test_fleet.settle().await;
    let answer = test_fleet.waiting(None).await;
    for _ in 0..4 {
        assert_eq!(*answer.borrow(), None, "no job is served by a trial engine: {:?}", tried(&test_fleet));
        load(&test_fleet, 3).await;
    }
    assert_eq!(tried(&test_fleet), [8, 4, 2, 3]);
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!(test_fleet.view("one-q8_0").unwrap().ready.unwrap().props.total_slots, 3);
    let unmet = test_fleet.fleet.report().unmet;
    assert_eq!(unmet[0], "policy requires 8 slots, one-q8_0 has 3");
    assert_eq!(unmet[1], "one-q8_0 is planned with 8 slots of 1024 tokens; the memory holds 3 of 1024");
    // A crash does not restart the search.
    test_fleet.script("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), tried(&test_fleet).len()), ("loading", 4));
}

#[tokio::test(start_paused = true)]
async fn the_next_start_begins_with_the_stored_size_and_searches_on_if_it_no_longer_fits() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 8)));
    test_fleet.settle().await;
    for _ in 0..4 {
        load(&test_fleet, 3).await;
    }
    test_fleet.size_stored().await;
    let test_fleet = test_fleet.restart(Some(desired("one-q8_0", 8)));
    test_fleet.settle().await;
    assert_eq!(tried(&test_fleet), [3]);
    load(&test_fleet, 2).await;
    assert_eq!(tried(&test_fleet), [3, 2]);
    load(&test_fleet, 2).await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_model_fails_for_lack_of_memory_when_no_size_fits() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    let answer = test_fleet.waiting(None).await;
    while test_fleet.best() == "pending" {
        load(&test_fleet, 0).await;
    }
    assert_eq!(answer.borrow().clone(), Some(Err("one-q8_0 has failed: not enough device memory".into())));
    assert!(test_fleet.specs("one-q8_0").iter().any(|spec| spec.slots == 1 && spec.ctx_per_slot == 256));
}

#[tokio::test(start_paused = true)]
async fn a_desired_size_beyond_the_memory_ends_with_the_largest_that_fits() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    load(&test_fleet, 3).await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 6)).await;
    test_fleet.settle().await;
    while test_fleet.state("one-q8_0") != "ready" {
        load(&test_fleet, 3).await;
    }
    assert_eq!(tried(&test_fleet), [2, 6, 3, 5, 4, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_crashes_falls_back_to_a_size_that_is_known_to_load() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 4)));
    test_fleet.settle().await;
    load(&test_fleet, 2).await;
    load(&test_fleet, 2).await;
    assert_eq!(tried(&test_fleet), [4, 2, 3]);
    for _ in 0..2 {
        test_fleet.script("one-q8_0").exit(ExitClass::Signal);
        test_fleet.settle().await;
    }
    assert_eq!(tried(&test_fleet), [4, 2, 3, 2]);
    // This size is known to load: a crash does not make it too large.
    test_fleet.script("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    assert_eq!((tried(&test_fleet).len(), test_fleet.state("one-q8_0")), (4, "loading"));
    load(&test_fleet, 2).await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}
