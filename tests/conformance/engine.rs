//! Engines that exit and restart, seen from the router (item 25, and repeated capabilities).

use auxot_tests::scripted_router::{End, Link, job, saying};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{DEADLINE, Stage};

fn killed(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

/// The next `config` in which the model is in this state.
async fn config_with(link: &mut Link, state: &str) -> Value {
    link.take(state, |frame| frame["type"] == "config" && frame["capabilities"]["models"][0]["state"] == state).await
}

#[tokio::test]
async fn c25_a_job_whose_engine_dies_before_the_first_token_is_run_again() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    // The first engine processes its prompt for a minute; the second answers at once.
    link.send(&job("retried", "fake: --text 'second try' --stall-at 0")).await;
    let slot = stage.reports.next("slot", DEADLINE).await;
    killed(slot.pid);
    let second = stage.reports.next("slot", DEADLINE).await;
    assert_ne!(second.pid, slot.pid, "the same job on a fresh engine");
    stage.worker.metric_until("auxot_worker_job_retries_total", &[], |count| count == 1.0).await;
    assert_eq!(link.count_about("retried"), 0, "the router has not noticed");
    link.cancel("retried").await;
}

#[tokio::test]
async fn c25_a_retry_completes_on_the_new_engine() {
    let (mut stage, mut link) = Stage::serving("--prompt-ms 60000", &[]).await;
    link.send(&saying("retried", "second try")).await;
    let slot = stage.reports.next("slot", DEADLINE).await;
    stage.set_switches("");
    killed(slot.pid);
    let outcome = link.outcome("retried").await;
    assert_eq!(outcome.completed(), "second try");
    assert_eq!(outcome.end["full_response"], "second try");
}

#[tokio::test]
async fn c25_a_request_that_ends_two_engines_is_not_run_again() {
    let settings = [("AUXOT_ENGINE__RESTART_DELAY", "10ms"), ("AUXOT_ENGINE__RESTART_MAX_DELAY", "20ms")];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    link.send(&job("doomed", "fake: --crash-after 0")).await;
    let doomed = link.outcome("doomed").await;
    assert!(doomed.failed().contains("crashed twice"), "{}", doomed.end);
    assert_eq!(doomed.end["status"], 400, "no error that programs repeat");
    link.says("next", "and the next one is fine").await;
    link.send(&job("by-another-name", "fake: --crash-after 0")).await;
    assert!(link.outcome("by-another-name").await.failed().contains("crashed twice"));
    link.says("last", "no engine has seen it again").await;
    for _ in 0..4 {
        stage.reports.next("request", DEADLINE).await;
    }
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(stage.reports.past().iter().filter(|event| event.name == "request").count(), 4);
}

#[tokio::test]
async fn c25_requests_that_end_engines_take_nothing_from_the_budget_of_a_model_that_answers_others() {
    let settings = [
        ("AUXOT_ENGINE__RESTART_BUDGET", "1"),
        ("AUXOT_ENGINE__RESTART_DELAY", "10ms"),
        ("AUXOT_ENGINE__RESTART_MAX_DELAY", "20ms"),
    ];
    let (stage, mut link) = Stage::serving("", &settings).await;
    for at in 0..3 {
        link.says(&format!("good-{at}"), "as ever").await;
        link.send(&job(&format!("doomed-{at}"), &format!("fake: --crash-after 0 --text {at}"))).await;
        assert!(link.outcome(&format!("doomed-{at}")).await.failed().contains("crashed twice"));
    }
    link.says("last", "as ever").await;
    assert_eq!(stage.worker.metric("auxot_worker_model_loaded", &[]).await, 1.0);
}

#[tokio::test]
async fn c25_a_suspect_request_runs_alone_and_its_crash_costs_the_model_no_budget() {
    let settings = [
        ("AUXOT_ENGINE__RESTART_BUDGET", "1"),
        ("AUXOT_ENGINE__RESTART_DELAY", "10ms"),
        ("AUXOT_ENGINE__RESTART_MAX_DELAY", "20ms"),
        ("AUXOT_HEARTBEAT_INTERVAL", "200ms"),
    ];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    let (prompt, start) = (stage.scratch.join("prompt"), stage.scratch.join("start"));
    stage.set_switches(&format!("--hold start:{}", start.display()));
    link.send(&job("doomed", &format!("fake: --crash-after 0 --hold prompt:{}", prompt.display()))).await;
    stage.reports.next("held", DEADLINE).await;
    std::fs::write(&prompt, "").unwrap();
    // The next engine waits before its load, and the request in it.
    stage.reports.next("held", DEADLINE).await;
    std::fs::remove_file(&prompt).unwrap();
    std::fs::write(&start, "").unwrap();
    stage.reports.next("held", DEADLINE).await;
    link.send(&job("innocent", "fake: --text fine")).await;
    link.take("a place", |frame| frame["type"] == "heartbeat" && frame["models"][0]["slots_busy"] == 2).await;
    for _ in 0..3 {
        link.next("heartbeat").await;
    }
    let requests = |stage: &Stage| stage.reports.past().iter().filter(|event| event.name == "request").count();
    assert_eq!(requests(&stage), 2, "the suspect's only: the other job waits for its end");
    std::fs::write(&prompt, "").unwrap();
    assert!(link.outcome("doomed").await.failed().contains("crashed twice"));
    assert_eq!(link.outcome("innocent").await.completed(), "fine");
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(requests(&stage), 3, "the other job was in no engine that crashed");
}

#[tokio::test]
async fn c25_an_engine_that_dies_in_the_middle_ends_the_job_with_an_error() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("cut", "fake: --tokens 100000 --token-us 5000")).await;
    link.about("cut").await;
    let slot = stage.reports.next("slot", DEADLINE).await;
    killed(slot.pid);
    let outcome = link.outcome("cut").await;
    assert_eq!(outcome.failed(), "inference error: model server stopped in the middle of the answer");
    link.says("next", "on the next engine").await;
}

#[tokio::test]
async fn c25_an_engine_that_keeps_crashing_fails_and_jobs_end_with_the_reason() {
    let settings = [
        ("AUXOT_ENGINE__RESTART_BUDGET", "3"),
        ("AUXOT_ENGINE__RESTART_DELAY", "10ms"),
        ("AUXOT_ENGINE__RESTART_MAX_DELAY", "20ms"),
    ];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    stage.set_switches("--abort-at-load");
    link.send(&job("waiting", "fake: --stall-at 0")).await;
    stage.reports.next("slot", DEADLINE).await;
    killed(engine);
    config_with(&mut link, "failed").await;
    let outcome = link.outcome("waiting").await;
    assert!(outcome.failed().contains("has failed"), "{}", outcome.end);
    // While connected, a router would go on sending jobs that no engine can run.
    assert_eq!(link.ended().await, End::Closed(1000));
    drop(link);
    let closed = ["cause=\"no_model\""];
    stage.worker.metric_until("auxot_worker_router_connections_lost_total", &closed, |count| count == 1.0).await;
    let starts = stage.reports.past().iter().filter(|event| event.name == "start").count();
    assert!(starts <= 5, "{starts} starts: it does not go on for ever");
}

#[tokio::test]
async fn k1_capabilities_are_sent_again_when_an_engine_exits_and_when_it_restarts() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    stage.set_switches("--load-ms 300");
    killed(engine);
    let away = config_with(&mut link, "starting").await;
    assert_eq!(away["capabilities"]["models"][0].get("slots"), None, "what does not run has no slots");
    let back = config_with(&mut link, "ready").await;
    assert_eq!(back["capabilities"]["total_slots"], 2);
    assert_eq!(back["capabilities"]["models"][0]["restarts"], 1);
    assert_eq!(stage.router.connections(), 1, "on the same connection");
}

#[tokio::test]
async fn k2_a_job_waits_for_a_loading_engine() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    stage.set_switches("--load-ms 500");
    killed(engine);
    config_with(&mut link, "starting").await;
    link.says("patient", "worth the wait").await;
}

#[tokio::test]
async fn k3_capabilities_of_a_new_connection_are_current() {
    let (mut stage, link) = Stage::serving("", &[]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    killed(engine);
    stage.reports.next_of(engine, "end", DEADLINE).await;
    stage.reports.next("ready", DEADLINE).await;
    drop(link);
    let hello = stage.router.link().await.hello().await;
    assert_eq!(hello["capabilities"]["models"][0]["restarts"], 1);
    assert_eq!(hello["capabilities"]["models"][0]["state"], "ready");
}
