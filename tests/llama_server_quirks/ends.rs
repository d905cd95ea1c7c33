//! Quirks of signals and exits: 1 to 3, 16 and 18.

use std::time::{Duration, Instant};

use auxot_tests::processes;
use auxot_tests::scripted_router::job;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DEADLINE, served};

/// The times of a stop, long enough to distinguish its steps.
const STOP_TIMES: [(&str, &str); 4] = [
    ("AUXOT_FLEET__DRAIN_TIMEOUT", "100ms"),
    ("AUXOT_ENGINE__STOP_GRACE", "2s"),
    ("AUXOT_ENGINE__STOP_AGAIN", "10s"),
    ("AUXOT_LOG_LEVEL", "debug"),
];

fn signals(worker: &auxot_tests::Worker) -> usize {
    worker.lines_with("signal to the engine's group").len()
}

#[tokio::test]
async fn quirk_01_a_term_does_not_hang_on_the_engines_clients() {
    let mut served = served("", &STOP_TIMES).await;
    served.link.send(&job("endless", "fake: --tokens 1000000 --token-us 1000")).await;
    served.link.about("endless").await;
    served.worker.program.signal(Signal::SIGTERM);
    served.worker.line("to=\"stopping\"").await;
    assert_eq!(served.worker.exit_code().await, Some(0));
    // Our sockets were closed before, so the first TERM was enough.
    assert_eq!(signals(&served.worker), 1);
}

#[tokio::test]
async fn quirk_02_a_lost_term_costs_one_step() {
    let mut served = served("--lose-first-term --lose-order", &STOP_TIMES).await;
    served.worker.program.signal(Signal::SIGTERM);
    let begun = Instant::now();
    assert_eq!(served.worker.exit_code().await, Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(2), "the second one comes after the first had its time");
    assert_eq!(signals(&served.worker), 2);
}

#[tokio::test]
async fn quirk_03_one_signal_for_each_step_gives_a_clean_exit() {
    let mut served = served("", &STOP_TIMES).await;
    served.worker.program.signal(Signal::SIGTERM);
    assert_eq!(served.worker.exit_code().await, Some(0));
    assert_eq!(signals(&served.worker), 1);
    let end = served.worker.lines_with("engine process gone").pop().unwrap();
    assert!(end.contains("code=0"), "a second signal would have been an exit of 1: {end}");
}

#[tokio::test]
async fn quirk_16_no_engine_outlives_a_worker_that_was_killed() {
    let served = served("--fork-grandchild", &[]).await;
    let engine = served.start.0.pid;
    served.worker.program.signal(Signal::SIGKILL);
    processes::ended(&[engine], DEADLINE).await;
    // What an engine itself has started is ended by the worker's next start, which does not come here.
    processes::end_group(engine);
}

#[tokio::test]
async fn quirk_18_a_bus_error_is_a_crash_like_any_other() {
    let mut served = served("", &[]).await;
    let engine = served.start.0.pid;
    // More than once: the first finds a handler, for overflown stacks, that gives the default back and returns.
    while processes::alive(engine) {
        let _dead_already = kill(Pid::from_raw(engine.cast_signed()), Signal::SIGBUS);
        tokio::task::yield_now().await;
    }
    served.stage.reports.next("ready", DEADLINE).await;
    served.link.says("one", "the next one serves").await;
    let reported = served.worker.lines_with("a signal ended the engine (signal 7)");
    assert_eq!(reported.len(), 1);
    assert_eq!(served.worker.metric("auxot_worker_engine_restarts_total", &[r#"cause="signal""#]).await, 1.0);
}
