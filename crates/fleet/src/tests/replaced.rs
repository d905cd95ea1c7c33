//! Files of loaded models that are replaced or deleted.

use std::time::Duration;

use auxot_engine::ExitClass;
use tokio::sync::watch;

use super::house::{House, put_sized};
use crate::{Orders, Refusal};

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

/// Every name of a model gets the same refusal.
async fn refused(house: &House, names: &[&str]) -> String {
    let mut told = Vec::new();
    for name in names {
        let refusal = house.acquire(Some(name)).await.unwrap_err();
        told.push(match refusal {
            Refusal::UnknownModel { .. } => "unknown".to_owned(),
            other => other.to_string(),
        });
    }
    assert!(told.iter().all(|refusal| *refusal == told[0]), "{told:?}");
    told.remove(0)
}

const NAMES: [&str; 4] = ["one-q8_0", "ONE", "one:latest", "uno"];

/// A listed model with an alias, and jobs that may name any.
async fn listed() -> House {
    let fleet = crate::Config { autoload: vec!["one-q8_0".to_owned()], ..crate::Config::default() };
    let aliases = vec!["uno=one".to_owned().try_into().unwrap()];
    let catalog = auxot_catalog::Config { aliases, ..Default::default() };
    let house = House::of(&["one-q8_0", "two-q8_0"], Orders { fleet, catalog, ..Orders::default() });
    house.settle().await;
    tokio::time::sleep(SOON).await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_whose_file_is_gone_is_unknown_by_each_name_whatever_it_was_doing() {
    for state in ["ready", "failed", "starting"] {
        let house = listed().await;
        match state {
            "ready" => house.serve("one-q8_0").await,
            "failed" => house.stage("one-q8_0").exit(ExitClass::BadFile),
            _ => {}
        }
        house.settle().await;
        assert_eq!(house.state("one-q8_0"), state);
        std::fs::remove_file(house.folder().join("one-q8_0.gguf")).unwrap();
        while house.state("one-q8_0") != "away" {
            noticed(&house).await;
        }
        assert_eq!(refused(&house, &NAMES).await, "unknown", "{state}");
        assert_eq!(house.state("one-q8_0"), "away", "{state}");
        assert!(house.fleet.report().unmet.join(" ").contains("one-q8_0"), "{state}");
        house.put("one-q8_0");
        noticed(&house).await;
        assert_eq!(house.state("one-q8_0"), "starting", "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_sleeps_and_whose_file_is_gone_is_unknown_by_each_name() {
    let fleet = crate::Config {
        autoload: vec!["one-q8_0".to_owned()],
        ttl: Some(Duration::from_secs(60)),
        ..crate::Config::default()
    };
    let house = House::of(&["one-q8_0"], Orders { fleet, ..Orders::default() });
    house.settle().await;
    house.serve("one-q8_0").await;
    while house.state("one-q8_0") != "stopped" {
        tokio::time::sleep(SOON).await;
        house.settle().await;
    }
    std::fs::remove_file(house.folder().join("one-q8_0.gguf")).unwrap();
    noticed(&house).await;
    assert_eq!(refused(&house, &NAMES[..3]).await, "unknown");
    assert_eq!(house.stages("one-q8_0").len(), 1, "nothing is started for it");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_while_a_start_finds_no_file_is_told_so() {
    let mut house = serving().await;
    std::fs::remove_file(house.folder().join("one-q8_0.gguf")).unwrap();
    house.stage("one-q8_0").exit(ExitClass::FileChanged);
    house.settle().await;
    let mut told = house.waiting(Some("one-q8_0")).await;
    told.wait_for(Option::is_some).await.unwrap();
    assert!(matches!(&*told.borrow(), Some(Err(refusal)) if refusal.contains("no model `one-q8_0`")), "{told:?}");
    assert_eq!(house.state("one-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_has_failed_on_a_damaged_file_has_one_answer_for_each_name() {
    let house = listed().await;
    std::fs::write(house.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    house.stage("one-q8_0").exit(ExitClass::BadFile);
    noticed(&house).await;
    assert_eq!(house.state("one-q8_0"), "failed");
    assert!(refused(&house, &NAMES).await.contains("one-q8_0 has failed"));
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
