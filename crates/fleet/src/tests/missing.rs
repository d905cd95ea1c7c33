//! Models that are not here yet: reported as missing, and found when they appear.

use std::time::Duration;

use super::test_fleet::{TestFleet, desired};
use crate::{Config, FleetSettings};

/// Longer than it takes to scan a change, shorter than the scan interval.
const SOON: Duration = Duration::from_secs(5);
/// Longer than the scan interval.
const AFTER_INTERVAL: Duration = Duration::from_secs(31);

#[tokio::test(start_paused = true)]
async fn the_gap_of_the_stored_policy_ends_with_the_next_policy() {
    let test_fleet = TestFleet::new(&["own-q8_0", "one-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    test_fleet.settle().await;
    assert!(test_fleet.fleet.report().unmet.join(" ").contains("gone-q8_0"));
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await.is_empty());
    assert!(test_fleet.fleet.report().unmet.is_empty(), "{:?}", test_fleet.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_missing_model_is_loaded_when_its_file_appears() {
    let test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0", "listed-q8_0"], Some(desired("routed-q8_0", 3)));
    test_fleet.settle().await;
    assert_eq!(test_fleet.fleet.report().unmet.len(), 2);
    test_fleet.put("listed-q8_0");
    test_fleet.put("routed-q8_0");
    tokio::time::sleep(AFTER_INTERVAL).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("listed-q8_0"), test_fleet.state("routed-q8_0")), ("loading", "loading"));
    assert_eq!(test_fleet.spec("routed-q8_0").slots, 3);
    assert!(test_fleet.fleet.report().unmet.is_empty(), "{:?}", test_fleet.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_policy_starts_a_scan_for_its_model_once_per_interval() {
    let test_fleet = TestFleet::new(&[], &[], None);
    // The start of the watch causes one scan.
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.best(), "none");
    let scans = test_fleet.fleet.scans();
    for _ in 0..3 {
        let gaps = test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
        assert!(gaps[0].contains("cannot find model one-q8_0"), "{gaps:?}");
    }
    assert_eq!(test_fleet.fleet.scans(), scans, "the folders were scanned a moment ago");
    tokio::time::advance(AFTER_INTERVAL).await;
    test_fleet.put("one-q8_0");
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await.is_empty());
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
}

#[tokio::test(start_paused = true)]
async fn a_new_file_is_scanned_however_recent_the_last_scan_is() {
    let test_fleet = TestFleet::new(&[], &[], None);
    tokio::time::sleep(SOON).await;
    test_fleet.put("one-q8_0");
    while !test_fleet.fleet.has_changed() {
        tokio::task::yield_now().await;
    }
    assert!(test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await.is_empty());
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_names_a_missing_model_starts_a_scan_and_waits_for_the_load() {
    let mut test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0", "late-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.put("late-q8_0");
    tokio::time::advance(AFTER_INTERVAL).await;
    let answer = test_fleet.waiting(Some("late-q8_0")).await;
    while test_fleet.state("late-q8_0") == "absent" {
        test_fleet.fleet.changes().changed().await.unwrap();
    }
    test_fleet.settle().await;
    test_fleet.make_ready("late-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("late-q8_0".into())));
}

#[tokio::test(start_paused = true)]
async fn a_new_rescan_interval_takes_effect_at_once_from_the_last_scan_on() {
    let test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    tokio::time::sleep(SOON).await;
    let scans = test_fleet.fleet.scans();
    let every = |interval| {
        let fleet = Config { rescan_interval: interval, ..test_fleet.settings.fleet.clone() };
        test_fleet.fleet.reconfigure(FleetSettings { fleet, ..test_fleet.settings.clone() });
    };
    // More than that has passed already. A scan takes no time on the paused clock, which waits for it.
    every(Duration::from_secs(4));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 1);
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 2);
    every(Duration::from_secs(3600));
    tokio::time::sleep(AFTER_INTERVAL).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 2);
}

#[tokio::test(start_paused = true)]
async fn a_scan_for_another_reason_does_not_postpone_the_interval() {
    let test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    tokio::time::sleep(SOON).await;
    let scans = test_fleet.fleet.scans();
    test_fleet.put("other-q8_0");
    while !test_fleet.fleet.has_changed() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 1, "the change is scanned at once");
    // The interval ends before this long after that scan.
    tokio::time::sleep(AFTER_INTERVAL - 2 * SOON).await;
    assert_eq!(test_fleet.fleet.scans(), scans + 2);
}

#[tokio::test(start_paused = true)]
async fn an_endless_rescan_interval_does_not_stop_the_tasks() {
    let mut test_fleet = TestFleet::new(&["own-q8_0"], &["own-q8_0"], Some(desired("gone-q8_0", 2)));
    let fleet = Config { rescan_interval: Duration::MAX, ..test_fleet.settings.fleet.clone() };
    test_fleet.fleet.reconfigure(FleetSettings { fleet, ..test_fleet.settings.clone() });
    let answer = test_fleet.waiting(Some("own-q8_0")).await;
    test_fleet.make_ready("own-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("own-q8_0".into())));
}
