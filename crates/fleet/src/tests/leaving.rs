//! Models of earlier policies go once the new one serves.

use std::time::Duration;

use super::house::{House, wish};

#[tokio::test(start_paused = true)]
async fn the_model_of_an_earlier_policy_is_stopped_when_the_new_one_serves() {
    let house = House::new(&["own-q8_0", "one-q8_0", "two-q8_0"], &["own-q8_0"], None);
    house.settle().await;
    house.serve("own-q8_0").await;
    house.fleet.wish(wish("one-q8_0", 2)).await;
    house.settle().await;
    house.serve("one-q8_0").await;
    assert_eq!((house.state("own-q8_0"), house.state("one-q8_0")), ("ready", "ready"), "the operator's stays");
    house.fleet.wish(wish("two-q8_0", 2)).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "ready", "the new one does not serve yet");
    house.serve("two-q8_0").await;
    assert_eq!((house.state("one-q8_0"), house.state("own-q8_0")), ("away", "ready"));
    assert_eq!(house.stage("one-q8_0").calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    assert_eq!(house.ended(), 1, "its driver too");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_old_model_ends_first_and_new_ones_find_it_gone() {
    let house = House::new(&["one-q8_0", "two-q8_0"], &[], Some(wish("one-q8_0", 2)));
    house.settle().await;
    house.serve("one-q8_0").await;
    let lease = house.acquire(None).await.unwrap();
    house.fleet.wish(wish("two-q8_0", 2)).await;
    house.settle().await;
    house.serve("two-q8_0").await;
    assert_eq!(house.state("one-q8_0"), "draining");
    let refusal = house.acquire(Some("one-q8_0")).await.unwrap_err().to_string();
    assert!(refusal.contains("one-q8_0") && refusal.contains("serves two-q8_0"), "{refusal}");
    assert_eq!(house.acquire(None).await.unwrap().model(), "two-q8_0");
    drop(lease);
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn the_drain_of_an_old_model_is_bounded() {
    let house = House::new(&["one-q8_0", "two-q8_0"], &[], Some(wish("one-q8_0", 2)));
    house.settle().await;
    house.serve("one-q8_0").await;
    let _held = house.acquire(None).await.unwrap();
    house.fleet.wish(wish("two-q8_0", 2)).await;
    house.settle().await;
    house.serve("two-q8_0").await;
    tokio::time::advance(crate::Config::default().drain_timeout + Duration::from_millis(5)).await;
    house.settle().await;
    assert_eq!(house.state("one-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_any_model_waits_for_the_new_one_and_who_named_the_old_one_is_told() {
    let mut house = House::new(&["one-q8_0", "two-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("one-q8_0").await;
    let _busy = house.acquire(None).await.unwrap();
    let any = house.waiting(None).await;
    let named = house.waiting(Some("one-q8_0")).await;
    house.fleet.wish(wish("two-q8_0", 1)).await;
    house.settle().await;
    house.serve("two-q8_0").await;
    assert_eq!(any.borrow().clone(), Some(Ok("two-q8_0".into())));
    assert_eq!(named.borrow().clone(), Some(Err("one-q8_0 is stopped".into())));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_wished_for_again_while_it_goes_comes_back() {
    let house = House::new(&["one-q8_0", "two-q8_0"], &[], Some(wish("one-q8_0", 1)));
    house.settle().await;
    house.serve("one-q8_0").await;
    let lease = house.acquire(None).await.unwrap();
    house.fleet.wish(wish("two-q8_0", 1)).await;
    house.settle().await;
    house.serve("two-q8_0").await;
    assert_eq!(house.state("one-q8_0"), "draining");
    house.fleet.wish(wish("one-q8_0", 1)).await;
    house.settle().await;
    assert_eq!((house.state("one-q8_0"), house.state("two-q8_0")), ("ready", "away"));
    drop(lease);
    house.settle().await;
    assert_eq!((house.state("one-q8_0"), house.stages("one-q8_0").len()), ("ready", 1), "it was never ended");
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_is_no_model_to_serve() {
    let fleet = crate::Config { autoload: vec!["one-q8_0".to_owned()], ..crate::Config::default() };
    let house = House::of(&["one-q8_0"], crate::Orders { fleet, ..crate::Orders::default() });
    house.settle().await;
    house.serve("one-q8_0").await;
    let _held = house.acquire(None).await.unwrap();
    let fleet = crate::Config { autoload: Vec::new(), ..house.orders.fleet.clone() };
    house.fleet.reconfigure(crate::Orders { fleet, ..house.orders.clone() });
    house.settle().await;
    assert_eq!((house.state("one-q8_0"), house.fleet.has_models()), ("draining", false));
    assert!(house.fleet.take_any() && house.fleet.has_models());
}
