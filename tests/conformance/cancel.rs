//! `cancel` in every phase of a job (item 15): no more messages, and the slot is released although the answer is endless.

use auxot_tests::Event;
use auxot_tests::scripted_router::{Link, job};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DEADLINE, Stage};

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// Cancels the job and waits until its slot is released by the closed connection, long before the answer would end.
async fn cancelled(stage: &mut Stage, link: &mut Link, job_id: &str) -> Event {
    link.cancel(job_id).await;
    let released = stage.reports.next("released", DEADLINE).await;
    assert_eq!(released.detail["how"], "gone");
    released
}

/// The job has no final message, and after this barrier none will follow.
async fn assert_silent(link: &mut Link, job_id: &str) {
    link.says(&format!("after-{job_id}"), "the worker goes on").await;
    let last_words = |frame: &&serde_json::Value| {
        frame["job_id"] == job_id && (frame["type"] == "complete" || frame["type"] == "error")
    };
    assert_eq!(link.history().iter().find(last_words), None);
}

async fn assert_counted(stage: &Stage, count: f64) {
    stage.worker.metric_until("auxot_worker_jobs_total", &["ending=\"cancelled\""], |value| value == count).await;
}

#[tokio::test]
async fn c15_cancel_in_the_middle_of_the_stream() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("streaming", "fake: --tokens 100000 --token-us 5000")).await;
    link.about("streaming").await;
    cancelled(&mut stage, &mut link, "streaming").await;
    assert_silent(&mut link, "streaming").await;
    assert_counted(&stage, 1.0).await;
}

#[tokio::test]
async fn c15_cancel_during_prompt_processing() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("prompt", "fake: --prompt-ms 60000")).await;
    stage.reports.next("slot", DEADLINE).await;
    let released = cancelled(&mut stage, &mut link, "prompt").await;
    assert_eq!(released.detail["tokens"], 0);
    assert_silent(&mut link, "prompt").await;
    assert_counted(&stage, 1.0).await;
}

#[tokio::test]
async fn c15_cancel_before_the_engine_answers() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    signal(engine, Signal::SIGSTOP);
    link.send(&job("unheard", "fake: --prompt-ms 60000")).await;
    stage.worker.line("job received").await;
    link.cancel("unheard").await;
    // The job has ended in the worker although the engine has not sent a byte.
    assert_counted(&stage, 1.0).await;
    signal(engine, Signal::SIGCONT);
    assert_silent(&mut link, "unheard").await;
    assert_eq!(link.count_about("unheard"), 0);
}

#[tokio::test]
async fn c15_cancel_while_the_engine_does_not_take_the_request() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    signal(engine, Signal::SIGSTOP);
    // More than a socket's buffers hold, so that sending it waits for the engine.
    link.send(&job("long", &"words ".repeat(1 << 20))).await;
    stage.worker.line("job received").await;
    link.cancel("long").await;
    assert_counted(&stage, 1.0).await;
    signal(engine, Signal::SIGCONT);
    assert_silent(&mut link, "long").await;
}

#[tokio::test]
async fn c15_cancel_while_waiting_for_a_slot() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_MAX_PARALLEL", "1")]).await;
    link.send(&job("holder", "fake: --tokens 100000 --token-us 5000")).await;
    stage.reports.next("slot", DEADLINE).await;
    link.send(&job("waiter", "fake: --text 'never said'")).await;
    stage.worker.line("job=waiter").await;
    link.cancel("waiter").await;
    assert_counted(&stage, 1.0).await;
    cancelled(&mut stage, &mut link, "holder").await;
    assert_silent(&mut link, "waiter").await;
    assert_eq!(link.count_about("waiter"), 0, "it never had anything to say");
}

#[tokio::test]
async fn c15_cancel_while_the_engine_restarts() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    stage.set_switches("--load-ms 1500");
    signal(engine, Signal::SIGKILL);
    stage.reports.next_of(engine, "end", DEADLINE).await;
    link.send(&job("early", "fake: --text 'never said'")).await;
    stage.worker.line("job=early").await;
    link.cancel("early").await;
    assert_counted(&stage, 1.0).await;
    assert_silent(&mut link, "early").await;
    assert_eq!(link.count_about("early"), 0);
}

#[tokio::test]
async fn c15_cancel_after_the_end_and_of_an_unknown_job_changes_nothing() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    link.says("done", "already said").await;
    let before = link.count_about("done");
    link.cancel("done").await;
    link.cancel("unknown-job").await;
    link.says("still", "still serving").await;
    assert_eq!((link.count_about("done"), link.count_about("unknown-job")), (before, 0));
    assert_eq!(stage.worker.metric("auxot_worker_jobs_total", &["ending=\"cancelled\""]).await, 0.0);
}

#[tokio::test]
async fn c15_a_cancel_is_confirmed_if_the_setting_says_so() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_ROUTER__CONFIRM_CANCEL", "true")]).await;
    link.send(&job("confirmed", "fake: --stall-at 1")).await;
    link.about("confirmed").await;
    cancelled(&mut stage, &mut link, "confirmed").await;
    assert_eq!(link.outcome("confirmed").await.failed(), "cancelled");
}

#[tokio::test]
async fn c15_the_end_of_an_old_round_is_not_that_of_the_new_one() {
    let (stage, mut link) = Stage::serving("", &[("AUXOT_ROUTER__CONFIRM_CANCEL", "true")]).await;
    link.send(&job("round", "fake: --tokens 100000 --token-us 5000 --text 'old '")).await;
    link.about("round").await;
    link.send(&job("round", "fake: --text 'new words'")).await;
    assert_eq!(link.outcome("round").await.completed().trim_start_matches("old "), "new words");
    stage.worker.metric_until("auxot_worker_jobs_total", &["ending=\"superseded\""], |count| count == 1.0).await;
}

#[tokio::test]
async fn c15_a_job_that_is_sent_again_after_its_cancel_restarts() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let frame = job("again", "fake: --tokens 40 --token-us 5000");
    link.send(&frame).await;
    link.about("again").await;
    let before = link.count_about("again");
    link.cancel("again").await;
    link.send(&frame).await;
    let outcome = link.outcome("again").await;
    outcome.completed();
    let whole = outcome.end["full_response"].as_str().unwrap();
    assert!(outcome.text.ends_with(whole), "all of it, behind what the first {before} messages had begun");
}
