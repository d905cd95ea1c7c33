//! Engines and drivers that fail, and who is told.

use std::time::Duration;

use auxot_engine::ExitClass;

use super::test_fleet::{TestFleet, desired};
use crate::{Availability, FleetSettings};

#[tokio::test(start_paused = true)]
async fn a_job_whose_driver_is_gone_is_refused_at_once() {
    let mut test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    let told = test_fleet.waiting(None).await;
    test_fleet.stage("one-q8_0").panic();
    test_fleet.settle().await;
    let reason = "one-q8_0 has failed: the worker's own task for the engine failed";
    assert_eq!(told.borrow().clone(), Some(Err(reason.into())));
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    assert_eq!(test_fleet.acquire(None).await.unwrap_err().to_string(), reason);
}

#[tokio::test(start_paused = true)]
async fn the_outlook_tells_when_every_model_has_failed() {
    let test_fleet = TestFleet::new(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], None);
    test_fleet.settle().await;
    assert_eq!(test_fleet.fleet.availability(), Availability::Coming);
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.fleet.availability(), Availability::Serving);
    test_fleet.stage("two-q8_0").exit(ExitClass::BadFile);
    test_fleet.settle().await;
    assert_eq!(test_fleet.fleet.availability(), Availability::Serving);
    let mut changes = test_fleet.fleet.changes();
    changes.mark_unchanged();
    test_fleet.stage("one-q8_0").exit(ExitClass::BadFile);
    changes.changed().await.unwrap();
    test_fleet.settle().await;
    assert_eq!(test_fleet.fleet.availability(), Availability::Failed);
    assert!(!test_fleet.fleet.serves() && test_fleet.fleet.has_models());
}

/// Two models that jobs may name, of which the router wishes for the second, which ends so.
async fn failed_policy(class: ExitClass) -> TestFleet {
    let test_fleet = TestFleet::of(&["one-q8_0", "two-q8_0"], FleetSettings::default());
    test_fleet.fleet.set_desired(desired("two-q8_0", 1)).await;
    test_fleet.settle().await;
    test_fleet.stage("two-q8_0").exit(class);
    test_fleet.settle().await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn where_the_router_s_model_has_failed_the_others_are_served() {
    let mut test_fleet = failed_policy(ExitClass::BadFile).await;
    assert!(test_fleet.fleet.serves() && test_fleet.fleet.availability() == Availability::Asleep);
    let report = test_fleet.fleet.report();
    let told: Vec<_> = report.models.iter().map(|view| (&*view.model.name, view.asleep)).collect();
    assert_eq!(told, [("one-q8_0", true), ("two-q8_0", false)]);
    assert_eq!(report.unmet.len(), 1);
    assert!(report.unmet[0].starts_with("two-q8_0 has failed: "), "{:?}", report.unmet);
    let told = test_fleet.waiting(None).await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    let refused = test_fleet.acquire(Some("two-q8_0")).await.unwrap_err().to_string();
    assert!(refused.starts_with("two-q8_0 has failed: "), "{refused}");
    test_fleet.fleet.reset(Some("two-q8_0")).unwrap();
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert!(test_fleet.fleet.report().unmet.is_empty(), "{:?}", test_fleet.fleet.report().unmet);
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "two-q8_0");
}

#[tokio::test(start_paused = true)]
async fn only_where_nothing_could_take_a_job_has_everything_failed() {
    let mut test_fleet = failed_policy(ExitClass::BadFile).await;
    let told = test_fleet.waiting(None).await;
    test_fleet.stage("one-q8_0").exit(ExitClass::BadFile);
    test_fleet.settle().await;
    assert!(told.borrow().clone().is_some_and(|told| told.is_err_and(|told| told.starts_with("one-q8_0 has failed"))));
    assert_eq!(test_fleet.fleet.availability(), Availability::Failed);
    test_fleet.put("three-q8_0");
    tokio::time::sleep(LATER).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.fleet.availability(), Availability::Asleep, "one has come");
    let test_fleet = failed_policy(ExitClass::SpawnRefused).await;
    assert_eq!(
        test_fleet.fleet.availability(),
        Availability::Failed,
        "without a program there is no use in another model"
    );
}

/// Longer than between two looks at the files.
const LATER: Duration = Duration::from_secs(31);

/// A house whose only model has failed for this reason.
async fn failed(class: ExitClass) -> TestFleet {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 1)));
    test_fleet.settle().await;
    test_fleet.stage("one-q8_0").exit(class);
    test_fleet.settle().await;
    test_fleet
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_a_way_out_of_a_failure_and_of_a_failed_driver_too() {
    let test_fleet = failed(ExitClass::BadFile).await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    test_fleet.fleet.reset(None).unwrap();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
    test_fleet.stage("one-q8_0").panic();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    test_fleet.fleet.reset(Some("one-q8_0")).unwrap();
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    assert!(test_fleet.fleet.reset(Some("none")).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_a_back_off() {
    let test_fleet = failed(ExitClass::Signal).await;
    test_fleet.stage("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "backing_off");
    test_fleet.fleet.reset(None).unwrap();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_a_way_out() {
    let test_fleet = failed(ExitClass::BadFile).await;
    for _ in 0..3 {
        tokio::time::sleep(LATER).await;
    }
    assert_eq!(test_fleet.stages("one-q8_0").len(), 1, "the same file would fail the same way");
    test_fleet.put("one-q8_0");
    tokio::time::sleep(2 * LATER).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.stages("one-q8_0").len(), test_fleet.state("one-q8_0")), (2, "starting"));
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "one-q8_0");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_comes_back_is_a_way_out() {
    let test_fleet = failed(ExitClass::SpawnRefused).await;
    tokio::time::sleep(LATER).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "failed");
    test_fleet.put_engine();
    tokio::time::sleep(2 * LATER).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn another_size_is_a_way_out() {
    let test_fleet = failed(ExitClass::BadArgument).await;
    test_fleet.fleet.set_desired(desired("one-q8_0", 2)).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.spec("one-q8_0").slots), ("starting", 2));
}

#[tokio::test(start_paused = true)]
async fn memory_that_was_short_is_asked_for_again_after_some_minutes() {
    let test_fleet = failed(ExitClass::DeviceMemory).await;
    while test_fleet.state("one-q8_0") != "failed" {
        test_fleet.stage("one-q8_0").exit(ExitClass::HostMemory);
        test_fleet.settle().await;
    }
    let loads = test_fleet.stages("one-q8_0").len();
    tokio::time::sleep(5 * LATER).await;
    assert_eq!(test_fleet.stages("one-q8_0").len(), loads);
    tokio::time::sleep(6 * LATER).await;
    test_fleet.settle().await;
    assert_eq!((test_fleet.stages("one-q8_0").len(), test_fleet.state("one-q8_0")), (loads + 1, "starting"));
}

#[tokio::test(start_paused = true)]
async fn every_failure_but_of_file_and_arguments_has_a_way_out_that_takes_some_minutes() {
    for class in ExitClass::ALL {
        let test_fleet = failed(class).await;
        // What is tried again by itself is let fail until it is not, and sizes until there is no smaller one.
        for _ in 0..1000 {
            if test_fleet.state("one-q8_0") == "failed" {
                break;
            }
            test_fleet.stage("one-q8_0").exit(class);
            test_fleet.settle().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if test_fleet.state("one-q8_0") != "failed" {
            // Want of our own means is tried for ever, and a changed file is scanned and loaded at once.
            assert!(matches!(class, ExitClass::SpawnTrouble | ExitClass::FileChanged), "{class:?}");
            continue;
        }
        let loads = test_fleet.stages("one-q8_0").len();
        tokio::time::sleep(11 * LATER).await;
        test_fleet.settle().await;
        let again = test_fleet.stages("one-q8_0").len() > loads;
        assert_eq!(again, class.can_pass(), "{class:?}");
    }
}
