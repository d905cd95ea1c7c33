//! Another size for a running model, and that nothing of the old one remains.

use super::test_fleet::{TestFleet, desired};

#[tokio::test(start_paused = true)]
async fn a_resize_leaves_no_driver_and_no_listener_behind() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    for slots in 2..12 {
        test_fleet.fleet.set_desired(desired("one-q8_0", slots)).await;
        test_fleet.settle().await;
        test_fleet.make_ready("one-q8_0").await;
        assert_eq!(test_fleet.view("one-q8_0").unwrap().ready.unwrap().props.total_slots, slots);
    }
    assert_eq!(test_fleet.ended(), 10, "ten drivers have ended");
    // This handle, the tasks, one listener and the folder watcher remain. A thread that still writes to disk holds the fleet
    // for a moment.
    for _ in 0..100_000 {
        if test_fleet.holders() == 4 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} hold the fleet", test_fleet.holders());
}

#[tokio::test(start_paused = true)]
async fn a_size_that_does_not_load_is_replaced_by_the_old_one() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    let answer = test_fleet.waiting(None).await;
    test_fleet.script("one-q8_0").exit(auxot_engine::ExitClass::BadArgument);
    test_fleet.settle().await;
    assert_eq!(test_fleet.spec("one-q8_0").slots, 1);
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!(test_fleet.fleet.report().unmet, ["policy requires 2 slots, one-q8_0 has 1"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_of_several_policies_counts() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    for slots in [2, 3, 4] {
        test_fleet.fleet.set_desired(desired("one-q8_0", slots)).await;
    }
    test_fleet.settle().await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.spec("one-q8_0").slots), (2, 4));
    test_fleet.fleet.set_desired(desired("one-q8_0", 5)).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.spec("one-q8_0").slots), (3, 5));
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_resize_starts_nothing() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let lease = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    assert!(test_fleet.fleet.report().unmet.is_empty(), "the change is under way");
    let stop = test_fleet.fleet.stop();
    drop(lease);
    stop.await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 1, "no second engine");
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 3)).await.len() <= 1);
    test_fleet.settle().await;
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 1, "a late policy starts nothing");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_fleet_starts_nothing_and_grants_slots_of_running_engines() {
    let mut test_fleet =
        TestFleet::new(&["own-q8_0", "one-q8_0", "two-q8_0"], &["own-q8_0"], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("own-q8_0").await;
    test_fleet.make_ready("one-q8_0").await;
    let mut leases = Vec::new();
    for _ in 0..test_fleet.spec("own-q8_0").slots {
        leases.push(test_fleet.acquire(Some("own-q8_0")).await.unwrap());
    }
    let resized = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let waits = test_fleet.waiting(Some("own-q8_0")).await;
    assert_eq!(waits.borrow().clone(), None);
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    let in_between = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.freeze();
    leases.clear();
    drop(resized);
    test_fleet.settle().await;
    assert_eq!(waits.borrow().clone(), Some(Ok("own-q8_0".into())), "a queued job gets its slot");
    assert_eq!(test_fleet.acquire(Some("own-q8_0")).await.unwrap().model(), "own-q8_0", "and so does a new one");
    assert_eq!(in_between.borrow().clone(), Some(Err("the worker is shutting down".into())));
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.scripts("two-q8_0").len()), (1, 0));
    assert_eq!(test_fleet.acquire(Some("one-q8_0")).await.unwrap_err().to_string(), "the worker is shutting down");
}
