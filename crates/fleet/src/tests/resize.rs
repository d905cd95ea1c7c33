//! Another size for a running model, and that nothing is left of the old one.

use super::house::{House, wish};

#[tokio::test(start_paused = true)]
async fn a_resize_leaves_no_driver_and_no_listener_behind() {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("one-q8_0").await;
    for slots in 2..12 {
        house.fleet.wish(wish("one-q8_0", slots)).await;
        house.settle().await;
        house.serve("one-q8_0").await;
        assert_eq!(house.view("one-q8_0").unwrap().ready.unwrap().props.total_slots, slots);
    }
    assert_eq!(house.ended(), 10, "ten drivers are over");
    // This handle, the staff, one listener and who watches the folders; what is remembered on disk is written by a thread, which takes a moment.
    for _ in 0..100_000 {
        if house.holders() == 4 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} hold the fleet", house.holders());
}

#[tokio::test(start_paused = true)]
async fn a_size_that_does_not_start_gives_way_to_the_old_one() {
    let mut house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("one-q8_0").await;
    house.fleet.wish(wish("one-q8_0", 2)).await;
    house.settle().await;
    let told = house.waiting(None).await;
    house.stage("one-q8_0").exit(auxot_engine::ExitClass::BadArgument);
    house.settle().await;
    assert_eq!(house.spec("one-q8_0").slots, 1);
    house.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!(house.fleet.report().unmet, ["policy wants 2 slots, one-q8_0 has 1"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_of_several_wishes_counts() {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("one-q8_0").await;
    for slots in [2, 3, 4] {
        house.fleet.wish(wish("one-q8_0", slots)).await;
    }
    house.settle().await;
    assert_eq!((house.stages("one-q8_0").len(), house.spec("one-q8_0").slots), (2, 4));
    house.fleet.wish(wish("one-q8_0", 5)).await;
    house.settle().await;
    assert_eq!((house.stages("one-q8_0").len(), house.spec("one-q8_0").slots), (3, 5));
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_resize_starts_nothing() {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("one-q8_0").await;
    let lease = house.acquire(None).await.unwrap();
    house.fleet.wish(wish("one-q8_0", 2)).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "draining");
    assert!(house.fleet.report().unmet.is_empty(), "it is being brought about");
    let stop = house.fleet.stop(super::house::LONG);
    drop(lease);
    stop.await;
    house.settle().await;
    assert_eq!(house.stages("one-q8_0").len(), 1, "no second engine");
    assert!(house.fleet.wish(wish("one-q8_0", 3)).await.len() <= 1);
    house.settle().await;
    assert_eq!(house.stages("one-q8_0").len(), 1, "nor by a late policy");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_fleet_starts_nothing_and_gives_the_slots_of_what_runs() {
    let mut house = House::new(&["own-q8_0", "one-q8_0", "two-q8_0"], &["own-q8_0"], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("own-q8_0").await;
    house.serve("one-q8_0").await;
    let mut leases = Vec::new();
    for _ in 0..house.spec("own-q8_0").slots {
        leases.push(house.acquire(Some("own-q8_0")).await.unwrap());
    }
    let resized = house.acquire(Some("one-q8_0")).await.unwrap();
    let waits = house.waiting(Some("own-q8_0")).await;
    assert_eq!(waits.borrow().clone(), None);
    house.fleet.wish(wish("one-q8_0", 2)).await;
    house.settle().await;
    let in_between = house.waiting(Some("one-q8_0")).await;
    house.fleet.freeze();
    leases.clear();
    drop(resized);
    house.settle().await;
    assert_eq!(waits.borrow().clone(), Some(Ok("own-q8_0".into())), "a queued job gets its slot");
    assert_eq!(house.acquire(Some("own-q8_0")).await.unwrap().model(), "own-q8_0", "and so does a new one");
    assert_eq!(in_between.borrow().clone(), Some(Err("the worker is shutting down".into())));
    house.fleet.wish(wish("two-q8_0", 1)).await;
    house.settle().await;
    assert_eq!((house.stages("one-q8_0").len(), house.stages("two-q8_0").len()), (1, 0));
    assert_eq!(house.acquire(Some("one-q8_0")).await.unwrap_err().to_string(), "the worker is shutting down");
}
