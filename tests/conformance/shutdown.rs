//! The end of the worker: drained, forced, or killed (item 26).

use auxot_tests::processes;
use auxot_tests::scripted_router::{End, job, saying};
use nix::sys::signal::Signal;

use crate::{DEADLINE, Stage};

#[tokio::test]
async fn c26_an_idle_worker_says_goodbye_and_ends_with_0() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let children = processes::descendants(stage.worker.program.pid());
    stage.worker.program.signal(Signal::SIGTERM);
    assert_eq!(link.ended().await, End::Closed(1000));
    assert_eq!(stage.worker.exit_code().await, Some(0));
    assert!(!children.is_empty());
    processes::ended(&children, DEADLINE).await;
    let left = std::fs::read_dir(stage.scratch.join("run")).unwrap().flatten().map(|entry| entry.file_name());
    // The lock of the folder itself stays: another worker may be waiting for it.
    assert!(left.into_iter().all(|name| name == "lock"), "nothing else is left in the runtime folder");
}

#[tokio::test]
async fn c26_a_draining_worker_finishes_its_jobs_and_takes_no_new_ones() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("running", "fake: --tokens 40 --token-us 20000")).await;
    link.about("running").await;
    stage.worker.program.signal(Signal::SIGTERM);
    stage.worker.line("to=\"draining\"").await;
    link.send(&saying("too-late", "never said")).await;
    let outcome = link.outcome("running").await;
    assert_eq!(outcome.end["type"], "complete", "{}", outcome.end);
    assert_eq!(link.ended().await, End::Closed(1000));
    assert_eq!(link.count_about("too-late"), 0, "the router gives it to another worker");
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c26_a_draining_worker_announces_it_at_once_on_every_connection() {
    // No heartbeat comes that would say it.
    let settings = [("AUXOT_ROUTER_CONNECTIONS", "2"), ("AUXOT_HEARTBEAT_INTERVAL", "60s")];
    let (mut stage, mut first) = Stage::serving("", &settings).await;
    let mut second = stage.greeted().await;
    for (at, link) in [&mut first, &mut second].into_iter().enumerate() {
        link.send(&job(&format!("running-{at}"), "fake: --stall-at 1")).await;
        link.about(&format!("running-{at}")).await;
    }
    stage.worker.program.signal(Signal::SIGTERM);
    for (at, link) in [&mut first, &mut second].into_iter().enumerate() {
        link.take("a config that says so", |frame| {
            frame["type"] == "config" && frame["capabilities"]["draining"] == true
        })
        .await;
        link.cancel(&format!("running-{at}")).await;
        assert_eq!(link.ended().await, End::Closed(1000));
    }
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c26_a_job_that_waits_for_a_slot_gets_it_while_the_worker_drains() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_MAX_PARALLEL", "1")]).await;
    link.send(&job("holder", "fake: --tokens 40 --token-us 10000")).await;
    stage.reports.next("slot", DEADLINE).await;
    link.send(&saying("waiter", "my turn")).await;
    stage.worker.line("job=waiter").await;
    stage.worker.program.signal(Signal::SIGTERM);
    link.outcome("holder").await.completed();
    assert_eq!(link.outcome("waiter").await.completed(), "my turn");
    assert_eq!(link.ended().await, End::Closed(1000));
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c26_a_job_whose_connection_is_lost_does_not_delay_the_exit() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("lost", "fake: --stall-at 1")).await;
    link.about("lost").await;
    let closed_port = stage.router.stop().await;
    link.reset();
    stage.worker.line("cannot reach the router").await;
    stage.worker.program.signal(Signal::SIGTERM);
    let line = stage.worker.line("jobs are cut short").await;
    assert!(line.contains("jobs=1"), "{line}");
    assert_eq!(stage.worker.exit_code().await, Some(0));
    drop(closed_port);
}

#[tokio::test]
async fn c26_a_draining_connection_takes_back_a_job_that_is_here() {
    let (mut stage, mut first) = Stage::serving("", &[("AUXOT_ROUTER_CONNECTIONS", "2")]).await;
    let mut second = stage.greeted().await;
    let kept = job("kept", "fake: --tokens 60 --token-us 10000");
    first.send(&kept).await;
    second.send(&job("other", "fake: --stall-at 1")).await;
    first.about("kept").await;
    second.about("other").await;
    stage.worker.program.signal(Signal::SIGTERM);
    stage.worker.line("to=\"draining\"").await;
    first.reset();
    second.send(&kept).await;
    second.outcome("kept").await.completed();
    second.cancel("other").await;
    assert_eq!(second.ended().await, End::Closed(1000));
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c26_idle_connections_close_first() {
    let (mut stage, mut first) = Stage::serving("", &[("AUXOT_ROUTER_CONNECTIONS", "2")]).await;
    let mut second = stage.greeted().await;
    first.send(&job("running", "fake: --stall-at 1")).await;
    first.about("running").await;
    stage.worker.program.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await, End::Closed(1000));
    first.cancel("running").await;
    assert_eq!(first.ended().await, End::Closed(1000));
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c26_a_job_that_outlasts_the_drain_ends_with_the_reason() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_FLEET__DRAIN_TIMEOUT", "300ms")]).await;
    link.send(&job("endless", "fake: --stall-at 1")).await;
    link.about("endless").await;
    stage.worker.program.signal(Signal::SIGTERM);
    assert_eq!(link.outcome("endless").await.failed(), "the worker is shutting down");
    assert_eq!(link.ended().await, End::Closed(1000));
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c26_a_second_signal_ends_it_at_once() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("endless", "fake: --stall-at 1")).await;
    link.about("endless").await;
    let children = processes::descendants(stage.worker.program.pid());
    stage.worker.program.signal(Signal::SIGTERM);
    stage.worker.line("to=\"draining\"").await;
    stage.worker.program.signal(Signal::SIGTERM);
    assert!(stage.worker.exit_code().await.is_some());
    processes::ended(&children, DEADLINE).await;
}

#[tokio::test]
async fn c26_a_killed_worker_leaves_no_engine() {
    let (mut stage, mut link) = Stage::serving("--fork-grandchild", &[]).await;
    link.send(&job("running", "fake: --tokens 100000 --token-us 5000")).await;
    link.about("running").await;
    stage.reports.next("slot", DEADLINE).await;
    let engines: Vec<u32> =
        stage.reports.past().iter().filter(|event| event.name == "start").map(|event| event.pid).collect();
    stage.worker.program.signal(Signal::SIGKILL);
    processes::ended(&engines, DEADLINE).await;
    // What an engine itself has started is killed by the worker's next start, which does not come here.
    engines.into_iter().for_each(processes::end_group);
}

#[tokio::test]
async fn c26_jobs_not_begun_are_returned_to_a_router_that_accepts_them() {
    let mut stage = crate::Stage::open("", &[]).await;
    let mut greeting = crate::hosted();
    greeting["extensions"] = serde_json::json!(["not_started"]);
    let mut link = stage.router.greeted(&greeting).await;
    let config = link.next("config").await;
    let announced = config["capabilities"]["extensions"].as_array().unwrap();
    assert!(announced.contains(&serde_json::json!("not_started")), "{announced:?}");
    let gate = stage.scratch.join("gate");
    let held = format!("fake: --text 'to its end' --hold prompt:{}", gate.display());
    for id in ["first", "second", "third"] {
        link.send(&auxot_tests::scripted_router::job(id, &held)).await;
    }
    for _ in 0..2 {
        stage.reports.next("held", crate::DEADLINE).await;
    }
    stage.worker.program.signal(nix::sys::signal::Signal::SIGTERM);
    let back = link.outcome("third").await;
    assert_eq!((back.end["code"].as_str(), back.text.as_str()), (Some("not_started"), ""));
    link.take("a config that says so", |frame| frame["capabilities"]["draining"] == true).await;
    link.send(&auxot_tests::scripted_router::job("late", &held)).await;
    assert_eq!(link.outcome("late").await.end["code"], "not_started");
    std::fs::write(&gate, "").unwrap();
    for id in ["first", "second"] {
        assert_eq!(link.outcome(id).await.completed(), "to its end");
    }
    assert_eq!(stage.worker.exit_code().await, Some(0));
}
