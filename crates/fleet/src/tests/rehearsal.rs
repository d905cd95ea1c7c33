//! A load that the engine's dry run goes before.

use super::house::{House, wish};

/// A house in which a load of the first model has begun with a dry run.
async fn rehearsed(models: &[&str]) -> House {
    let house = House::new(models, &[], None);
    house.theatre.rehearse();
    house.fleet.wish(wish(models[0], 1)).await;
    house.settle().await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_load_begins_when_its_dry_run_has_an_answer() {
    let house = rehearsed(&["one-q8_0"]).await;
    assert_eq!((house.state("one-q8_0"), house.stage("one-q8_0").calls()), ("starting", Vec::<String>::new()));
    house.theatre.answer_dry_runs(None);
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!(house.state("one-q8_0"), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_let_go_meanwhile_is_gone_at_once_and_never_begins() {
    let house = rehearsed(&["one-q8_0", "two-q8_0"]).await;
    assert_eq!(house.state("one-q8_0"), "starting");
    house.fleet.wish(wish("two-q8_0", 1)).await;
    house.theatre.answer_dry_runs(Some("two-q8_0"));
    house.settle().await;
    house.serve("two-q8_0").await;
    assert_eq!((house.state("one-q8_0"), house.state("two-q8_0")), ("away", "ready"));
    assert_eq!(house.stage("one-q8_0").calls(), [""; 0]);
    assert_eq!(house.ended(), 1, "its driver too");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_after_the_end() {
    let house = rehearsed(&["one-q8_0"]).await;
    house.fleet.stop(std::time::Duration::ZERO).await;
    house.theatre.answer_dry_runs(None);
    house.settle().await;
    assert_eq!(house.stage("one-q8_0").calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_turns_out_to_need_more_is_planned_again_and_not_asked_again() {
    let house = rehearsed(&["one-q8_0"]).await;
    house.theatre.count_in_dry_runs("one-q8_0", 1 << 30);
    house.settle().await;
    assert_eq!((house.theatre.dry_runs("one-q8_0"), house.stages("one-q8_0").len()), (0, 2));
    house.serve("one-q8_0").await;
    assert_eq!(house.state("one-q8_0"), "ready");
    let expected = house.view("one-q8_0").unwrap().expected;
    assert!(expected.iter().map(|(_, bytes)| bytes).sum::<u64>() > 1 << 30, "{expected:?}");
}

#[tokio::test(start_paused = true)]
async fn another_size_is_asked_for_anew() {
    let house = rehearsed(&["one-q8_0"]).await;
    house.fleet.wish(wish("one-q8_0", 2)).await;
    house.settle().await;
    assert_eq!(house.spec("one-q8_0").slots, 2);
    assert_eq!(house.stage("one-q8_0").calls(), [""; 0]);
    assert_eq!(house.theatre.dry_runs("one-q8_0"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_is_served_also_when_the_end_of_the_worker_begins_meanwhile() {
    let mut house = rehearsed(&["one-q8_0"]).await;
    let told = house.waiting(Some("one-q8_0")).await;
    house.fleet.freeze();
    house.theatre.count_in_dry_runs("one-q8_0", 1 << 30);
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
}
