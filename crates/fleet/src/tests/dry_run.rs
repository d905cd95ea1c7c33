//! Loads that begin with the engine's dry run.

use super::test_fleet::{TestFleet, desired};

/// A fleet in which the first model's load has begun with a dry run.
async fn with_dry_run(models: &[&str]) -> TestFleet {
    let test_fleet = TestFleet::new(models, &[], None);
    test_fleet.engines.allow_dry_runs();
    test_fleet.fleet.set_desired(desired(models[0], 1)).await;
    test_fleet.settle().await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn a_load_starts_when_its_dry_run_has_ended() {
    let test_fleet = with_dry_run(&["one-q8_0"]).await;
    assert_eq!(
        (test_fleet.state("one-q8_0"), test_fleet.script("one-q8_0").calls()),
        ("loading", Vec::<String>::new())
    );
    test_fleet.engines.answer_dry_runs(None);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_removed_during_its_dry_run_never_starts() {
    let test_fleet = with_dry_run(&["one-q8_0", "two-q8_0"]).await;
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.engines.answer_dry_runs(Some("two-q8_0"));
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("two-q8_0")), ("absent", "ready"));
    assert_eq!(test_fleet.script("one-q8_0").calls(), [""; 0]);
    assert_eq!(test_fleet.ended(), 1, "its driver has ended too");
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_a_stop() {
    let test_fleet = with_dry_run(&["one-q8_0"]).await;
    test_fleet.fleet.stop().await;
    test_fleet.engines.answer_dry_runs(None);
    test_fleet.settle().await;
    assert_eq!(test_fleet.script("one-q8_0").calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_above_the_reservation_replans_the_load_without_a_second_dry_run() {
    let test_fleet = with_dry_run(&["one-q8_0"]).await;
    test_fleet.engines.count_in_dry_runs("one-q8_0", 1 << 30);
    test_fleet.settle().await;
    assert_eq!((test_fleet.engines.dry_runs("one-q8_0"), test_fleet.scripts("one-q8_0").len()), (0, 2));
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    let estimated = test_fleet.view("one-q8_0").unwrap().estimated;
    assert!(estimated.iter().map(|(_, bytes)| bytes).sum::<u64>() > 1 << 30, "{estimated:?}");
}

#[tokio::test(start_paused = true)]
async fn another_size_gets_its_own_dry_run() {
    let test_fleet = with_dry_run(&["one-q8_0"]).await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.spec("one-q8_0").slots, 2);
    assert_eq!(test_fleet.script("one-q8_0").calls(), [""; 0]);
    assert_eq!(test_fleet.engines.dry_runs("one-q8_0"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_job_is_served_also_when_the_shutdown_begins_during_the_dry_run() {
    let mut test_fleet = with_dry_run(&["one-q8_0"]).await;
    let answer = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.freeze();
    test_fleet.engines.count_in_dry_runs("one-q8_0", 1 << 30);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())));
}
