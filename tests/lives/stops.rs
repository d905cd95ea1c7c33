//! The way to stop an engine, rung by rung, and how long it may take.

use std::time::{Duration, Instant};

use auxot_tests::scripted_router::policy;
use auxot_tests::{Stage, processes};
use nix::sys::signal::Signal;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// The rungs of the ladder; a second more is what the worker itself may take.
const SETTINGS: [(&str, &str); 4] = [
    ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL),
    ("AUXOT_ENGINE__STOP_GRACE", "300ms"),
    ("AUXOT_ENGINE__STOP_AGAIN", "300ms"),
    ("AUXOT_ENGINE__STOP_KILL", "1s"),
];
const WORST_CASE: Duration = Duration::from_millis(300 + 300 + 1000 + 1000);

/// Ends a worker whose engine has these manners; gives the signals that the engine got, in order.
async fn signals(switches: &str) -> Vec<String> {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, switches);
    let mut worker = stage.worker(&SETTINGS).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let engines = processes::descendants(worker.program.pid());
    worker.program.signal(Signal::SIGTERM);
    worker.line("to=\"stopping\"").await;
    let begun = Instant::now();
    assert_eq!(worker.exit_code().await, Some(0));
    assert!(begun.elapsed() <= WORST_CASE, "{:?}", begun.elapsed());
    processes::ended(&engines, Duration::ZERO).await;
    let lines = worker.lines_with("signal to the engine's group");
    let word = |line: &String| line.split_whitespace().find_map(|word| word.strip_prefix("signal=")).map(str::to_owned);
    lines.iter().filter_map(word).collect()
}

#[tokio::test]
async fn a_well_behaved_engine_gets_one_term() {
    assert_eq!(signals("").await, ["Terminate"]);
}

#[tokio::test]
async fn a_lost_term_is_sent_again() {
    assert_eq!(signals("--lose-first-term --lose-order").await, ["Terminate", "Terminate"]);
}

#[tokio::test]
async fn an_engine_that_hears_nothing_is_killed_with_its_children() {
    assert_eq!(signals("--ignore-sigterm --fork-grandchild").await, ["Terminate", "Terminate", "Kill"]);
}
