//! A load that the engine's dry run goes before.

use super::test_fleet::{TestFleet, desired};

/// A house in which a load of the first model has begun with a dry run.
async fn rehearsed(models: &[&str]) -> TestFleet {
    let test_fleet = TestFleet::new(models, &[], None);
    test_fleet.engines.allow_dry_runs();
    test_fleet.fleet.set_desired(desired(models[0], 1)).await;
    test_fleet.settle().await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn a_load_begins_when_its_dry_run_has_an_answer() {
    let test_fleet = rehearsed(&["one-q8_0"]).await;
    assert_eq!(
        (test_fleet.state("one-q8_0"), test_fleet.stage("one-q8_0").calls()),
        ("starting", Vec::<String>::new())
    );
    test_fleet.engines.answer_dry_runs(None);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_let_go_meanwhile_is_gone_at_once_and_never_begins() {
    let test_fleet = rehearsed(&["one-q8_0", "two-q8_0"]).await;
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.engines.answer_dry_runs(Some("two-q8_0"));
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.state("two-q8_0")), ("away", "ready"));
    assert_eq!(test_fleet.stage("one-q8_0").calls(), [""; 0]);
    assert_eq!(test_fleet.ended(), 1, "its driver too");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_after_the_end() {
    let test_fleet = rehearsed(&["one-q8_0"]).await;
    test_fleet.fleet.stop().await;
    test_fleet.engines.answer_dry_runs(None);
    test_fleet.settle().await;
    assert_eq!(test_fleet.stage("one-q8_0").calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_turns_out_to_need_more_is_planned_again_and_not_asked_again() {
    let test_fleet = rehearsed(&["one-q8_0"]).await;
    test_fleet.engines.count_in_dry_runs("one-q8_0", 1 << 30);
    test_fleet.settle().await;
    assert_eq!((test_fleet.engines.dry_runs("one-q8_0"), test_fleet.stages("one-q8_0").len()), (0, 2));
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    let expected = test_fleet.view("one-q8_0").unwrap().expected;
    assert!(expected.iter().map(|(_, bytes)| bytes).sum::<u64>() > 1 << 30, "{expected:?}");
}

#[tokio::test(start_paused = true)]
async fn another_size_is_asked_for_anew() {
    let test_fleet = rehearsed(&["one-q8_0"]).await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.spec("one-q8_0").slots, 2);
    assert_eq!(test_fleet.stage("one-q8_0").calls(), [""; 0]);
    assert_eq!(test_fleet.engines.dry_runs("one-q8_0"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_is_served_also_when_the_end_of_the_worker_begins_meanwhile() {
    let mut test_fleet = rehearsed(&["one-q8_0"]).await;
    let told = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.freeze();
    test_fleet.engines.count_in_dry_runs("one-q8_0", 1 << 30);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
}
