//! A model that is too large for the memory is searched a size that fits, which the next start begins with.

use auxot_engine::ExitClass;

use super::test_fleet::{TestFleet, desired};
use crate::Availability;

/// The newest engine of the model finds the memory too small for more than so many slots.
async fn load(test_fleet: &TestFleet, most: u32) {
    if test_fleet.spec("one-q8_0").slots > most {
        test_fleet.stage("one-q8_0").exit(ExitClass::DeviceMemory);
        test_fleet.settle().await;
    } else {
        test_fleet.serve("one-q8_0").await;
    }
}

fn tried(test_fleet: &TestFleet) -> Vec<u32> {
    test_fleet.specs("one-q8_0").iter().map(|spec| spec.slots).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_are_dialled_down_to_what_fits_and_everybody_is_told() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 8)));
    test_fleet.settle().await;
    let told = test_fleet.waiting(None).await;
    for _ in 0..4 {
        assert_eq!(*told.borrow(), None, "nobody is served by an engine that is only tried: {:?}", tried(&test_fleet));
        load(&test_fleet, 3).await;
    }
    assert_eq!(tried(&test_fleet), [8, 4, 2, 3]);
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!(test_fleet.view("one-q8_0").unwrap().ready.unwrap().props.total_slots, 3);
    let unmet = test_fleet.fleet.report().unmet;
    assert_eq!(unmet[0], "policy requires 8 slots, one-q8_0 has 3");
    assert_eq!(unmet[1], "one-q8_0 is planned with 8 slots of 1024 tokens; the memory holds 3 of 1024");
    // A crash is no reason to search again.
    test_fleet.stage("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), tried(&test_fleet).len()), ("starting", 4));
}

#[tokio::test(start_paused = true)]
async fn the_next_start_begins_with_what_worked_and_searches_on_where_that_is_too_much_now() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 8)));
    test_fleet.settle().await;
    for _ in 0..4 {
        load(&test_fleet, 3).await;
    }
    test_fleet.remembered().await;
    let test_fleet = test_fleet.again(Some(desired("one-q8_0", 8)));
    test_fleet.settle().await;
    assert_eq!(tried(&test_fleet), [3]);
    load(&test_fleet, 2).await;
    assert_eq!(tried(&test_fleet), [3, 2]);
    load(&test_fleet, 2).await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_fits_it_fails_with_that_reason() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    let told = test_fleet.waiting(None).await;
    while test_fleet.fleet.availability() == Availability::Coming {
        load(&test_fleet, 0).await;
    }
    assert_eq!(told.borrow().clone(), Some(Err("one-q8_0 has failed: not enough device memory".into())));
    assert!(test_fleet.specs("one-q8_0").iter().any(|spec| spec.slots == 1 && spec.ctx_per_slot == Some(256)));
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_more_than_fits_ends_with_what_fits() {
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
async fn a_size_that_only_crashes_is_given_up_for_one_that_is_known_to_load() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 4)));
    test_fleet.settle().await;
    load(&test_fleet, 2).await;
    load(&test_fleet, 2).await;
    assert_eq!(tried(&test_fleet), [4, 2, 3]);
    for _ in 0..2 {
        test_fleet.stage("one-q8_0").exit(ExitClass::Signal);
        test_fleet.settle().await;
    }
    assert_eq!(tried(&test_fleet), [4, 2, 3, 2]);
    // That one is known to load: it may crash as any other, and is not taken for too large.
    test_fleet.stage("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    assert_eq!((tried(&test_fleet).len(), test_fleet.state("one-q8_0")), (4, "starting"));
    load(&test_fleet, 2).await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}
