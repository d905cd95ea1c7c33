//! Files of loaded models that are replaced or deleted.

use std::time::Duration;

use auxot_engine::ExitClass;
use tokio::sync::watch;

use super::test_fleet::{TestFleet, put_sized};
use crate::{FleetSettings, Refusal};

/// Longer than it takes to notice a change.
const SOON: Duration = Duration::from_secs(5);

async fn serving() -> TestFleet {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    // The folders are watched from now on.
    tokio::time::sleep(SOON).await;
    test_fleet
}

async fn noticed(test_fleet: &TestFleet) {
    let scans = test_fleet.fleet.scans();
    while test_fleet.fleet.scans() == scans {
        tokio::time::sleep(SOON).await;
        test_fleet.settle().await;
    }
    test_fleet.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_version_is_loaded_once_the_model_is_idle() {
    let test_fleet = serving().await;
    let job = test_fleet.acquire(Some("one")).await.unwrap();
    put_sized(test_fleet.folder(), "one-q8_0", 4096);
    noticed(&test_fleet).await;
    assert_eq!(test_fleet.stages("one-q8_0").len(), 1, "it has a job");
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    drop(job);
    test_fleet.settle().await;
    tokio::time::sleep(SOON).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.stages("one-q8_0").len(), 2, "the new version is loaded");
    let specs = test_fleet.specs("one-q8_0");
    assert_ne!(specs[0].files, specs[1].files);
    assert_eq!(specs[1].ctx_per_slot, Some(4096), "as its own header says");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_model_is_not_offered_and_comes_back_with_its_file() {
    let test_fleet = serving().await;
    std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
    noticed(&test_fleet).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.state("one-q8_0"), "away");
    assert!(test_fleet.fleet.report().unmet.join(" ").contains("one-q8_0"));
    test_fleet.put("one-q8_0");
    noticed(&test_fleet).await;
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
}

/// Every name of a model gets the same refusal.
async fn refused(test_fleet: &TestFleet, names: &[&str]) -> String {
    let mut told = Vec::new();
    for name in names {
        let refusal = test_fleet.acquire(Some(name)).await.unwrap_err();
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
async fn listed() -> TestFleet {
    let fleet = crate::Config { autoload: vec!["one-q8_0".to_owned()], ..crate::Config::default() };
    let aliases = vec!["uno=one".to_owned().try_into().unwrap()];
    let catalog = auxot_catalog::Config { aliases, ..Default::default() };
    let test_fleet =
        TestFleet::of(&["one-q8_0", "two-q8_0"], FleetSettings { fleet, catalog, ..FleetSettings::default() });
    test_fleet.settle().await;
    tokio::time::sleep(SOON).await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_whose_file_is_gone_is_unknown_by_each_name_whatever_it_was_doing() {
    for state in ["ready", "failed", "starting"] {
        let test_fleet = listed().await;
        match state {
            "ready" => test_fleet.serve("one-q8_0").await,
            "failed" => test_fleet.stage("one-q8_0").exit(ExitClass::BadFile),
            _ => {}
        }
        test_fleet.settle().await;
        assert_eq!(test_fleet.state("one-q8_0"), state);
        std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
        while test_fleet.state("one-q8_0") != "away" {
            noticed(&test_fleet).await;
        }
        assert_eq!(refused(&test_fleet, &NAMES).await, "unknown", "{state}");
        assert_eq!(test_fleet.state("one-q8_0"), "away", "{state}");
        assert!(test_fleet.fleet.report().unmet.join(" ").contains("one-q8_0"), "{state}");
        test_fleet.put("one-q8_0");
        noticed(&test_fleet).await;
        assert_eq!(test_fleet.state("one-q8_0"), "starting", "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_sleeps_and_whose_file_is_gone_is_unknown_by_each_name() {
    let fleet = crate::Config {
        autoload: vec!["one-q8_0".to_owned()],
        ttl: Some(Duration::from_secs(60)),
        ..crate::Config::default()
    };
    let test_fleet = TestFleet::of(&["one-q8_0"], FleetSettings { fleet, ..FleetSettings::default() });
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    while test_fleet.state("one-q8_0") != "stopped" {
        tokio::time::sleep(SOON).await;
        test_fleet.settle().await;
    }
    std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
    noticed(&test_fleet).await;
    assert_eq!(refused(&test_fleet, &NAMES[..3]).await, "unknown");
    assert_eq!(test_fleet.stages("one-q8_0").len(), 1, "nothing is started for it");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_while_a_start_finds_no_file_is_told_so() {
    let mut test_fleet = serving().await;
    std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
    test_fleet.stage("one-q8_0").exit(ExitClass::FileChanged);
    test_fleet.settle().await;
    let mut told = test_fleet.waiting(Some("one-q8_0")).await;
    told.wait_for(Option::is_some).await.unwrap();
    assert!(matches!(&*told.borrow(), Some(Err(refusal)) if refusal.contains("no model `one-q8_0`")), "{told:?}");
    assert_eq!(test_fleet.state("one-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_has_failed_on_a_damaged_file_has_one_answer_for_each_name() {
    let test_fleet = listed().await;
    std::fs::write(test_fleet.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    test_fleet.stage("one-q8_0").exit(ExitClass::BadFile);
    noticed(&test_fleet).await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    assert!(refused(&test_fleet, &NAMES).await.contains("one-q8_0 has failed"));
}

#[tokio::test(start_paused = true)]
async fn half_a_new_version_changes_nothing() {
    let test_fleet = serving().await;
    std::fs::write(test_fleet.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    noticed(&test_fleet).await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("one-q8_0").len()), ("ready", 1));
}

/// The engine has ended by itself, and its next start finds another file than was planned with. A job waits.
async fn finds_another_file(test_fleet: &mut TestFleet) -> watch::Receiver<Option<Result<String, String>>> {
    test_fleet.stage("one-q8_0").exit(ExitClass::FileChanged);
    test_fleet.settle().await;
    test_fleet.waiting(None).await
}

#[tokio::test(start_paused = true)]
async fn jobs_wait_for_a_new_version_that_is_found_at_a_start() {
    let mut test_fleet = serving().await;
    put_sized(test_fleet.folder(), "one-q8_0", 4096);
    let told = finds_another_file(&mut test_fleet).await;
    noticed(&test_fleet).await;
    assert_eq!(test_fleet.stages("one-q8_0").len(), 2, "the new version is loaded");
    assert_eq!(test_fleet.specs("one-q8_0")[1].ctx_per_slot, Some(4096), "as its own header says");
    test_fleet.serve("one-q8_0").await;
    assert!(matches!(*told.borrow(), Some(Ok(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_that_is_found_at_a_start_is_told_as_that() {
    let mut test_fleet = serving().await;
    std::fs::write(test_fleet.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    let told = finds_another_file(&mut test_fleet).await;
    noticed(&test_fleet).await;
    let reason = "one-q8_0 has failed: the model file is missing or damaged";
    assert_eq!(told.borrow().clone(), Some(Err(reason.into())));
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("one-q8_0").len()), ("failed", 1));
    put_sized(test_fleet.folder(), "one-q8_0", 4096);
    // A whole file is a way out.
    while test_fleet.state("one-q8_0") == "failed" {
        noticed(&test_fleet).await;
    }
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_rewritten_all_the_time_is_tried_less_and_less_often() {
    let mut test_fleet = serving().await;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let (began, starts) = (tokio::time::Instant::now(), test_fleet.stages("one-q8_0").len());
        test_fleet.stage("one-q8_0").exit(ExitClass::FileChanged);
        while test_fleet.stages("one-q8_0").len() == starts {
            test_fleet.settle().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pauses.push(began.elapsed().as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
    test_fleet.serve("one-q8_0").await;
    finds_another_file(&mut test_fleet).await;
    let told = finds_another_file(&mut test_fleet).await;
    assert_eq!(*told.borrow(), None, "the next scan begins after a pause");
    test_fleet.fleet.freeze();
    test_fleet.settle().await;
    let reason = "one-q8_0 has failed: the model file was replaced or removed";
    assert_eq!(told.borrow().clone(), Some(Err(reason.into())), "no scan comes any more: the job ends");
}
