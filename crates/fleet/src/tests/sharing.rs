//! Models that share memory: loaded by the first job, evicted for another, reported when there is no room.

use std::time::Duration;

use auxot_engine::ExitClass;

use super::test_fleet::{LONG, TestFleet, in_a_long_time};
use crate::JobTask;

/// Room for one engine with one of these very small models, and not for two, in KiB.
const ROOM_FOR_ONE: u64 = 40_000;
/// Longer than the minimum loaded time.
const MIN_LOADED: Duration = Duration::from_secs(21);

#[tokio::test(start_paused = true)]
async fn the_first_job_loads_its_model_and_later_ones_share_the_load() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &[], 2 * ROOM_FOR_ONE);
    test_fleet.settle().await;
    assert!(test_fleet.fleet.report().models.is_empty());
    let first = test_fleet.waiting(Some("one-q8_0")).await;
    let second = test_fleet.waiting(Some("one-q8_0")).await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.scripts("one-q8_0").len()), ("loading", 1));
    test_fleet.make_ready("one-q8_0").await;
    for answer in [first, second] {
        assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())));
    }
    assert_eq!(test_fleet.state("two-q8_0"), "absent", "no job has named it");
    let refusal = test_fleet.acquire(Some("three-q8_0")).await.unwrap_err().to_string();
    assert_eq!(refusal, "no model `three-q8_0` on this worker; it serves one-q8_0");
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_is_evicted_after_its_minimum_time_and_reloaded_for_a_job() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let answer = test_fleet.waiting(Some("two-q8_0")).await;
    assert_eq!(
        (test_fleet.state("one-q8_0"), test_fleet.state("two-q8_0")),
        ("ready", "waiting_for_room"),
        "it was loaded just now"
    );
    assert!(test_fleet.scripts("two-q8_0").is_empty());
    tokio::time::advance(MIN_LOADED).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "on_disk");
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("two-q8_0".into())));
    assert_eq!(test_fleet.ended(), 1, "the first one's driver");
    let answer = test_fleet.waiting(Some("one-q8_0")).await;
    tokio::time::advance(MIN_LOADED).await;
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())));
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.state("two-q8_0")), (2, "on_disk"));
}

#[tokio::test(start_paused = true)]
async fn the_report_says_what_a_load_takes() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let load = |test_fleet: &TestFleet, name: &str| {
        let models = test_fleet.fleet.report().models;
        models.into_iter().find(|model| model.model.name == name).unwrap().load
    };
    assert_eq!(load(&test_fleet, "one-q8_0"), None, "it is loaded");
    let _answer = test_fleet.waiting(Some("two-q8_0")).await;
    tokio::time::advance(MIN_LOADED).await;
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    let one = load(&test_fleet, "one-q8_0").unwrap();
    assert_eq!((one.time.is_some(), one.evicts), (true, Some(true)), "the other one has its memory");
    test_fleet.fleet.unload("two-q8_0").unwrap();
    test_fleet.settle().await;
    assert_eq!(load(&test_fleet, "one-q8_0").unwrap().evicts, Some(false));
    assert_eq!(load(&test_fleet, "two-q8_0").unwrap().evicts, Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_drains_before_eviction_and_is_stopped_at_the_drain_bound() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let lease = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let answer = test_fleet.waiting(Some("two-q8_0")).await;
    tokio::time::advance(MIN_LOADED).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let waits = test_fleet.waiting(Some("one-q8_0")).await;
    assert_eq!(waits.borrow().clone(), None, "no new jobs");
    tokio::time::advance(Duration::from_secs(29)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    tokio::time::advance(Duration::from_secs(2)).await;
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("two-q8_0".into())));
    drop(lease);
    tokio::time::advance(MIN_LOADED).await;
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(waits.borrow().clone(), Some(Ok("one-q8_0".into())), "it is loaded again");
}

#[tokio::test(start_paused = true)]
async fn listed_models_that_do_not_fit_are_reported_and_load_on_demand() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.scripts("two-q8_0").len()), ("ready", 0));
    let unmet = test_fleet.fleet.report().unmet;
    assert!(unmet[0].starts_with("two-q8_0 is not loaded: needs "), "{unmet:?}");
    tokio::time::advance(LONG).await;
    test_fleet.settle().await;
    assert_eq!(
        (test_fleet.state("one-q8_0"), test_fleet.scripts("two-q8_0").len()),
        ("ready", 0),
        "nothing is evicted for it"
    );
    let answer = test_fleet.waiting(Some("two-q8_0")).await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("two-q8_0".into())), "a job loads it");
    assert!(test_fleet.fleet.report().unmet.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_evicts_nothing() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    tokio::time::advance(MIN_LOADED).await;
    let answer = test_fleet.waiting(Some("two-q8_0")).await;
    test_fleet.script("two-q8_0").exit(ExitClass::BadFile);
    test_fleet.settle().await;
    assert!(answer.borrow().clone().is_some_and(|answer| answer.is_err_and(|why| why.contains("two-q8_0 has failed"))));
    let lease = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(lease.borrow().clone(), Some(Ok("one-q8_0".into())));
    tokio::time::advance(MIN_LOADED).await;
    assert!(test_fleet.acquire(Some("two-q8_0")).await.is_err());
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fits_in_no_size_is_refused_with_the_numbers() {
    let test_fleet = TestFleet::shared(&["one-q8_0"], &[], 1);
    test_fleet.settle().await;
    let refusal = test_fleet.acquire(Some("one-q8_0")).await.unwrap_err().to_string();
    assert!(refusal.starts_with("cannot load one-q8_0: needs ") && refusal.contains("free 1.0 KiB"), "{refusal}");
    assert_eq!(test_fleet.state("one-q8_0"), "on_disk");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_lets_the_load_finish_and_the_model_stay() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0"], &[], ROOM_FOR_ONE);
    test_fleet.settle().await;
    let fleet = test_fleet.fleet.clone();
    let gone =
        tokio::time::timeout(Duration::from_secs(1), fleet.acquire(Some("one-q8_0"), JobTask::Chat, in_a_long_time()));
    assert!(gone.await.is_err());
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    assert_eq!(test_fleet.waiting(Some("one-q8_0")).await.borrow().clone(), Some(Ok("one-q8_0".into())));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_means_several_models_is_refused_with_all_of_them_and_an_exact_one_is_not() {
    let test_fleet = TestFleet::shared(&["one-q4_0", "one-q8_0"], &["one-q8_0"], 2 * ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let refusal = test_fleet.acquire(Some("one")).await.unwrap_err().to_string();
    assert_eq!(refusal, "cannot choose a model for `one`: it may be one-q4_0, one-q8_0");
    assert_eq!(test_fleet.acquire(Some("one-q8_0")).await.unwrap().model(), "one-q8_0");
    assert_eq!(test_fleet.acquire(Some("ONE:Q8_0")).await.unwrap().model(), "one-q8_0", "a spelling of the same name");
}
