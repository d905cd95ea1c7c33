//! Engines and drivers that fail, the errors for jobs, and the retries.

use std::time::Duration;

use auxot_engine::ExitClass;

use super::test_fleet::{TestFleet, desired};
use crate::FleetSettings;

#[tokio::test(start_paused = true)]
async fn a_job_is_refused_at_once_when_the_driver_has_ended() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    let answer = test_fleet.waiting(None).await;
    test_fleet.script("one-q8_0").panic();
    test_fleet.settle().await;
    let reason = "one-q8_0 has failed: the worker's own task for the engine failed";
    assert_eq!(answer.borrow().clone(), Some(Err(reason.into())));
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    assert_eq!(test_fleet.acquire(None).await.unwrap_err().to_string(), reason);
}

#[tokio::test(start_paused = true)]
async fn availability_is_failed_once_every_model_has_failed() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], None);
    test_fleet.settle().await;
    assert_eq!(test_fleet.best(), "pending");
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.best(), "ready");
    test_fleet.script("two-q8_0").exit(ExitClass::BadFile);
    test_fleet.settle().await;
    assert_eq!(test_fleet.best(), "ready");
    let mut changes = test_fleet.fleet.changes();
    changes.mark_unchanged();
    test_fleet.script("one-q8_0").exit(ExitClass::BadFile);
    changes.changed().await.unwrap();
    test_fleet.settle().await;
    assert_eq!(test_fleet.best(), "failed");
    assert!(!test_fleet.fleet.serves() && test_fleet.fleet.has_models());
}

/// Two models that jobs may name. The router desires the second one, whose engine exits with this class.
async fn failed_policy(class: ExitClass) -> TestFleet {
    let test_fleet = TestFleet::of(&["one-q8_0", "two-q8_0"], FleetSettings::default());
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    test_fleet.script("two-q8_0").exit(class);
    test_fleet.settle().await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn other_models_serve_when_the_router_s_model_has_failed() {
    let mut test_fleet = failed_policy(ExitClass::BadFile).await;
    assert!(test_fleet.fleet.serves() && test_fleet.best() == "on_disk");
    let report = test_fleet.fleet.report();
    let models: Vec<_> = report.models.iter().map(|view| (&*view.model.name, view.state.name())).collect();
    assert_eq!(models, [("one-q8_0", "on_disk"), ("two-q8_0", "failed")]);
    assert_eq!(report.unmet.len(), 1);
    assert!(report.unmet[0].starts_with("two-q8_0 has failed: "), "{:?}", report.unmet);
    let answer = test_fleet.waiting(None).await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())));
    let refused = test_fleet.acquire(Some("two-q8_0")).await.unwrap_err().to_string();
    assert!(refused.starts_with("two-q8_0 has failed: "), "{refused}");
    test_fleet.fleet.reset(Some("two-q8_0")).unwrap();
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert!(test_fleet.fleet.report().unmet.is_empty(), "{:?}", test_fleet.fleet.report().unmet);
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "two-q8_0");
}

#[tokio::test(start_paused = true)]
async fn availability_is_failed_only_while_no_model_can_be_loaded() {
    let mut test_fleet = failed_policy(ExitClass::BadFile).await;
    let answer = test_fleet.waiting(None).await;
    test_fleet.script("one-q8_0").exit(ExitClass::BadFile);
    test_fleet.settle().await;
    assert!(
        answer
            .borrow()
            .clone()
            .is_some_and(|answer| answer.is_err_and(|error| error.starts_with("one-q8_0 has failed")))
    );
    assert_eq!(test_fleet.best(), "failed");
    test_fleet.put("three-q8_0");
    tokio::time::sleep(AFTER_INTERVAL).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.best(), "on_disk", "a new model appeared");
    let test_fleet = failed_policy(ExitClass::SpawnRefused).await;
    assert_eq!(test_fleet.best(), "failed", "without a program no other model helps");
}

/// Longer than the interval between two checks of the files.
const AFTER_INTERVAL: Duration = Duration::from_secs(31);

/// A fleet whose only model has failed with this class.
async fn failed(class: ExitClass) -> TestFleet {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.script("one-q8_0").exit(class);
    test_fleet.settle().await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn a_reset_retries_a_failed_model_and_a_failed_driver() {
    let test_fleet = failed(ExitClass::BadFile).await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    test_fleet.fleet.reset(None).unwrap();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
    test_fleet.script("one-q8_0").panic();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    test_fleet.fleet.reset(Some("one-q8_0")).unwrap();
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    assert!(test_fleet.fleet.reset(Some("none")).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_the_backoff() {
    let test_fleet = failed(ExitClass::Signal).await;
    test_fleet.script("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "backoff");
    test_fleet.fleet.reset(None).unwrap();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_retries_a_failed_model() {
    let test_fleet = failed(ExitClass::BadFile).await;
    for _ in 0..3 {
        tokio::time::sleep(AFTER_INTERVAL).await;
    }
    assert_eq!(test_fleet.scripts("one-q8_0").len(), 1, "the same file would fail the same way");
    test_fleet.put("one-q8_0");
    tokio::time::sleep(2 * AFTER_INTERVAL).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.state("one-q8_0")), (2, "loading"));
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "one-q8_0");
}

#[tokio::test(start_paused = true)]
async fn an_engine_program_that_reappears_retries_a_failed_model() {
    let test_fleet = failed(ExitClass::SpawnRefused).await;
    tokio::time::sleep(AFTER_INTERVAL).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    test_fleet.put_engine();
    tokio::time::sleep(2 * AFTER_INTERVAL).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "loading");
}

#[tokio::test(start_paused = true)]
async fn another_desired_size_retries_a_failed_model() {
    let test_fleet = failed(ExitClass::BadArgument).await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.spec("one-q8_0").slots), ("loading", 2));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_lacked_memory_is_retried_after_some_minutes() {
    let test_fleet = failed(ExitClass::DeviceMemory).await;
    while test_fleet.state("one-q8_0") != "failed" {
        test_fleet.script("one-q8_0").exit(ExitClass::HostMemory);
        test_fleet.settle().await;
    }
    let loads = test_fleet.scripts("one-q8_0").len();
    tokio::time::sleep(5 * AFTER_INTERVAL).await;
    assert_eq!(test_fleet.scripts("one-q8_0").len(), loads);
    tokio::time::sleep(6 * AFTER_INTERVAL).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.state("one-q8_0")), (loads + 1, "loading"));
}

#[tokio::test(start_paused = true)]
async fn every_failure_except_of_file_and_arguments_is_retried_after_some_minutes() {
    for class in ExitClass::ALL {
        let test_fleet = failed(class).await;
        // The supervisor's restarts and the smaller sizes are used up first.
        for _ in 0..1000 {
            if test_fleet.state("one-q8_0") == "failed" {
                break;
            }
            test_fleet.script("one-q8_0").exit(class);
            test_fleet.settle().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if test_fleet.state("one-q8_0") != "failed" {
            // `SpawnTrouble`, a lack of the worker's own resources, is retried for ever; a changed file is scanned and loaded
            // at once.
            assert!(matches!(class, ExitClass::SpawnTrouble | ExitClass::FileChanged), "{class:?}");
            continue;
        }
        let loads = test_fleet.scripts("one-q8_0").len();
        tokio::time::sleep(11 * AFTER_INTERVAL).await;
        test_fleet.settle().await;
        let again = test_fleet.scripts("one-q8_0").len() > loads;
        assert_eq!(again, class.can_pass(), "{class:?}");
    }
}
