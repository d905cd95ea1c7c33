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
    test_fleet.make_ready("one-q8_0").await;
    // The folders are watched from now on.
    tokio::time::sleep(SOON).await;
    test_fleet
}

async fn next_scan(test_fleet: &TestFleet) {
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
    next_scan(&test_fleet).await;
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 1, "it has a job");
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    drop(job);
    test_fleet.settle().await;
    tokio::time::sleep(SOON).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 2, "the new version is loaded");
    let specs = test_fleet.specs("one-q8_0");
    assert_ne!(specs[0].files, specs[1].files);
    assert_eq!(specs[1].ctx_per_slot, 4096, "the context of its own header");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_model_is_not_offered_until_its_file_returns() {
    let test_fleet = serving().await;
    std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
    next_scan(&test_fleet).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(test_fleet.state("one-q8_0"), "absent");
    assert!(test_fleet.fleet.report().unmet.join(" ").contains("one-q8_0"));
    test_fleet.put("one-q8_0");
    next_scan(&test_fleet).await;
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
}

/// Asserts that every name of a model gets the same refusal, and returns it.
async fn refused(test_fleet: &TestFleet, names: &[&str]) -> String {
    let mut refusals = Vec::new();
    for name in names {
        let refusal = test_fleet.acquire(Some(name)).await.unwrap_err();
        refusals.push(match refusal {
            Refusal::UnknownModel { .. } => "unknown".to_owned(),
            other => other.to_string(),
        });
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    refusals.remove(0)
}

const NAMES: [&str; 4] = ["one-q8_0", "ONE", "one:latest", "uno"];

/// A listed model with an alias; jobs may name any model.
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
async fn a_listed_model_without_a_file_is_unknown_by_each_name_in_every_state() {
    for state in ["ready", "failed", "loading"] {
        let test_fleet = listed().await;
        match state {
            "ready" => test_fleet.make_ready("one-q8_0").await,
            "failed" => test_fleet.script("one-q8_0").exit(ExitClass::BadFile),
            _ => {}
        }
        test_fleet.settle().await;
        assert_eq!(test_fleet.state("one-q8_0"), state);
        std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
        while test_fleet.state("one-q8_0") != "absent" {
            next_scan(&test_fleet).await;
        }
        assert_eq!(refused(&test_fleet, &NAMES).await, "unknown", "{state}");
        assert_eq!(test_fleet.state("one-q8_0"), "absent", "{state}");
        assert!(test_fleet.fleet.report().unmet.join(" ").contains("one-q8_0"), "{state}");
        test_fleet.put("one-q8_0");
        next_scan(&test_fleet).await;
        assert_eq!(test_fleet.state("one-q8_0"), "loading", "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unloaded_model_without_a_file_is_unknown_by_each_name() {
    let fleet = crate::Config {
        autoload: vec!["one-q8_0".to_owned()],
        ttl: Some(Duration::from_secs(60)),
        ..crate::Config::default()
    };
    let test_fleet = TestFleet::of(&["one-q8_0"], FleetSettings { fleet, ..FleetSettings::default() });
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    while test_fleet.state("one-q8_0") != "on_disk" {
        tokio::time::sleep(SOON).await;
        test_fleet.settle().await;
    }
    std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
    next_scan(&test_fleet).await;
    assert_eq!(refused(&test_fleet, &NAMES[..3]).await, "unknown");
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 1, "nothing is started for it");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_job_is_refused_when_a_start_finds_no_file() {
    let mut test_fleet = serving().await;
    std::fs::remove_file(test_fleet.folder().join("one-q8_0.gguf")).unwrap();
    test_fleet.script("one-q8_0").exit(ExitClass::FileChanged);
    test_fleet.settle().await;
    let mut answer = test_fleet.waiting(Some("one-q8_0")).await;
    answer.wait_for(Option::is_some).await.unwrap();
    assert!(matches!(&*answer.borrow(), Some(Err(refusal)) if refusal.contains("no model `one-q8_0`")), "{answer:?}");
    assert_eq!(test_fleet.state("one-q8_0"), "absent");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_failed_on_a_damaged_file_has_one_answer_for_each_name() {
    let test_fleet = listed().await;
    std::fs::write(test_fleet.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    test_fleet.script("one-q8_0").exit(ExitClass::BadFile);
    next_scan(&test_fleet).await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    assert!(refused(&test_fleet, &NAMES).await.contains("one-q8_0 has failed"));
}

#[tokio::test(start_paused = true)]
async fn a_half_written_new_version_changes_nothing() {
    let test_fleet = serving().await;
    std::fs::write(test_fleet.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    next_scan(&test_fleet).await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.scripts("one-q8_0").len()), ("ready", 1));
}

/// The engine exits, and its next start finds another file than the planned one. A job waits.
async fn finds_another_file(test_fleet: &mut TestFleet) -> watch::Receiver<Option<Result<String, String>>> {
    test_fleet.script("one-q8_0").exit(ExitClass::FileChanged);
    test_fleet.settle().await;
    test_fleet.waiting(None).await
}

#[tokio::test(start_paused = true)]
async fn jobs_wait_for_a_new_version_that_is_found_at_a_start() {
    let mut test_fleet = serving().await;
    put_sized(test_fleet.folder(), "one-q8_0", 4096);
    let answer = finds_another_file(&mut test_fleet).await;
    next_scan(&test_fleet).await;
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 2, "the new version is loaded");
    assert_eq!(test_fleet.specs("one-q8_0")[1].ctx_per_slot, 4096, "the context of its own header");
    test_fleet.make_ready("one-q8_0").await;
    assert!(matches!(*answer.borrow(), Some(Ok(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_found_at_a_start_is_reported_as_such() {
    let mut test_fleet = serving().await;
    std::fs::write(test_fleet.folder().join("one-q8_0.gguf"), "GGUF").unwrap();
    let answer = finds_another_file(&mut test_fleet).await;
    next_scan(&test_fleet).await;
    let reason = "one-q8_0 has failed: the model file is missing or damaged";
    assert_eq!(answer.borrow().clone(), Some(Err(reason.into())));
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.scripts("one-q8_0").len()), ("failed", 1));
    put_sized(test_fleet.folder(), "one-q8_0", 4096);
    // A complete file ends the failure.
    while test_fleet.state("one-q8_0") == "failed" {
        next_scan(&test_fleet).await;
    }
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_rewritten_repeatedly_is_retried_less_and_less_often() {
    let mut test_fleet = serving().await;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let (began, starts) = (tokio::time::Instant::now(), test_fleet.scripts("one-q8_0").len());
        test_fleet.script("one-q8_0").exit(ExitClass::FileChanged);
        while test_fleet.scripts("one-q8_0").len() == starts {
            test_fleet.settle().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pauses.push(began.elapsed().as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
    test_fleet.make_ready("one-q8_0").await;
    finds_another_file(&mut test_fleet).await;
    let answer = finds_another_file(&mut test_fleet).await;
    assert_eq!(*answer.borrow(), None, "the next scan begins after a pause");
    test_fleet.fleet.freeze();
    test_fleet.settle().await;
    let reason = "one-q8_0 has failed: the model file was replaced or removed";
    assert_eq!(answer.borrow().clone(), Some(Err(reason.into())), "without a scan the job fails");
}
