//! The metrics of a running worker, as a scraper reads them.

use std::collections::BTreeMap;

use auxot_tests::scripted_router::{job, policy};
use auxot_tests::{Stage, Worker, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// A worker that has served a job, and whose engine was killed once.
async fn served() -> (Stage, Worker) {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--tokens 5");
    let worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    link.send(&job("job-1", "hello")).await;
    link.outcome("job-1").await.completed();
    let engine = processes::descendants(worker.program.pid())[0];
    kill(Pid::from_raw(engine.cast_signed()), Signal::SIGKILL).unwrap();
    stage.reports.next("ready", DEADLINE).await;
    worker.metric_until("auxot_worker_model_loaded", &[], |loaded| loaded == 1.0).await;
    (stage, worker)
}

#[tokio::test]
async fn every_series_is_described_and_named_as_it_should_be() {
    let (_stage, worker) = served().await;
    let text = worker.metrics().await;
    let mut described: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, about) in text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')) {
        described.insert(name, about);
    }
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: BTreeMap<&str, &str> = kinds.collect();
    for (name, kind) in &kinds {
        let about = described.get(name).unwrap_or_else(|| panic!("{name} is not described"));
        assert!(about.len() > 8, "{name}: {about}");
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(!name.contains("_ms") && !name.contains("_milli") && !name.contains("_mib"), "{name}");
        assert_ne!(*kind, "summary", "{name}: summaries of several hosts cannot be added up");
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(kinds.contains_key(name) || base.is_some_and(|base| kinds.contains_key(base)), "{line}");
        assert!(line.len() < 400, "{line}");
    }
}

#[tokio::test]
async fn the_questions_of_an_operator_have_a_series() {
    let (_stage, worker) = served().await;
    let text = worker.metrics().await;
    for name in [
        "auxot_worker_jobs_total",
        "auxot_worker_queue_wait_seconds_count",
        "auxot_worker_time_to_first_token_seconds_count",
        "auxot_worker_inter_token_seconds_count",
        "auxot_worker_inference_duration_seconds_count",
        "auxot_worker_tokens_generated_total",
        "auxot_worker_prompt_tokens_total",
        "auxot_worker_prompt_tokens_cached_total",
        "auxot_worker_engine_load_seconds_count",
        "auxot_worker_engine_restarts_total",
        "auxot_worker_engine_log_bytes_total",
        "auxot_worker_model_failed",
        "auxot_worker_device_memory_used_bytes",
        "auxot_worker_device_memory_others_bytes",
        "auxot_worker_router_connections",
        "auxot_worker_router_configured",
        "auxot_worker_orphans_ended_total",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "no {name}");
    }
    assert_eq!(worker.metric("auxot_worker_router_configured", &[]).await, 1.0);
    assert_eq!(worker.metric("auxot_worker_inter_token_seconds_count", &[]).await, 1.0);
    assert!(worker.metric("auxot_worker_engine_log_bytes_total", &[]).await > 0.0);
    // A scrape requests the next reading of the engines; what they have is shown by a later one.
    worker.metric_until("auxot_worker_llamacpp_tokens_predicted_total", &[], |tokens| tokens >= 0.0).await;
}

#[tokio::test]
async fn a_taken_port_does_not_stop_the_worker_and_is_shown() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    command.env("AUXOT_METRICS_PORT", &port).env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
    let mut program = auxot_tests::Program::start(command);
    program.line("cannot listen for metrics", DEADLINE).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let output = tokio::process::Command::new(auxot_tests::binaries::program("auxot-worker"))
        .arg("status")
        .env_clear()
        .env("AUXOT_RUNTIME_DIR", stage.scratch.join("run"))
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(&format!("! cannot listen for metrics on 127.0.0.1:{port}: ")), "{text}");
    drop(taken);
    program.line("metrics endpoint listens", DEADLINE).await;
}
