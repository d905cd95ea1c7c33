//! Models of earlier policies go once the new one serves.

use std::time::Duration;

use super::test_fleet::{TestFleet, desired};

#[tokio::test(start_paused = true)]
async fn the_model_of_an_earlier_policy_is_stopped_when_the_new_one_serves() {
    let test_fleet = TestFleet::new(&["own-q8_0", "one-q8_0", "two-q8_0"], &["own-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("own-q8_0").await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(
        (test_fleet.state("own-q8_0"), test_fleet.state("one-q8_0")),
        ("ready", "ready"),
        "the operator's stays"
    );
    test_fleet.fleet.set_desired(desired("two-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready", "the new one does not serve yet");
    test_fleet.serve("two-q8_0").await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("own-q8_0")), ("away", "ready"));
    assert_eq!(test_fleet.stage("one-q8_0").calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    assert_eq!(test_fleet.ended(), 1, "its driver too");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_old_model_ends_first_and_new_ones_find_it_gone() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let lease = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("two-q8_0", 2)).await;
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let refusal = test_fleet.acquire(Some("one-q8_0")).await.unwrap_err().to_string();
    assert!(refusal.contains("one-q8_0") && refusal.contains("serves two-q8_0"), "{refusal}");
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "two-q8_0");
    drop(lease);
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn the_drain_of_an_old_model_is_bounded() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let _held = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("two-q8_0", 2)).await;
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    tokio::time::advance(crate::Config::default().drain_timeout + Duration::from_millis(5)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_any_model_waits_for_the_new_one_and_who_named_the_old_one_is_told() {
    let mut test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let _busy = test_fleet.acquire(None).await.unwrap();
    let any = test_fleet.waiting(None).await;
    let named = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(any.borrow().clone(), Some(Ok("two-q8_0".into())));
    assert_eq!(named.borrow().clone(), Some(Err("one-q8_0 is stopped".into())));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_wished_for_again_while_it_goes_comes_back() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let lease = test_fleet.acquire(None).await.unwrap();
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    test_fleet.fleet.set_desired(desired("one-q8_0", 1)).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("two-q8_0")), ("ready", "away"));
    drop(lease);
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("one-q8_0").len()), ("ready", 1), "it was never ended");
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_is_no_model_to_serve() {
    let fleet = crate::Config { autoload: vec!["one-q8_0".to_owned()], ..crate::Config::default() };
    let test_fleet = TestFleet::of(&["one-q8_0"], crate::FleetSettings { fleet, ..crate::FleetSettings::default() });
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let _held = test_fleet.acquire(None).await.unwrap();
    let fleet = crate::Config { autoload: Vec::new(), ..test_fleet.settings.fleet.clone() };
    test_fleet.fleet.reconfigure(crate::FleetSettings { fleet, ..test_fleet.settings.clone() });
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.fleet.has_models()), ("draining", false));
    assert!(test_fleet.fleet.serve_any_model() && test_fleet.fleet.has_models());
}
