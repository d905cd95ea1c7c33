//! Engines and drivers that fail, and who is told.

use std::time::Duration;

use auxot_engine::ExitClass;

use super::house::{House, wish};
use crate::{Orders, Outlook};

#[tokio::test(start_paused = true)]
async fn a_job_whose_driver_is_gone_is_refused_at_once() {
    let mut house = House::new(&["one-q8_0"], &["one-q8_0"], None);
    house.settle().await;
    let told = house.waiting(None).await;
    house.stage("one-q8_0").panic();
    house.settle().await;
    let reason = "one-q8_0 has failed: the worker's own task for the engine failed";
    assert_eq!(told.borrow().clone(), Some(Err(reason.into())));
    assert_eq!(house.state("one-q8_0"), "failed");
    assert_eq!(house.acquire(None).await.unwrap_err().to_string(), reason);
}

#[tokio::test(start_paused = true)]
async fn the_outlook_tells_when_every_model_has_failed() {
    let house = House::new(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], None);
    house.settle().await;
    assert_eq!(house.fleet.outlook(), Outlook::Coming);
    house.serve("one-q8_0").await;
    assert_eq!(house.fleet.outlook(), Outlook::Serving);
    house.stage("two-q8_0").exit(ExitClass::BadFile);
    house.settle().await;
    assert_eq!(house.fleet.outlook(), Outlook::Serving);
    let mut changes = house.fleet.changes();
    changes.mark_unchanged();
    house.stage("one-q8_0").exit(ExitClass::BadFile);
    changes.changed().await.unwrap();
    house.settle().await;
    assert_eq!(house.fleet.outlook(), Outlook::Failed);
    assert!(!house.fleet.serves() && house.fleet.has_models());
}

/// Two models that jobs may name, of which the router wishes for the second, which ends so.
async fn failed_policy(class: ExitClass) -> House {
    let house = House::of(&["one-q8_0", "two-q8_0"], Orders::default());
    house.fleet.wish(wish("two-q8_0", 1)).await;
    house.settle().await;
    house.stage("two-q8_0").exit(class);
    house.settle().await;
    house
}

#[tokio::test(start_paused = true)]
async fn where_the_router_s_model_has_failed_the_others_are_served() {
    let mut house = failed_policy(ExitClass::BadFile).await;
    assert!(house.fleet.serves() && house.fleet.outlook() == Outlook::Asleep);
    let report = house.fleet.report();
    let told: Vec<_> = report.models.iter().map(|view| (&*view.model.name, view.asleep)).collect();
    assert_eq!(told, [("one-q8_0", true), ("two-q8_0", false)]);
    assert_eq!(report.unmet.len(), 1);
    assert!(report.unmet[0].starts_with("two-q8_0 has failed: "), "{:?}", report.unmet);
    let told = house.waiting(None).await;
    house.serve("one-q8_0").await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())));
    let refused = house.acquire(Some("two-q8_0")).await.unwrap_err().to_string();
    assert!(refused.starts_with("two-q8_0 has failed: "), "{refused}");
    house.fleet.reset(Some("two-q8_0")).unwrap();
    house.settle().await;
    house.serve("two-q8_0").await;
    assert!(house.fleet.report().unmet.is_empty(), "{:?}", house.fleet.report().unmet);
    assert_eq!(house.acquire(None).await.unwrap().model(), "two-q8_0");
}

#[tokio::test(start_paused = true)]
async fn only_where_nothing_could_take_a_job_has_everything_failed() {
    let mut house = failed_policy(ExitClass::BadFile).await;
    let told = house.waiting(None).await;
    house.stage("one-q8_0").exit(ExitClass::BadFile);
    house.settle().await;
    assert!(told.borrow().clone().is_some_and(|told| told.is_err_and(|told| told.starts_with("one-q8_0 has failed"))));
    assert_eq!(house.fleet.outlook(), Outlook::Failed);
    house.put("three-q8_0");
    tokio::time::sleep(LATER).await;
    house.settle().await;
    assert_eq!(house.fleet.outlook(), Outlook::Asleep, "one has come");
    let house = failed_policy(ExitClass::SpawnRefused).await;
    assert_eq!(house.fleet.outlook(), Outlook::Failed, "without a program there is no use in another model");
}

/// Longer than between two looks at the files.
const LATER: Duration = Duration::from_secs(31);

/// A house whose only model has failed for this reason.
async fn failed(class: ExitClass) -> House {
    let house = House::new(&["one-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.stage("one-q8_0").exit(class);
    house.settle().await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_a_way_out_of_a_failure_and_of_a_failed_driver_too() {
    let house = failed(ExitClass::BadFile).await;
    assert_eq!(house.state("one-q8_0"), "failed");
    house.fleet.reset(None).unwrap();
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "starting");
    house.stage("one-q8_0").panic();
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "failed");
    house.fleet.reset(Some("one-q8_0")).unwrap();
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!(house.state("one-q8_0"), "ready");
    assert!(house.fleet.reset(Some("none")).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_a_back_off() {
    let house = failed(ExitClass::Signal).await;
    house.stage("one-q8_0").exit(ExitClass::Signal);
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "backing_off");
    house.fleet.reset(None).unwrap();
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_a_way_out() {
    let house = failed(ExitClass::BadFile).await;
    for _ in 0..3 {
        tokio::time::sleep(LATER).await;
    }
    assert_eq!(house.stages("one-q8_0").len(), 1, "the same file would fail the same way");
    house.put("one-q8_0");
    tokio::time::sleep(2 * LATER).await;
    house.settle().await;
    assert_eq!((house.stages("one-q8_0").len(), house.state("one-q8_0")), (2, "starting"));
    house.serve("one-q8_0").await;
    assert_eq!(house.acquire(None).await.unwrap().model(), "one-q8_0");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_comes_back_is_a_way_out() {
    let house = failed(ExitClass::SpawnRefused).await;
    tokio::time::sleep(LATER).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "failed");
    house.put_engine();
    tokio::time::sleep(2 * LATER).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "starting");
}

#[tokio::test(start_paused = true)]
async fn another_size_is_a_way_out() {
    let house = failed(ExitClass::BadArgument).await;
    house.fleet.wish(wish("one-q8_0", 2)).await;
    house.settle().await;
    assert_eq!((house.state("one-q8_0"), house.spec("one-q8_0").slots), ("starting", 2));
}

#[tokio::test(start_paused = true)]
async fn memory_that_was_short_is_asked_for_again_after_some_minutes() {
    let house = failed(ExitClass::DeviceMemory).await;
    while house.state("one-q8_0") != "failed" {
        house.stage("one-q8_0").exit(ExitClass::HostMemory);
        house.settle().await;
    }
    let loads = house.stages("one-q8_0").len();
    tokio::time::sleep(5 * LATER).await;
    assert_eq!(house.stages("one-q8_0").len(), loads);
    tokio::time::sleep(6 * LATER).await;
    house.settle().await;
    assert_eq!((house.stages("one-q8_0").len(), house.state("one-q8_0")), (loads + 1, "starting"));
}

#[tokio::test(start_paused = true)]
async fn every_failure_but_of_file_and_arguments_has_a_way_out_that_takes_some_minutes() {
    for class in ExitClass::ALL {
        let house = failed(class).await;
        // What is tried again by itself is let fail until it is not, and sizes until there is no smaller one.
        for _ in 0..1000 {
            if house.state("one-q8_0") == "failed" {
                break;
            }
            house.stage("one-q8_0").exit(class);
            house.settle().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if house.state("one-q8_0") != "failed" {
            // Want of our own means is tried for ever, and a changed file is scanned and loaded at once.
            assert!(matches!(class, ExitClass::SpawnTrouble | ExitClass::FileChanged), "{class:?}");
            continue;
        }
        let loads = house.stages("one-q8_0").len();
        tokio::time::sleep(11 * LATER).await;
        house.settle().await;
        let again = house.stages("one-q8_0").len() > loads;
        assert_eq!(again, class.may_pass(), "{class:?}");
    }
}
