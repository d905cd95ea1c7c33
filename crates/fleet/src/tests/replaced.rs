//! Files of loaded models that are replaced or deleted.

use std::time::Duration;

use super::house::{House, put_sized};

/// Longer than it takes to notice a change.
const SOON: Duration = Duration::from_secs(5);

async fn serving() -> House {
    let house = House::new(&["one-q8_0"], &["one-q8_0"], None);
    house.settle().await;
    house.serve("one-q8_0").await;
    // The folders are watched from now on.
    tokio::time::sleep(SOON).await;
    house
}

async fn noticed(house: &House) {
    let looks = house.fleet.looks();
    while house.fleet.looks() == looks {
        tokio::time::sleep(SOON).await;
        house.settle().await;
    }
    house.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_version_is_loaded_once_the_model_is_idle() {
    let house = serving().await;
    let job = house.acquire(Some("one")).await.unwrap();
    put_sized(house.folder(), "one-q8_0", 4096);
    noticed(&house).await;
    assert_eq!(house.stages("one-q8_0").len(), 1, "it has a job");
    assert_eq!(house.state("one-q8_0"), "ready");
    drop(job);
    house.settle().await;
    tokio::time::sleep(SOON).await;
    house.settle().await;
    assert_eq!(house.stages("one-q8_0").len(), 2, "the new version is loaded");
    let specs = house.specs("one-q8_0");
    assert_ne!(specs[0].files, specs[1].files);
    assert_eq!(specs[1].ctx_per_slot, Some(4096), "as its own header says");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_model_is_not_offered_and_comes_back_with_its_file() {
    let house = serving().await;
    std::fs::remove_file(house.folder().join("one-q8_0.gguf")).unwrap();
    noticed(&house).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(house.state("one-q8_0"), "away");
    assert!(house.fleet.report().unmet.join(" ").contains("one-q8_0"));
    house.put("one-q8_0");
    noticed(&house).await;
    assert_eq!(house.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn half_a_new_version_changes_nothing() {
    let house = serving().await;
    std::fs::write(house.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    noticed(&house).await;
    assert_eq!((house.state("one-q8_0"), house.stages("one-q8_0").len()), ("ready", 1));
}
