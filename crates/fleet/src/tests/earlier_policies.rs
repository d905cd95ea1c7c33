//! Models of earlier policies are unloaded once the new one is ready.

use std::time::Duration;

use super::test_fleet::{TestFleet, desired};

#[tokio::test(start_paused = true)]
async fn the_model_of_an_earlier_policy_is_stopped_when_the_new_one_serves() {
    let test_fleet = TestFleet::new(&["own-q8_0", "one-q8_0", "two-q8_0"], &["own-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.make_ready("own-q8_0").await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(
        (test_fleet.state("own-q8_0"), test_fleet.state("one-q8_0")),
        ("ready", "ready"),
        "the operator's model stays"
    );
    test_fleet.fleet.set_desired(desired("two-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready", "the new model is not ready yet");
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("own-q8_0")), ("absent", "ready"));
    assert_eq!(test_fleet.script("one-q8_0").calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    assert_eq!(test_fleet.ended(), 1, "its driver has ended too");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_old_model_finishes_and_new_jobs_are_refused() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let lease = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("two-q8_0", 2)).await;
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let refusal = test_fleet.acquire(Some("one-q8_0")).await.unwrap_err().to_string();
    assert!(refusal.contains("one-q8_0") && refusal.contains("serves two-q8_0"), "{refusal}");
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "two-q8_0");
    drop(lease);
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "absent");
}

#[tokio::test(start_paused = true)]
async fn the_drain_of_an_old_model_is_bounded() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let _held = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("two-q8_0", 2)).await;
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    tokio::time::advance(crate::Config::default().drain_timeout + Duration::from_millis(5)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "absent");
}

#[tokio::test(start_paused = true)]
async fn unnamed_waiters_move_to_the_new_model_and_named_ones_are_refused() {
    let mut test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let _busy = test_fleet.acquire(None).await.unwrap();
    let any = test_fleet.waiting(None).await;
    let named = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(any.borrow().clone(), Some(Ok("two-q8_0".into())));
    assert_eq!(named.borrow().clone(), Some(Err("one-q8_0 is stopped".into())));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_desired_again_during_its_drain_stays() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let lease = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    test_fleet.fleet.set_desired(desired("one-q8_0", 1)).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("two-q8_0")), ("ready", "absent"));
    drop(lease);
    test_fleet.settle().await;
    assert_eq!(
        (test_fleet.state("one-q8_0"), test_fleet.scripts("one-q8_0").len()),
        ("ready", 1),
        "it was never stopped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leaving_model_does_not_count_as_served() {
    let fleet = crate::Config { autoload: vec!["one-q8_0".to_owned()], ..crate::Config::default() };
    let test_fleet = TestFleet::of(&["one-q8_0"], crate::FleetSettings { fleet, ..crate::FleetSettings::default() });
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let _held = test_fleet.acquire(None).await.unwrap();
    let fleet = crate::Config { autoload: Vec::new(), ..test_fleet.settings.fleet.clone() };
    test_fleet.fleet.reconfigure(crate::FleetSettings { fleet, ..test_fleet.settings.clone() });
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.fleet.has_models()), ("draining", false));
    assert!(test_fleet.fleet.serve_any_model() && test_fleet.fleet.has_models());
}
