//! Models that share memory: loaded by the first job, ended for another, told when there is no room.

use std::time::Duration;

use auxot_engine::ExitClass;

use super::house::{House, LONG};

/// Room for one engine with one of these very small models, and not for two, in KiB.
const ONE: u64 = 40_000;
/// Longer than a loaded model stays at least.
const RESIDENCY: Duration = Duration::from_secs(21);

#[tokio::test(start_paused = true)]
async fn the_first_job_loads_its_model_and_others_join() {
    let mut house = House::shared(&["one-q8_0", "two-q8_0"], &[], 2 * ONE);
    house.settle().await;
    assert!(house.fleet.report().models.is_empty());
    let first = house.waiting(Some("one-q8_0")).await;
    let second = house.waiting(Some("one-q8_0")).await;
    assert_eq!((house.state("one-q8_0"), house.stages("one-q8_0").len()), ("starting", 1));
    house.serve("one-q8_0").await;
    for told in [first, second] {
        assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    }
    assert_eq!(house.state("two-q8_0"), "away", "nobody has asked for it");
    let refusal = house.acquire(Some("three-q8_0")).await.unwrap_err().to_string();
    assert_eq!(refusal, "no model `three-q8_0` on this worker; it serves one-q8_0");
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_makes_room_after_its_residency_and_comes_back_for_a_job() {
    let mut house = House::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    house.settle().await;
    house.serve("one-q8_0").await;
    let told = house.waiting(Some("two-q8_0")).await;
    assert_eq!((house.state("one-q8_0"), house.state("two-q8_0")), ("ready", "starting"), "it has just come");
    assert!(house.stages("two-q8_0").is_empty());
    tokio::time::advance(RESIDENCY).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "stopped");
    house.serve("two-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("two-q8_0".into())));
    assert_eq!(house.ended(), 1, "the first one's driver");
    let told = house.waiting(Some("one-q8_0")).await;
    tokio::time::advance(RESIDENCY).await;
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!((house.stages("one-q8_0").len(), house.state("two-q8_0")), (2, "stopped"));
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_finishes_first_and_is_ended_after_its_drain_bound() {
    let mut house = House::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    house.settle().await;
    house.serve("one-q8_0").await;
    let lease = house.acquire(Some("one-q8_0")).await.unwrap();
    let told = house.waiting(Some("two-q8_0")).await;
    tokio::time::advance(RESIDENCY).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "draining");
    let waits = house.waiting(Some("one-q8_0")).await;
    assert_eq!(waits.borrow().clone(), None, "no new jobs");
    tokio::time::advance(Duration::from_secs(29)).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "draining");
    tokio::time::advance(Duration::from_secs(2)).await;
    house.settle().await;
    house.serve("two-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("two-q8_0".into())));
    drop(lease);
    tokio::time::advance(RESIDENCY).await;
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!(waits.borrow().clone(), Some(Ok("one-q8_0".into())), "its turn comes again");
}

#[tokio::test(start_paused = true)]
async fn of_a_list_that_does_not_fit_the_first_are_loaded_and_the_rest_is_told_and_waits() {
    let mut house = House::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], ONE);
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!((house.state("one-q8_0"), house.stages("two-q8_0").len()), ("ready", 0));
    let unmet = house.fleet.report().unmet;
    assert!(unmet[0].starts_with("two-q8_0 is not loaded: needs "), "{unmet:?}");
    tokio::time::advance(LONG).await;
    house.settle().await;
    assert_eq!((house.state("one-q8_0"), house.stages("two-q8_0").len()), ("ready", 0), "nobody goes for it");
    let told = house.waiting(Some("two-q8_0")).await;
    house.serve("two-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("two-q8_0".into())), "until a job wants it");
    assert!(house.fleet.report().unmet.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_ends_nobody() {
    let mut house = House::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    house.settle().await;
    house.serve("one-q8_0").await;
    tokio::time::advance(RESIDENCY).await;
    let told = house.waiting(Some("two-q8_0")).await;
    house.stage("two-q8_0").exit(ExitClass::BadFile);
    house.settle().await;
    assert!(told.borrow().clone().is_some_and(|answer| answer.is_err_and(|why| why.contains("two-q8_0 has failed"))));
    let lease = house.waiting(Some("one-q8_0")).await;
    house.serve("one-q8_0").await;
    assert_eq!(lease.borrow().clone(), Some(Ok("one-q8_0".into())));
    tokio::time::advance(RESIDENCY).await;
    assert!(house.acquire(Some("two-q8_0")).await.is_err());
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_in_any_size_is_refused_with_the_numbers() {
    let house = House::shared(&["one-q8_0"], &[], 1);
    house.settle().await;
    let refusal = house.acquire(Some("one-q8_0")).await.unwrap_err().to_string();
    assert!(refusal.starts_with("cannot load one-q8_0: needs ") && refusal.contains("free 1.0 KiB"), "{refusal}");
    assert_eq!(house.state("one-q8_0"), "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_goes_away_leaves_a_load_to_end_and_the_model_idle() {
    let mut house = House::shared(&["one-q8_0"], &[], ONE);
    house.settle().await;
    let fleet = house.fleet.clone();
    let gone =
        tokio::time::timeout(Duration::from_secs(1), fleet.acquire(Some("one-q8_0"), std::time::Instant::now() + LONG));
    assert!(gone.await.is_err());
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!(house.state("one-q8_0"), "ready");
    assert_eq!(house.waiting(Some("one-q8_0")).await.borrow().clone(), Some(Ok("one-q8_0".into())));
}
