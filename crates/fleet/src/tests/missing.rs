//! Models that are not here yet: told as missing, found when they come.

use std::time::Duration;

use super::house::{House, wish};
use crate::Outlook;

/// Longer than between two looks.
const LATER: Duration = Duration::from_secs(31);

#[tokio::test(start_paused = true)]
async fn the_gap_of_a_recalled_policy_goes_with_the_next_policy() {
    let house = House::new(&["own-q8_0", "one-q8_0"], &["own-q8_0"], Some(wish("gone-q8_0", 2)));
    house.settle().await;
    assert!(house.fleet.report().unmet.join(" ").contains("gone-q8_0"));
    assert!(house.fleet.wish(wish("one-q8_0", 2)).await.is_empty());
    assert!(house.fleet.report().unmet.is_empty(), "{:?}", house.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_missing_model_is_loaded_when_its_file_comes() {
    let house = House::new(&["own-q8_0"], &["own-q8_0", "listed-q8_0"], Some(wish("wished-q8_0", 3)));
    house.settle().await;
    assert_eq!(house.fleet.report().unmet.len(), 2);
    house.put("listed-q8_0");
    house.put("wished-q8_0");
    tokio::time::sleep(LATER).await;
    house.settle().await;
    assert_eq!((house.state("listed-q8_0"), house.state("wished-q8_0")), ("starting", "starting"));
    assert_eq!(house.spec("wished-q8_0").slots, 3);
    assert!(house.fleet.report().unmet.is_empty(), "{:?}", house.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_policy_looks_for_its_model_itself_but_not_all_the_time() {
    let house = House::new(&[], &[], None);
    house.settle().await;
    assert_eq!(house.fleet.outlook(), Outlook::Nothing);
    house.put("one-q8_0");
    // Whether the folders have told of it by now or not: they were looked through a moment ago.
    let told = house.fleet.wish(wish("one-q8_0", 2)).await;
    assert!(told.iter().all(|gap| gap.contains("cannot find model one-q8_0")), "{told:?}");
    tokio::time::advance(LATER).await;
    assert!(house.fleet.wish(wish("one-q8_0", 2)).await.is_empty());
    assert_eq!(house.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_names_a_missing_model_has_it_looked_for_and_waits_for_its_load() {
    let mut house = House::new(&["own-q8_0"], &["own-q8_0", "late-q8_0"], None);
    house.settle().await;
    house.put("late-q8_0");
    tokio::time::advance(LATER).await;
    let told = house.waiting(Some("late-q8_0")).await;
    while house.state("late-q8_0") == "away" {
        house.fleet.changes().changed().await.unwrap();
    }
    house.settle().await;
    house.serve("late-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("late-q8_0".into())));
}
