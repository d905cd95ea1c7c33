//! Models that share memory: loaded by the first job, ended for another, told when there is no room.

use std::time::Duration;

use auxot_engine::ExitClass;

use super::test_fleet::{LONG, TestFleet};

/// Room for one engine with one of these very small models, and not for two, in KiB.
const ONE: u64 = 40_000;
/// Longer than a loaded model stays at least.
const RESIDENCY: Duration = Duration::from_secs(21);

#[tokio::test(start_paused = true)]
async fn the_first_job_loads_its_model_and_others_join() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &[], 2 * ONE);
    test_fleet.settle().await;
    assert!(test_fleet.fleet.report().models.is_empty());
    let first = test_fleet.waiting(Some("one-q8_0")).await;
    let second = test_fleet.waiting(Some("one-q8_0")).await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("one-q8_0").len()), ("starting", 1));
    test_fleet.serve("one-q8_0").await;
    for told in [first, second] {
        assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    }
    assert_eq!(test_fleet.state("two-q8_0"), "away", "nobody has asked for it");
    let refusal = test_fleet.acquire(Some("three-q8_0")).await.unwrap_err().to_string();
    assert_eq!(refusal, "no model `three-q8_0` on this worker; it serves one-q8_0");
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_makes_room_after_its_residency_and_comes_back_for_a_job() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let told = test_fleet.waiting(Some("two-q8_0")).await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("two-q8_0")), ("ready", "starting"), "it has just come");
    assert!(test_fleet.stages("two-q8_0").is_empty());
    tokio::time::advance(RESIDENCY).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "stopped");
    test_fleet.serve("two-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("two-q8_0".into())));
    assert_eq!(test_fleet.ended(), 1, "the first one's driver");
    let told = test_fleet.waiting(Some("one-q8_0")).await;
    tokio::time::advance(RESIDENCY).await;
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!((test_fleet.stages("one-q8_0").len(), test_fleet.state("two-q8_0")), (2, "stopped"));
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_finishes_first_and_is_ended_after_its_drain_bound() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let lease = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let told = test_fleet.waiting(Some("two-q8_0")).await;
    tokio::time::advance(RESIDENCY).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let waits = test_fleet.waiting(Some("one-q8_0")).await;
    assert_eq!(waits.borrow().clone(), None, "no new jobs");
    tokio::time::advance(Duration::from_secs(29)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    tokio::time::advance(Duration::from_secs(2)).await;
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("two-q8_0".into())));
    drop(lease);
    tokio::time::advance(RESIDENCY).await;
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(waits.borrow().clone(), Some(Ok("one-q8_0".into())), "its turn comes again");
}

#[tokio::test(start_paused = true)]
async fn of_a_list_that_does_not_fit_the_first_are_loaded_and_the_rest_is_told_and_waits() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("two-q8_0").len()), ("ready", 0));
    let unmet = test_fleet.fleet.report().unmet;
    assert!(unmet[0].starts_with("two-q8_0 is not loaded: needs "), "{unmet:?}");
    tokio::time::advance(LONG).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("two-q8_0").len()), ("ready", 0), "nobody goes for it");
    let told = test_fleet.waiting(Some("two-q8_0")).await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("two-q8_0".into())), "until a job wants it");
    assert!(test_fleet.fleet.report().unmet.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_ends_nobody() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    tokio::time::advance(RESIDENCY).await;
    let told = test_fleet.waiting(Some("two-q8_0")).await;
    test_fleet.stage("two-q8_0").exit(ExitClass::BadFile);
    test_fleet.settle().await;
    assert!(told.borrow().clone().is_some_and(|answer| answer.is_err_and(|why| why.contains("two-q8_0 has failed"))));
    let lease = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(lease.borrow().clone(), Some(Ok("one-q8_0".into())));
    tokio::time::advance(RESIDENCY).await;
    assert!(test_fleet.acquire(Some("two-q8_0")).await.is_err());
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_in_any_size_is_refused_with_the_numbers() {
    let test_fleet = TestFleet::shared(&["one-q8_0"], &[], 1);
    test_fleet.settle().await;
    let refusal = test_fleet.acquire(Some("one-q8_0")).await.unwrap_err().to_string();
    assert!(refusal.starts_with("cannot load one-q8_0: needs ") && refusal.contains("free 1.0 KiB"), "{refusal}");
    assert_eq!(test_fleet.state("one-q8_0"), "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_goes_away_leaves_a_load_to_end_and_the_model_idle() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0"], &[], ONE);
    test_fleet.settle().await;
    let fleet = test_fleet.fleet.clone();
    let gone =
        tokio::time::timeout(Duration::from_secs(1), fleet.acquire(Some("one-q8_0"), std::time::Instant::now() + LONG));
    assert!(gone.await.is_err());
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    assert_eq!(test_fleet.waiting(Some("one-q8_0")).await.borrow().clone(), Some(Ok("one-q8_0".into())));
}
