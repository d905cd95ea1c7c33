//! A model that is too large for the memory is searched a size that fits, which the next start begins with.

use auxot_engine::ExitClass;

use super::house::{House, wish};
use crate::Outlook;

/// The newest engine of the model finds the memory too small for more than so many slots.
async fn load(house: &House, most: u32) {
    if house.spec("one-q8_0").slots > most {
        house.stage("one-q8_0").exit(ExitClass::DeviceMemory);
        house.settle().await;
    } else {
        house.serve("one-q8_0").await;
    }
}

fn tried(house: &House) -> Vec<u32> {
    house.specs("one-q8_0").iter().map(|spec| spec.slots).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_are_dialled_down_to_what_fits_and_everybody_is_told() {
    let mut house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 8)));
    house.settle().await;
    let told = house.waiting(None).await;
    for _ in 0..4 {
        assert_eq!(*told.borrow(), None, "nobody is served by an engine that is only tried: {:?}", tried(&house));
        load(&house, 3).await;
    }
    assert_eq!(tried(&house), [8, 4, 2, 3]);
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!(house.view("one-q8_0").unwrap().ready.unwrap().props.total_slots, 3);
    let unmet = house.fleet.report().unmet;
    assert_eq!(unmet[0], "policy wants 8 slots, one-q8_0 has 3");
    assert_eq!(unmet[1], "one-q8_0 was to have 8 slots of 1024 tokens; the memory holds 3 of 1024");
    // A crash is no reason to search again.
    house.stage("one-q8_0").exit(ExitClass::Signal);
    house.settle().await;
    assert_eq!((house.state("one-q8_0"), tried(&house).len()), ("starting", 4));
}

#[tokio::test(start_paused = true)]
async fn the_next_start_begins_with_what_worked_and_searches_on_where_that_is_too_much_now() {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 8)));
    house.settle().await;
    for _ in 0..4 {
        load(&house, 3).await;
    }
    house.remembered().await;
    let house = house.again(Some(wish("one-q8_0", 8)));
    house.settle().await;
    assert_eq!(tried(&house), [3]);
    load(&house, 2).await;
    assert_eq!(tried(&house), [3, 2]);
    load(&house, 2).await;
    assert_eq!(house.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_fits_it_fails_with_that_reason() {
    let mut house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 2)));
    house.settle().await;
    let told = house.waiting(None).await;
    while house.fleet.outlook() == Outlook::Coming {
        load(&house, 0).await;
    }
    assert_eq!(told.borrow().clone(), Some(Err("one-q8_0 has failed: not enough device memory".into())));
    assert!(house.specs("one-q8_0").iter().any(|spec| spec.slots == 1 && spec.ctx_per_slot == Some(256)));
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_more_than_fits_ends_with_what_fits() {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 2)));
    house.settle().await;
    load(&house, 3).await;
    house.fleet.wish(wish("one-q8_0", 6)).await;
    house.settle().await;
    while house.state("one-q8_0") != "ready" {
        load(&house, 3).await;
    }
    assert_eq!(tried(&house), [2, 6, 3, 5, 4, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_size_that_only_crashes_is_given_up_for_one_that_is_known_to_load() {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 4)));
    house.settle().await;
    load(&house, 2).await;
    load(&house, 2).await;
    assert_eq!(tried(&house), [4, 2, 3]);
    for _ in 0..2 {
        house.stage("one-q8_0").exit(ExitClass::Signal);
        house.settle().await;
    }
    assert_eq!(tried(&house), [4, 2, 3, 2]);
    // That one is known to load: it may crash as any other, and is not taken for too large.
    house.stage("one-q8_0").exit(ExitClass::Signal);
    house.settle().await;
    assert_eq!((tried(&house).len(), house.state("one-q8_0")), (4, "starting"));
    load(&house, 2).await;
    assert_eq!(house.state("one-q8_0"), "ready");
}
