//! Models that are not here yet: told as missing, found when they come.

use std::time::Duration;

use super::test_fleet::{TestFleet, desired};
use crate::{Availability, Config, FleetSettings};

/// Longer than it takes to look at a change, shorter than between two looks.
const SOON: Duration = Duration::from_secs(5);
/// Longer than between two looks.
const LATER: Duration = Duration::from_secs(31);

#[tokio::test(start_paused = true)]
async fn the_gap_of_a_recalled_policy_goes_with_the_next_policy() {
    let test_fleet = TestFleet::new(&["own-q8_0", "one-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    test_fleet.settle().await;
    assert!(test_fleet.fleet.report().unmet.join(" ").contains("gone-q8_0"));
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await.is_empty());
    assert!(test_fleet.fleet.report().unmet.is_empty(), "{:?}", test_fleet.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_missing_model_is_loaded_when_its_file_comes() {
    let test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0", "listed-q8_0"], Some(desired("routed-q8_0", 3)));
    test_fleet.settle().await;
    assert_eq!(test_fleet.fleet.report().unmet.len(), 2);
    test_fleet.put("listed-q8_0");
    test_fleet.put("routed-q8_0");
    tokio::time::sleep(LATER).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("listed-q8_0"), test_fleet.state("routed-q8_0")), ("starting", "starting"));
    assert_eq!(test_fleet.spec("routed-q8_0").slots, 3);
    assert!(test_fleet.fleet.report().unmet.is_empty(), "{:?}", test_fleet.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_policy_looks_for_its_model_itself_but_not_all_the_time() {
    let test_fleet = TestFleet::new(&[], &[], None);
    // That the folders are watched from now on is a reason to look, once.
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.fleet.availability(), Availability::Nothing);
    let scans = test_fleet.fleet.scans();
    for _ in 0..3 {
        let told = test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
        assert!(told[0].contains("cannot find model one-q8_0"), "{told:?}");
    }
    assert_eq!(test_fleet.fleet.scans(), scans, "the folders were looked through a moment ago");
    tokio::time::advance(LATER).await;
    test_fleet.put("one-q8_0");
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await.is_empty());
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn what_has_just_come_is_looked_for_however_short_the_last_look_is_ago() {
    let test_fleet = TestFleet::new(&[], &[], None);
    tokio::time::sleep(SOON).await;
    test_fleet.put("one-q8_0");
    while !test_fleet.fleet.has_changed() {
        tokio::task::yield_now().await;
    }
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await.is_empty());
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_names_a_missing_model_has_it_looked_for_and_waits_for_its_load() {
    let mut test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0", "late-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.put("late-q8_0");
    tokio::time::advance(LATER).await;
    let told = test_fleet.waiting(Some("late-q8_0")).await;
    while test_fleet.state("late-q8_0") == "away" {
        test_fleet.fleet.changes().changed().await.unwrap();
    }
    test_fleet.settle().await;
    test_fleet.serve("late-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("late-q8_0".into())));
}

#[tokio::test(start_paused = true)]
async fn another_interval_counts_from_the_last_look_on_and_at_once() {
    let test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    tokio::time::sleep(SOON).await;
    let scans = test_fleet.fleet.scans();
    let every = |interval| {
        let fleet = Config { rescan_interval: interval, ..test_fleet.settings.fleet.clone() };
        test_fleet.fleet.reconfigure(FleetSettings { fleet, ..test_fleet.settings.clone() });
    };
    // More than that has gone by already. A look takes no time of this clock, which waits for it.
    every(Duration::from_secs(4));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 1);
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 2);
    every(Duration::from_secs(3600));
    tokio::time::sleep(LATER).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 2);
}

#[tokio::test(start_paused = true)]
async fn a_look_for_another_reason_does_not_put_off_the_next_one() {
    let test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    tokio::time::sleep(SOON).await;
    let scans = test_fleet.fleet.scans();
    test_fleet.put("stranger-q8_0");
    while !test_fleet.fleet.has_changed() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 1, "it is looked at as it happens");
    // The interval's own time comes sooner than so long after that.
    tokio::time::sleep(LATER - 2 * SOON).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 2);
}

#[tokio::test(start_paused = true)]
async fn an_interval_without_end_is_waited_for_and_no_more() {
    let mut test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    let fleet = Config { rescan_interval: Duration::MAX, ..test_fleet.settings.fleet.clone() };
    test_fleet.fleet.reconfigure(FleetSettings { fleet, ..test_fleet.settings.clone() });
    let told = test_fleet.waiting(Some("own-q8_0")).await;
    test_fleet.serve("own-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("own-q8_0".into())));
}
