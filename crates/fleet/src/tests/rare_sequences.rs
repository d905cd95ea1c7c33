//! Turns of events that are rare, and what must come of them: lists that change, files that change, drivers that hang.

#![allow(clippy::disallowed_methods, reason = "the jobs of a test end with its runtime")]

use std::time::Duration;

use auxot_engine::ExitClass;
use auxot_gpu::{Device, Kind};

use super::test_fleet::{TestFleet, desired, put_headed, put_sized};
use crate::{Availability, Config, DesiredModel, FleetSettings};

const ONE: u64 = 40_000;
const RESIDENCY: Duration = Duration::from_secs(21);
const GIB: u64 = 1 << 30;

fn settings(autoload: &[&str], kib: u64, change: impl Fn(&mut Config)) -> FleetSettings {
    let autoload = autoload.iter().map(ToString::to_string).collect();
    let mut fleet = Config { autoload, ..Config::default() };
    change(&mut fleet);
    let host_limit = Some(bytesize::ByteSize::kib(kib));
    let placement = auxot_placement::Config { host_limit, ..Default::default() };
    FleetSettings { fleet, placement, ..FleetSettings::default() }
}

fn relisted(test_fleet: &TestFleet, autoload: &[&str]) -> FleetSettings {
    let mut settings = test_fleet.settings.clone();
    settings.fleet.autoload = autoload.iter().map(ToString::to_string).collect();
    settings
}

async fn pass(test_fleet: &TestFleet, time: Duration) {
    tokio::time::advance(time).await;
    test_fleet.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_waits_for_the_router_s_model_while_that_loads() {
    let mut test_fleet = TestFleet::shared(&["own-q8_0", "one-q8_0"], &["own-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("own-q8_0").await;
    test_fleet.fleet.set_desired(DesiredModel { model: "one-q8_0".into(), ..DesiredModel::default() }).await;
    pass(&test_fleet, RESIDENCY).await;
    assert_eq!((test_fleet.state("own-q8_0"), test_fleet.state("one-q8_0")), ("stopped", "starting"));
    let told = test_fleet.waiting(None).await;
    test_fleet.serve("one-q8_0").await;
    let first = told.borrow().clone();
    pass(&test_fleet, RESIDENCY).await;
    pass(&test_fleet, RESIDENCY).await;
    assert_eq!(
        first,
        Some(Ok("one-q8_0".into())),
        "and now one is {}, own is {}",
        test_fleet.state("one-q8_0"),
        test_fleet.state("own-q8_0")
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_at_rest_that_is_listed_no_more_is_forgotten() {
    let test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    test_fleet.fleet.reconfigure(relisted(&test_fleet, &["one-q8_0"]));
    pass(&test_fleet, Duration::from_secs(600)).await;
    assert_eq!(test_fleet.state("two-q8_0"), "away");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_listed_no_more_goes_though_a_job_waited_for_it() {
    let mut test_fleet = TestFleet::of(&["one-q8_0"], settings(&["one-q8_0"], ONE, |fleet| fleet.on_demand = false));
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(test_fleet.acquire(Some("one-q8_0")).await.unwrap());
    }
    let told = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.reconfigure(relisted(&test_fleet, &[]));
    leases.clear();
    test_fleet.settle().await;
    let loads = test_fleet.stages("one-q8_0").len();
    if loads > 1 {
        test_fleet.serve("one-q8_0").await;
    }
    pass(&test_fleet, Duration::from_secs(3600)).await;
    assert_eq!(
        (loads, test_fleet.state("one-q8_0")),
        (1, "away"),
        "{:?}; availability {:?}",
        told.borrow(),
        test_fleet.fleet.availability()
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_model_that_is_listed_no_more_is_answered() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(test_fleet.acquire(Some("one-q8_0")).await.unwrap());
    }
    let two = test_fleet.waiting(Some("two-q8_0")).await;
    pass(&test_fleet, Duration::from_secs(1)).await;
    let told = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.reconfigure(relisted(&test_fleet, &[]));
    leases.clear();
    test_fleet.settle().await;
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())), "it stays for the job that named it");
    pass(&test_fleet, RESIDENCY).await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(two.borrow().clone(), Some(Ok("two-q8_0".into())));
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_those_who_wait_for_what_is_not_loaded() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let told = test_fleet.waiting(Some("two-q8_0")).await;
    test_fleet.fleet.stop().await;
    test_fleet.settle().await;
    assert_eq!(told.borrow().clone(), Some(Err("the worker is shutting down".into())));
}

#[tokio::test(start_paused = true)]
async fn slots_of_an_engine_that_came_back_at_once_are_given_back() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    test_fleet.stage("one-q8_0").exit(ExitClass::Signal);
    test_fleet.serve("one-q8_0").await;
    for round in 0..8 {
        let lease = tokio::time::timeout(Duration::from_secs(5), test_fleet.acquire(None)).await;
        assert!(lease.is_ok(), "no slot in round {round}, and nobody holds one");
        drop(lease);
        test_fleet.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_is_as_large_as_wanted_again_once_a_stranger_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    put_headed(folder.path(), "one-q8_0", 8192, Some(4));
    let fleet = Config { ttl: Some(Duration::from_secs(60)), ..Config::default() };
    let test_fleet = TestFleet::with(folder, FleetSettings { fleet, ..FleetSettings::default() }, None);
    test_fleet.settle().await;
    test_fleet.read(vec![], GIB + 40 * 1024 * 1024).await;
    let fleet = test_fleet.fleet.clone();
    let job = tokio::spawn(async move {
        fleet.acquire(Some("one-q8_0"), std::time::Instant::now() + super::test_fleet::LONG).await.map(drop)
    });
    test_fleet.settle().await;
    assert!(!job.is_finished(), "{:?}", job.await);
    let before = test_fleet.spec("one-q8_0");
    assert!(before.slots < 4, "{before:?}");
    test_fleet.serve("one-q8_0").await;
    job.await.unwrap().unwrap();
    test_fleet.read(vec![], 60 * GIB).await;
    for _ in 0..4 {
        pass(&test_fleet, Duration::from_secs(40)).await;
    }
    assert_eq!(test_fleet.state("one-q8_0"), "stopped");
    let fleet = test_fleet.fleet.clone();
    tokio::spawn(async move {
        fleet.acquire(Some("one-q8_0"), std::time::Instant::now() + super::test_fleet::LONG).await.map(drop)
    });
    test_fleet.settle().await;
    assert_eq!((test_fleet.stages("one-q8_0").len(), test_fleet.spec("one-q8_0").slots), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changed_while_its_model_was_loaded_is_known_at_the_next_load() {
    let mut test_fleet =
        TestFleet::of(&["one-q8_0"], settings(&[], ONE, |fleet| fleet.ttl = Some(Duration::from_secs(60))));
    test_fleet.settle().await;
    test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.serve("one-q8_0").await;
    put_sized(test_fleet.folder(), "one-q8_0", 512);
    let scans = test_fleet.fleet.scans();
    for _ in 0..100_000 {
        if test_fleet.fleet.scans() > scans {
            break;
        }
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(test_fleet.fleet.scans() > scans);
    for _ in 0..4 {
        pass(&test_fleet, Duration::from_secs(40)).await;
    }
    assert_eq!(test_fleet.state("one-q8_0"), "stopped");
    test_fleet.waiting(Some("one-q8_0")).await;
    assert_eq!((test_fleet.stages("one-q8_0").len(), test_fleet.spec("one-q8_0").ctx_per_slot), (2, Some(512)));
}

#[tokio::test(start_paused = true)]
async fn other_settings_bring_nobody_back_who_goes_for_another() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let lease = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let two = test_fleet.waiting(Some("two-q8_0")).await;
    pass(&test_fleet, RESIDENCY).await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let mut settings = test_fleet.settings.clone();
    settings.engine.slots = Some(3);
    test_fleet.fleet.reconfigure(settings);
    drop(lease);
    test_fleet.settle().await;
    test_fleet.serve("two-q8_0").await;
    assert_eq!(two.borrow().clone(), Some(Ok("two-q8_0".into())));
    for _ in 0..3 {
        pass(&test_fleet, RESIDENCY).await;
    }
    assert_eq!((test_fleet.state("two-q8_0"), test_fleet.stages("one-q8_0").len()), ("ready", 1), "no job wants one");
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_that_died_of_want_of_memory_is_loaded_again_smaller() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    for _ in 0..20 {
        if test_fleet.state("one-q8_0") == "stopped" || test_fleet.stages("one-q8_0").len() > 1 {
            break;
        }
        test_fleet.stage("one-q8_0").exit(ExitClass::HostMemory);
        test_fleet.settle().await;
        pass(&test_fleet, Duration::from_secs(40)).await;
    }
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.fleet.availability()), ("starting", Availability::Coming));
}

#[tokio::test(start_paused = true)]
async fn doors_are_told_when_a_model_stays_after_all() {
    let test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ONE);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let _lease = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let fleet = test_fleet.fleet.clone();
    let job = tokio::spawn(async move {
        fleet.acquire(Some("two-q8_0"), std::time::Instant::now() + super::test_fleet::LONG).await.map(drop)
    });
    test_fleet.settle().await;
    pass(&test_fleet, RESIDENCY).await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let mut changes = test_fleet.fleet.changes();
    changes.mark_unchanged();
    job.abort();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    assert!(changes.has_changed().unwrap(), "the router still believes that it drains");
}

#[test]
fn a_model_that_took_more_than_is_computed_does_not_hang_the_fleet() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let card = |free| Device {
                total: Some(24 * GIB),
                free: Some(free),
                ..Device::unread(Kind::Nvidia, "GPU-0".into(), "card".into())
            };
            let test_fleet = TestFleet::of(&["one-q8_0"], FleetSettings::default());
            test_fleet.settle().await;
            // Room for it by what is computed.
            test_fleet.read(vec![card(2 * GIB)], 60 * GIB).await;
            let fleet = test_fleet.fleet.clone();
            let job = |fleet: crate::Fleet| async move {
                fleet.acquire(Some("one-q8_0"), std::time::Instant::now() + super::test_fleet::LONG).await.map(drop)
            };
            tokio::spawn(job(fleet.clone()));
            test_fleet.settle().await;
            // It is seen to have taken much more, as if by the experience of an earlier run.
            test_fleet.learn("one-q8_0", 5 * GIB);
            test_fleet.stage("one-q8_0").exit(ExitClass::BadFile);
            test_fleet.settle().await;
            test_fleet.fleet.reset(Some("one-q8_0")).unwrap();
            tokio::spawn(job(fleet));
            test_fleet.settle().await;
            tell.send(()).unwrap();
        });
    });
    let told = told.recv_timeout(Duration::from_secs(20));
    assert_eq!(told, Ok(()), "the judge's lock is held for ever");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_asked_for_by_other_settings_is_not_lost_in_one_under_way() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    tokio::time::sleep(Duration::from_secs(40)).await;
    test_fleet.settle().await;
    let other = tempfile::tempdir().unwrap();
    put_sized(other.path(), "late-q8_0", 8192);
    // One more look begins.
    test_fleet.put("two-q8_0");
    while !test_fleet.fleet.has_changed() {
        tokio::task::yield_now().await;
    }
    test_fleet.fleet.set_desired(desired("none-q8_0", 1)).await;
    let mut settings = relisted(&test_fleet, &["one-q8_0", "late-q8_0"]);
    settings.catalog.models_dir = vec![other.path().to_owned()];
    test_fleet.fleet.reconfigure(settings);
    tokio::time::sleep(Duration::from_secs(5)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("late-q8_0"), "starting");
}

/// The engine lies on a card, and is started again after a crash; the driver of the card does not answer any more.
#[tokio::test(start_paused = true)]
async fn an_engine_that_was_started_again_takes_jobs_though_no_reading_ever_comes() {
    let card = Device {
        total: Some(24 * GIB),
        free: Some(20 * GIB),
        ..Device::unread(Kind::Nvidia, "GPU-0".into(), "card".into())
    };
    let mut test_fleet = TestFleet::of(&["one-q8_0"], FleetSettings::default());
    test_fleet.settle().await;
    test_fleet.read(vec![card], 60 * GIB).await;
    test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.serve("one-q8_0").await;
    test_fleet.stop_readings();
    pass(&test_fleet, Duration::from_secs(1)).await;
    test_fleet.stage("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let told = test_fleet.waiting(Some("one-q8_0")).await;
    for _ in 0..10 {
        pass(&test_fleet, Duration::from_secs(30)).await;
    }
    assert_eq!(told.borrow().clone(), Some(Ok("one-q8_0".into())), "after five minutes");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_a_job_would_wake_is_no_reason_to_turn_jobs_away_while_another_loads() {
    let mut test_fleet = TestFleet::of(
        &["one-q8_0", "two-q8_0"],
        settings(&[], 2 * ONE, |fleet| fleet.ttl = Some(Duration::from_secs(60))),
    );
    test_fleet.settle().await;
    test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.serve("one-q8_0").await;
    for _ in 0..4 {
        pass(&test_fleet, Duration::from_secs(40)).await;
    }
    assert!(test_fleet.fleet.serves() && test_fleet.fleet.availability() == Availability::Asleep);
    test_fleet.waiting(Some("two-q8_0")).await;
    assert!(test_fleet.fleet.serves(), "one still sleeps until a job comes: {:?}", test_fleet.fleet.availability());
}

#[tokio::test(start_paused = true)]
async fn other_settings_do_not_touch_the_router_s_model_while_that_of_its_next_policy_is_missing() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    test_fleet.fleet.set_desired(desired("none-q8_0", 2)).await;
    let mut settings = test_fleet.settings.clone();
    settings.fleet.patience = Duration::from_secs(16);
    test_fleet.fleet.reconfigure(settings);
    test_fleet.settle().await;
    let slots: Vec<u32> = test_fleet.specs("one-q8_0").iter().map(|spec| spec.slots).collect();
    assert_eq!(slots, [2]);
}
