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
    assert_eq!((house.state("one-q8_0"), house.stage("one-q8_0").seen()), ("starting", Vec::<String>::new()));
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
    assert_eq!(house.stage("one-q8_0").seen(), [""; 0]);
    assert_eq!(house.ended(), 1, "its driver too");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_after_the_end() {
    let house = rehearsed(&["one-q8_0"]).await;
    house.fleet.stop(std::time::Duration::ZERO).await;
    house.theatre.answer_dry_runs(None);
    house.settle().await;
    assert_eq!(house.stage("one-q8_0").seen(), [""; 0]);
}
