//! Files of loaded models that are replaced or deleted.

use std::time::Duration;

use auxot_instance::ExitClass;
use tokio::sync::watch;

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

/// The engine has ended by itself, and its next start finds another file than was planned with. A job waits.
async fn finds_another_file(house: &mut House) -> watch::Receiver<Option<Result<String, String>>> {
    house.stage("one-q8_0").exit(ExitClass::FileChanged);
    house.settle().await;
    house.waiting(None).await
}

#[tokio::test(start_paused = true)]
async fn jobs_wait_for_a_new_version_that_is_found_at_a_start() {
    let mut house = serving().await;
    put_sized(house.folder(), "one-q8_0", 4096);
    let told = finds_another_file(&mut house).await;
    noticed(&house).await;
    assert_eq!(house.stages("one-q8_0").len(), 2, "the new version is loaded");
    assert_eq!(house.specs("one-q8_0")[1].ctx_per_slot, Some(4096), "as its own header says");
    house.serve("one-q8_0").await;
    assert!(matches!(*told.borrow(), Some(Ok(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_that_is_found_at_a_start_is_told_as_that() {
    let mut house = serving().await;
    std::fs::write(house.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    let told = finds_another_file(&mut house).await;
    noticed(&house).await;
    let reason = "one-q8_0 has failed: the model file is missing or damaged";
    assert_eq!(told.borrow().clone(), Some(Err(reason.into())));
    assert_eq!((house.state("one-q8_0"), house.stages("one-q8_0").len()), ("failed", 1));
    put_sized(house.folder(), "one-q8_0", 4096);
    // A whole file is a way out.
    while house.state("one-q8_0") == "failed" {
        noticed(&house).await;
    }
    assert_eq!(house.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_rewritten_all_the_time_is_tried_less_and_less_often() {
    let mut house = serving().await;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let (began, starts) = (tokio::time::Instant::now(), house.stages("one-q8_0").len());
        house.stage("one-q8_0").exit(ExitClass::FileChanged);
        while house.stages("one-q8_0").len() == starts {
            house.settle().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pauses.push(began.elapsed().as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
    house.serve("one-q8_0").await;
    finds_another_file(&mut house).await;
    let told = finds_another_file(&mut house).await;
    assert_eq!(*told.borrow(), None, "the next scan begins after a pause");
    house.fleet.freeze();
    house.settle().await;
    let reason = "one-q8_0 has failed: the model file is another one now, or gone";
    assert_eq!(told.borrow().clone(), Some(Err(reason.into())), "no scan comes any more: the job ends");
}
