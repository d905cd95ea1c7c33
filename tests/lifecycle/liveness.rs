//! Engines that hang are found and replaced, and their jobs end or run again.

use std::time::Duration;

use auxot_tests::scripted_router::{Link, job, policy, saying};
use auxot_tests::{Stage, Worker, leftovers, processes, real};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// Everything ten times as fast as by default, and more.
const SETTINGS: [(&str, &str); 5] = [
    ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL),
    ("AUXOT_ENGINE__LIVENESS_INTERVAL", "300ms"),
    ("AUXOT_ENGINE__LIVENESS_BUSY_INTERVAL", "100ms"),
    ("AUXOT_ENGINE__LIVENESS_TIMEOUT", "100ms"),
    ("AUXOT_ENGINE__STOP_AGAIN", "200ms"),
];

async fn serving(stage: &mut Stage, more: &[(&str, &str)]) -> (Worker, Link, u32) {
    let worker = stage.worker(&[&SETTINGS, more].concat()).await;
    let link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    (worker, link, engine)
}

fn stopped(engine: u32) {
    kill(Pid::from_raw(engine.cast_signed()), Signal::SIGSTOP).unwrap();
}

/// The next engine is there, and the one before it is gone.
async fn replaced(stage: &mut Stage, engine: u32) {
    let next = stage.reports.next("ready", DEADLINE).await.pid;
    assert_ne!(next, engine);
    processes::ended(&[engine], Duration::ZERO).await;
}

#[tokio::test]
async fn a_stopped_idle_engine_is_replaced() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let (_worker, mut link, engine) = serving(&mut stage, &[]).await;
    stopped(engine);
    replaced(&mut stage, engine).await;
    link.says("one", "the next one serves").await;
}

#[tokio::test]
async fn a_stopped_engine_in_the_middle_of_an_answer_ends_the_job_and_is_replaced() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let (worker, mut link, engine) = serving(&mut stage, &[]).await;
    link.send(&job("cut", "fake: --tokens 100000 --token-us 10000")).await;
    link.about("cut").await;
    stopped(engine);
    assert!(link.outcome("cut").await.failed().contains("stopped in the middle"));
    replaced(&mut stage, engine).await;
    link.says("one", "the next one serves").await;
    assert_eq!(worker.metric("auxot_worker_engine_restarts_total", &[r#"cause="unresponsive""#]).await, 1.0);
}

#[tokio::test]
async fn a_job_before_its_first_token_is_run_again_on_the_next_engine() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--prompt-ms 600000");
    let (_worker, mut link, engine) = serving(&mut stage, &[]).await;
    link.send(&saying("retried", "second try")).await;
    stage.reports.next("slot", DEADLINE).await;
    stage.switch(MODEL_FILE, "");
    stopped(engine);
    assert_eq!(link.outcome("retried").await.completed(), "second try");
    replaced(&mut stage, engine).await;
}

#[tokio::test]
async fn a_deadlocked_engine_is_replaced() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let (_worker, mut link, engine) = serving(&mut stage, &[]).await;
    link.send(&job("cut", "fake: --deadlock-at 1")).await;
    link.outcome("cut").await.failed();
    replaced(&mut stage, engine).await;
    link.says("one", "the next one serves").await;
}

#[tokio::test]
async fn a_hung_engine_behind_a_healthy_front_is_replaced() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let (_worker, mut link, engine) = serving(&mut stage, &[("AUXOT_ENGINE__LIVENESS_STALL", "500ms")]).await;
    link.send(&job("cut", "fake: --stall-at 1")).await;
    link.outcome("cut").await.failed();
    replaced(&mut stage, engine).await;
}

#[tokio::test]
async fn an_engine_that_sends_nothing_but_comments_is_replaced() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let settings = [("AUXOT_ENGINE__LIVENESS_STALL", "300ms")];
    let (_worker, mut link, engine) = serving(&mut stage, &settings).await;
    link.send(&job("cut", "fake: --lose-at 1")).await;
    link.outcome("cut").await.failed();
    replaced(&mut stage, engine).await;
}

#[tokio::test]
async fn an_engine_whose_socket_file_is_gone_is_replaced() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let (_worker, mut link, engine) = serving(&mut stage, &[]).await;
    let folder = std::fs::read_dir(stage.scratch.join("run")).unwrap().flatten().find(|entry| entry.path().is_dir());
    let files = std::fs::read_dir(folder.unwrap().path()).unwrap().flatten().map(|entry| entry.path());
    let socket = files.into_iter().find(|path| leftovers::is_engine_socket(path));
    std::fs::remove_file(socket.unwrap()).unwrap();
    replaced(&mut stage, engine).await;
    link.says("one", "the next one serves").await;
}

#[tokio::test]
async fn the_real_engine_stopped_in_the_middle_of_an_answer_is_replaced_in_time() {
    let mut stage = Stage::new();
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    let model = "tiny-loop-f16.gguf";
    std::fs::copy(real::tiny_models().join(model), stage.scratch.models().join(model)).unwrap();
    // The times are the default ones: this is the promise itself.
    command.env("AUXOT_LLAMA_BINARY", real::engine()).env("AUXOT_GPU_AUTOLOAD_MODELS", "tiny-loop-f16");
    command.env("AUXOT_THREADS", "1");
    let mut worker = Worker::start(command).await;
    let mut link = stage.greeted(&policy("tiny-loop", "F16", 2048, 2)).await;
    let engine = processes::descendants(worker.program.pid())[0];
    link.send(&job("cut", "hello")).await;
    link.about("cut").await;
    stopped(engine);
    link.outcome("cut").await.failed();
    worker.line("engine process started").await;
    worker.metric_until("auxot_worker_engine_restarts_total", &[r#"cause="unresponsive""#], |count| count == 1.0).await;
    worker.metric_until("auxot_worker_model_loaded", &[r#"model="tiny-loop-f16""#], |loaded| loaded == 1.0).await;
    processes::ended(&[engine], Duration::ZERO).await;
}
