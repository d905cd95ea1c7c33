//! The steps of stopping an engine, one after the other.

use std::time::Duration;

use auxot_tests::scripted_router::{Link, job, policy};
use auxot_tests::{Stage, Worker, processes};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{DEADLINE, MODEL, MODEL_FILE, config};

/// The steps of a stop; the worker itself may take one more second.
const SETTINGS: [(&str, &str); 4] = [
    ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL),
    ("AUXOT_ENGINE__STOP_GRACE", "300ms"),
    ("AUXOT_ENGINE__STOP_AGAIN", "300ms"),
    ("AUXOT_ENGINE__STOP_KILL", "1s"),
];

/// Stops a worker whose engine has these switches; returns the signals that the engine got, in order.
async fn signals(switches: &str) -> Vec<String> {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, switches);
    let mut worker = stage.worker(&SETTINGS).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let engines = processes::descendants(worker.program.pid());
    worker.program.signal(Signal::SIGTERM);
    worker.line("to=\"stopping\"").await;
    assert_eq!(worker.exit_code().await, Some(0));
    processes::ended(&engines, Duration::ZERO).await;
    let lines = worker.lines_with("signal to the engine's group");
    let word = |line: &String| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix("signal="));
        word.map(|word| word.trim_matches('"').to_owned())
    };
    lines.iter().filter_map(word).collect()
}

#[tokio::test]
async fn a_well_behaved_engine_gets_one_term() {
    assert_eq!(signals("").await, ["SIGTERM"]);
}

#[tokio::test]
async fn a_lost_term_is_sent_again() {
    assert_eq!(signals("--lose-first-term --lose-order").await, ["SIGTERM", "SIGTERM"]);
}

#[tokio::test]
async fn an_engine_that_ignores_signals_is_killed_with_its_children() {
    assert_eq!(signals("--ignore-sigterm --fork-grandchild").await, ["SIGTERM", "SIGTERM", "SIGKILL"]);
}

/// A worker whose model the policy sizes, with a job that never ends, in the middle of a change to three slots.
async fn resizing(drain: &str) -> (Stage, Worker, Link) {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let sized_by_policy = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", ""), ("AUXOT_FLEET__DRAIN_TIMEOUT", drain)];
    let mut worker = stage.worker(&[&SETTINGS[..], &sized_by_policy[..]].concat()).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    config(&mut link, "two slots", |about| about["total_slots"] == 2).await;
    link.send(&job("endless", "fake: --tokens 1000000 --token-us 1000")).await;
    link.about("endless").await;
    link.send(&json!({"type": "policy_update", "policy": policy("tiny-chat", "Q4_K_M", 2048, 3)})).await;
    worker.line("from=\"ready\" to=\"draining\"").await;
    (stage, worker, link)
}

#[tokio::test]
async fn a_job_that_outlasts_the_drain_of_a_resize_ends_with_the_reason_and_the_new_size_loads() {
    let (stage, _worker, mut link) = resizing("200ms").await;
    link.outcome("endless").await.failed();
    config(&mut link, "three slots", |about| about["total_slots"] == 3).await;
    link.says("next", "the new size serves").await;
    drop(stage);
}

#[tokio::test]
async fn a_worker_that_ends_in_the_middle_of_a_resize_starts_no_engine() {
    let (mut stage, mut worker, mut link) = resizing("10s").await;
    worker.program.signal(Signal::SIGTERM);
    worker.line("from=\"serving\" to=\"draining\"").await;
    link.cancel("endless").await;
    assert_eq!(worker.exit_code().await, Some(0));
    stage.reports.next("end", DEADLINE).await;
    let starts = stage.reports.past().iter().filter(|event| event.name == "start").count();
    assert_eq!(starts, 1, "{:?}", worker.lines_with("model gets another size"));
}
