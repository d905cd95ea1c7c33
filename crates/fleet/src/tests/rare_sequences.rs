//! Rare sequences of events: lists that change, files that change, drivers that hang.

#![allow(clippy::disallowed_methods, reason = "the jobs of a test end with its runtime")]

use std::time::Duration;

use auxot_engine::ExitClass;
use auxot_gpu::{Device, Kind};

use super::test_fleet::{TestFleet, desired, put_headed, put_sized};
use crate::{Config, DesiredModel, FleetSettings, JobTask};

const ROOM_FOR_ONE: u64 = 40_000;
const MIN_LOADED: Duration = Duration::from_secs(21);
const GIB: u64 = 1 << 30;

fn settings(autoload: &[&str], kib: u64, change: impl Fn(&mut Config)) -> FleetSettings {
    let autoload = autoload.iter().map(ToString::to_string).collect();
    let mut fleet = Config { autoload, ..Config::default() };
    change(&mut fleet);
    let host_limit = Some(bytesize::ByteSize::kib(kib));
    let placement = auxot_placement::Config { host_limit, ..Default::default() };
    FleetSettings { fleet, placement, ..FleetSettings::default() }
}

fn with_list(test_fleet: &TestFleet, autoload: &[&str]) -> FleetSettings {
    let mut settings = test_fleet.settings.clone();
    settings.fleet.autoload = autoload.iter().map(ToString::to_string).collect();
    settings
}

async fn advance(test_fleet: &TestFleet, time: Duration) {
    tokio::time::advance(time).await;
    test_fleet.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_waits_for_the_loading_router_s_model() {
    let mut test_fleet = TestFleet::shared(&["own-q8_0", "one-q8_0"], &["own-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("own-q8_0").await;
    test_fleet.fleet.set_desired(DesiredModel { model: "one-q8_0".into(), ..DesiredModel::default() }).await;
    advance(&test_fleet, MIN_LOADED).await;
    assert_eq!((test_fleet.state("own-q8_0"), test_fleet.state("one-q8_0")), ("on_disk", "loading"));
    let answer = test_fleet.waiting(None).await;
    test_fleet.make_ready("one-q8_0").await;
    let first = answer.borrow().clone();
    advance(&test_fleet, MIN_LOADED).await;
    advance(&test_fleet, MIN_LOADED).await;
    assert_eq!(
        first,
        Some(Ok("one-q8_0".into())),
        "and now one is {}, own is {}",
        test_fleet.state("one-q8_0"),
        test_fleet.state("own-q8_0")
    );
}

#[tokio::test(start_paused = true)]
async fn an_unloaded_model_is_removed_when_it_leaves_the_list() {
    let test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0", "two-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    test_fleet.fleet.reconfigure(with_list(&test_fleet, &["one-q8_0"]));
    advance(&test_fleet, Duration::from_secs(600)).await;
    assert_eq!(test_fleet.state("two-q8_0"), "absent");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_job_does_not_keep_a_model_that_left_the_list() {
    let mut test_fleet =
        TestFleet::of(&["one-q8_0"], settings(&["one-q8_0"], ROOM_FOR_ONE, |fleet| fleet.on_demand = false));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(test_fleet.acquire(Some("one-q8_0")).await.unwrap());
    }
    let answer = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.reconfigure(with_list(&test_fleet, &[]));
    leases.clear();
    test_fleet.settle().await;
    let loads = test_fleet.scripts("one-q8_0").len();
    if loads > 1 {
        test_fleet.make_ready("one-q8_0").await;
    }
    advance(&test_fleet, Duration::from_secs(3600)).await;
    assert_eq!(
        (loads, test_fleet.state("one-q8_0")),
        (1, "absent"),
        "{:?}; availability {:?}",
        answer.borrow(),
        test_fleet.best()
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_job_of_a_model_that_left_the_list_is_served_on_demand() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(test_fleet.acquire(Some("one-q8_0")).await.unwrap());
    }
    let two = test_fleet.waiting(Some("two-q8_0")).await;
    advance(&test_fleet, Duration::from_secs(1)).await;
    let answer = test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.fleet.reconfigure(with_list(&test_fleet, &[]));
    leases.clear();
    test_fleet.settle().await;
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())), "it stays for the job that named it");
    advance(&test_fleet, MIN_LOADED).await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(two.borrow().clone(), Some(Ok("two-q8_0".into())));
}

#[tokio::test(start_paused = true)]
async fn a_stop_refuses_jobs_that_wait_for_an_unloaded_model() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let answer = test_fleet.waiting(Some("two-q8_0")).await;
    test_fleet.fleet.stop().await;
    test_fleet.settle().await;
    assert_eq!(answer.borrow().clone(), Some(Err("the worker is shutting down".into())));
}

#[tokio::test(start_paused = true)]
async fn slots_of_an_engine_that_restarted_at_once_are_freed() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    test_fleet.script("one-q8_0").exit(ExitClass::Signal);
    test_fleet.make_ready("one-q8_0").await;
    for round in 0..8 {
        let lease = tokio::time::timeout(Duration::from_secs(5), test_fleet.acquire(None)).await;
        assert!(lease.is_ok(), "no slot in round {round}, though all are free");
        drop(lease);
        test_fleet.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_returns_to_the_wanted_size_once_another_process_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    put_headed(folder.path(), "one-q8_0", 8192, Some(4));
    let fleet = Config { ttl: Some(Duration::from_secs(60)), ..Config::default() };
    let test_fleet = TestFleet::with(folder, FleetSettings { fleet, ..FleetSettings::default() }, None);
    test_fleet.settle().await;
    test_fleet.read(vec![], GIB + 40 * 1024 * 1024).await;
    let fleet = test_fleet.fleet.clone();
    let job = tokio::spawn(async move {
        fleet
            .acquire(Some("one-q8_0"), JobTask::Chat, std::time::Instant::now() + super::test_fleet::LONG)
            .await
            .map(drop)
    });
    test_fleet.settle().await;
    assert!(!job.is_finished(), "{:?}", job.await);
    let before = test_fleet.spec("one-q8_0");
    assert!(before.slots < 4, "{before:?}");
    test_fleet.make_ready("one-q8_0").await;
    job.await.unwrap().unwrap();
    test_fleet.read(vec![], 60 * GIB).await;
    for _ in 0..4 {
        advance(&test_fleet, Duration::from_secs(40)).await;
    }
    assert_eq!(test_fleet.state("one-q8_0"), "on_disk");
    let fleet = test_fleet.fleet.clone();
    tokio::spawn(async move {
        fleet
            .acquire(Some("one-q8_0"), JobTask::Chat, std::time::Instant::now() + super::test_fleet::LONG)
            .await
            .map(drop)
    });
    test_fleet.settle().await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.spec("one-q8_0").slots), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changed_while_loaded_is_used_at_the_next_load() {
    let mut test_fleet =
        TestFleet::of(&["one-q8_0"], settings(&[], ROOM_FOR_ONE, |fleet| fleet.ttl = Some(Duration::from_secs(60))));
    test_fleet.settle().await;
    test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.make_ready("one-q8_0").await;
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
        advance(&test_fleet, Duration::from_secs(40)).await;
    }
    assert_eq!(test_fleet.state("one-q8_0"), "on_disk");
    test_fleet.waiting(Some("one-q8_0")).await;
    assert_eq!((test_fleet.scripts("one-q8_0").len(), test_fleet.spec("one-q8_0").ctx_per_slot), (2, 512));
}

#[tokio::test(start_paused = true)]
async fn new_settings_do_not_reload_an_evicted_model() {
    let mut test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let lease = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let two = test_fleet.waiting(Some("two-q8_0")).await;
    advance(&test_fleet, MIN_LOADED).await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let mut settings = test_fleet.settings.clone();
    settings.engine.slots = Some(3);
    test_fleet.fleet.reconfigure(settings);
    drop(lease);
    test_fleet.settle().await;
    test_fleet.make_ready("two-q8_0").await;
    assert_eq!(two.borrow().clone(), Some(Ok("two-q8_0".into())));
    for _ in 0..3 {
        advance(&test_fleet, MIN_LOADED).await;
    }
    assert_eq!((test_fleet.state("two-q8_0"), test_fleet.scripts("one-q8_0").len()), ("ready", 1), "no job names it");
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_that_ran_out_of_memory_is_reloaded_smaller() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    for _ in 0..20 {
        if test_fleet.state("one-q8_0") == "on_disk" || test_fleet.scripts("one-q8_0").len() > 1 {
            break;
        }
        test_fleet.script("one-q8_0").exit(ExitClass::HostMemory);
        test_fleet.settle().await;
        advance(&test_fleet, Duration::from_secs(40)).await;
    }
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.best()), ("loading", "pending"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_eviction_is_reported_as_a_change() {
    let test_fleet = TestFleet::shared(&["one-q8_0", "two-q8_0"], &["one-q8_0"], ROOM_FOR_ONE);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let _lease = test_fleet.acquire(Some("one-q8_0")).await.unwrap();
    let fleet = test_fleet.fleet.clone();
    let job = tokio::spawn(async move {
        fleet
            .acquire(Some("two-q8_0"), JobTask::Chat, std::time::Instant::now() + super::test_fleet::LONG)
            .await
            .map(drop)
    });
    test_fleet.settle().await;
    advance(&test_fleet, MIN_LOADED).await;
    assert_eq!(test_fleet.state("one-q8_0"), "draining");
    let mut changes = test_fleet.fleet.changes();
    changes.mark_unchanged();
    job.abort();
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("one-q8_0"), "ready");
    assert!(changes.has_changed().unwrap(), "the change is not reported");
}

#[test]
fn a_measurement_above_the_estimate_does_not_hang_the_fleet() {
    let (done, finished) = std::sync::mpsc::channel();
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
            // There is room for the computed requirements.
            test_fleet.read(vec![card(2 * GIB)], 60 * GIB).await;
            let fleet = test_fleet.fleet.clone();
            let job = |fleet: crate::Fleet| async move {
                fleet
                    .acquire(Some("one-q8_0"), JobTask::Chat, std::time::Instant::now() + super::test_fleet::LONG)
                    .await
                    .map(drop)
            };
            tokio::spawn(job(fleet.clone()));
            test_fleet.settle().await;
            // An earlier run has measured much more.
            test_fleet.learn("one-q8_0", 5 * GIB);
            test_fleet.script("one-q8_0").exit(ExitClass::BadFile);
            test_fleet.settle().await;
            test_fleet.fleet.reset(Some("one-q8_0")).unwrap();
            tokio::spawn(job(fleet));
            test_fleet.settle().await;
            done.send(()).unwrap();
        });
    });
    let finished = finished.recv_timeout(Duration::from_secs(20));
    assert_eq!(finished, Ok(()), "the lock of the fleet is held for ever");
}

#[tokio::test(start_paused = true)]
async fn a_scan_for_new_settings_is_not_lost_in_a_running_scan() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    tokio::time::sleep(Duration::from_secs(40)).await;
    test_fleet.settle().await;
    let other = tempfile::tempdir().unwrap();
    put_sized(other.path(), "late-q8_0", 8192);
    // One more scan begins.
    test_fleet.put("two-q8_0");
    while !test_fleet.fleet.has_changed() {
        tokio::task::yield_now().await;
    }
    test_fleet.fleet.set_desired(desired("none-q8_0", 1)).await;
    let mut settings = with_list(&test_fleet, &["one-q8_0", "late-q8_0"]);
    settings.catalog.models_dir = vec![other.path().to_owned()];
    test_fleet.fleet.reconfigure(settings);
    tokio::time::sleep(Duration::from_secs(5)).await;
    test_fleet.settle().await;
    assert_eq!(test_fleet.state("late-q8_0"), "loading");
}

/// The engine is on a device and restarts after a crash; the driver of the device no longer answers.
#[tokio::test(start_paused = true)]
async fn a_restarted_engine_takes_jobs_though_no_device_sample_comes() {
    let card = Device {
        total: Some(24 * GIB),
        free: Some(20 * GIB),
        ..Device::unread(Kind::Nvidia, "GPU-0".into(), "card".into())
    };
    let mut test_fleet = TestFleet::of(&["one-q8_0"], FleetSettings::default());
    test_fleet.settle().await;
    test_fleet.read(vec![card], 60 * GIB).await;
    test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.make_ready("one-q8_0").await;
    test_fleet.stop_readings();
    advance(&test_fleet, Duration::from_secs(1)).await;
    test_fleet.script("one-q8_0").exit(ExitClass::Signal);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let answer = test_fleet.waiting(Some("one-q8_0")).await;
    for _ in 0..10 {
        advance(&test_fleet, Duration::from_secs(30)).await;
    }
    assert_eq!(answer.borrow().clone(), Some(Ok("one-q8_0".into())), "after five minutes");
}

#[tokio::test(start_paused = true)]
async fn an_unloaded_model_keeps_the_fleet_serving_while_another_loads() {
    let mut test_fleet = TestFleet::of(
        &["one-q8_0", "two-q8_0"],
        settings(&[], 2 * ROOM_FOR_ONE, |fleet| fleet.ttl = Some(Duration::from_secs(60))),
    );
    test_fleet.settle().await;
    test_fleet.waiting(Some("one-q8_0")).await;
    test_fleet.make_ready("one-q8_0").await;
    for _ in 0..4 {
        advance(&test_fleet, Duration::from_secs(40)).await;
    }
    assert!(test_fleet.fleet.serves() && test_fleet.best() == "on_disk");
    test_fleet.waiting(Some("two-q8_0")).await;
    assert!(test_fleet.fleet.serves(), "an unloaded model takes jobs: {:?}", test_fleet.best());
}

#[tokio::test(start_paused = true)]
async fn new_settings_do_not_touch_the_router_s_model_while_the_next_one_is_missing() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &[], Some(desired("one-q8_0", 2)));
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    test_fleet.fleet.set_desired(desired("none-q8_0", 2)).await;
    let mut settings = test_fleet.settings.clone();
    settings.fleet.preempt_after = Duration::from_secs(16);
    test_fleet.fleet.reconfigure(settings);
    test_fleet.settle().await;
    let slots: Vec<u32> = test_fleet.specs("one-q8_0").iter().map(|spec| spec.slots).collect();
    assert_eq!(slots, [2]);
}
