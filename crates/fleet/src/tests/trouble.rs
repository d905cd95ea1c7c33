//! Engines and drivers that fail, and who is told.

use auxot_instance::ExitClass;

use super::house::House;
use crate::Outlook;

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
