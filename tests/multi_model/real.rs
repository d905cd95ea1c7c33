//! Real engines in host memory: three at once, one evicted for another, and their measured memory.

use auxot_tests::DEADLINE;
use std::path::PathBuf;

use auxot_tests::scripted_router::{Link, job_for};
use auxot_tests::{Stage, Worker, processes, real};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::SHORT_WAITS;

const TINY: [&str; 2] = ["tiny-script-f16", "tiny-loop-f16"];
const REAL: &str = "gemma-3-270m-q4_k_m";
/// The allowed error of the estimate, as a share of the measured memory.
const ALLOWED: f64 = 0.05;
/// Bytes that a process may hold more or less than at its last reading: the kernel drops pages of files, and maps them again.
const DROPPED: u64 = 2 << 20;
/// The large one and one of the small ones fit into it, with vocabulary and slots.
const LIMIT: &str = "425MiB";
/// The same with 15 MiB to spare: a program that was fetched a moment ago maps some 5 MiB more of its own file. Where the engine
/// copies its weights (541 MiB resident on a processor that suits them), counting the copy is far above it.
const LIMIT_WITH_COPY: &str = "440MiB";
const ERROR: &str = "auxot_worker_memory_estimate_error_ratio";
/// Without copies of weights for one kind of processor, so that what is held is what counts.
const PLAIN: (&str, &str) = ("AUXOT_ENGINE__EXTRA_ARGS", "--no-repack");

fn source(name: &str) -> PathBuf {
    if name == REAL { real::model() } else { real::tiny_models().join(format!("{name}.gguf")) }
}

fn stage() -> Stage {
    let stage = Stage::new();
    for name in TINY.into_iter().chain([REAL]) {
        std::os::unix::fs::symlink(source(name), stage.scratch.models().join(format!("{name}.gguf"))).unwrap();
    }
    stage
}

async fn serving(stage: &mut Stage, settings: &[(&str, &str)]) -> (Worker, Link) {
    let engine = real::engine().display().to_string();
    let own = [
        ("AUXOT_LLAMA_BINARY", engine.as_str()),
        ("AUXOT_MAX_PARALLEL", "1"),
        ("AUXOT_CTX_SIZE", "2048"),
        ("AUXOT_THREADS", "1"),
    ];
    let worker = stage.worker(&[&SHORT_WAITS, &own[..], settings].concat()).await;
    let link = stage.greeted(&Value::Null).await;
    (worker, link)
}

/// Runs a short job on a model, and waits until it is idle again.
async fn run_job(worker: &Worker, link: &mut Link, model: &str) {
    let job = format!("for-{model}-{}", link.history().len());
    link.send(&job_for(&job, model, "hello")).await;
    if model == TINY[0] {
        assert!(link.outcome(&job).await.completed().starts_with("Hello from a tiny model."));
    } else {
        link.about(&job).await;
        link.cancel(&job).await;
        let label = format!("model=\"{model}\"");
        worker.metric_until("auxot_worker_slots_busy", &[&label], |busy| busy == 0.0).await;
    }
}

/// The models that have an engine now, with its process.
fn living(worker: &Worker) -> Vec<(&'static str, u32)> {
    let pids = processes::descendants(worker.program.pid());
    let of = |name: &'static str| {
        let is_its = |pid: &&u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').any(|word| word == name)
        };
        Some((name, *pids.iter().find(is_its)?))
    };
    TINY.into_iter().chain([REAL]).filter_map(of).collect()
}

fn names(living: &[(&'static str, u32)]) -> Vec<&'static str> {
    living.iter().map(|(name, _)| *name).collect()
}

async fn takes_what_was_expected(worker: &Worker, model: &str) {
    let (label, living) = (format!("model=\"{model}\""), living(worker));
    let (_, pid) = living.iter().find(|(name, _)| *name == model).unwrap();
    // Read again each time: a kernel short of memory drops pages of the program meanwhile.
    let allowed = || {
        let held = auxot_gpu::host_use(*pid).bytes.unwrap();
        ALLOWED + (real::apart(*pid) + DROPPED) as f64 / held as f64
    };
    worker.metric_until(ERROR, &[&label], |error| error.abs() <= allowed()).await;
}

#[tokio::test]
async fn three_serve_at_once_take_what_was_computed_and_are_gone_with_their_worker() {
    let mut stage = stage();
    let all = [TINY[0], TINY[1], REAL];
    let (mut worker, mut link) = serving(&mut stage, &[PLAIN, ("AUXOT_GPU_AUTOLOAD_MODELS", &all.join(","))]).await;
    for model in all {
        run_job(&worker, &mut link, model).await;
        takes_what_was_expected(&worker, model).await;
    }
    assert_eq!(names(&living(&worker)), all);
    let engines = processes::descendants(worker.program.pid());
    worker.program.signal(Signal::SIGKILL);
    worker.program.ended(DEADLINE).await;
    processes::ended(&engines, DEADLINE).await;
}

#[tokio::test]
async fn under_a_small_limit_one_model_is_evicted_for_another() {
    let mut stage = stage();
    let (worker, mut link) =
        serving(&mut stage, &[PLAIN, ("AUXOT_GPU_AUTOLOAD_MODELS", TINY[0]), ("AUXOT_PLACEMENT__HOST_LIMIT", LIMIT)])
            .await;
    for model in [TINY[0], REAL, TINY[1], TINY[0]] {
        run_job(&worker, &mut link, model).await;
        let living = living(&worker);
        // Which model was evicted depends on the load times. An engine with fewer libraries may leave room for a third.
        let most = if real::is_small(living[0].1) { 3 } else { 2 };
        assert!(living.len() <= most && names(&living).contains(&model), "{living:?} after {model}");
        let held: u64 = living.iter().filter_map(|(_, pid)| auxot_gpu::host_use(*pid).bytes).sum();
        assert!(held <= 425 << 20, "{living:?} hold {held} bytes");
    }
}

/// The engine computes with a copy of most weights where that suits the processor. What they were copied from it holds as
/// well, and needs no more: neither the next load is refused for it, nor a model beside it.
#[tokio::test]
async fn weights_that_are_held_twice_count_once() {
    let mut stage = stage();
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", REAL), ("AUXOT_PLACEMENT__HOST_LIMIT", LIMIT_WITH_COPY)];
    for _ in 0..2 {
        let (mut worker, mut link) = serving(&mut stage, &settings).await;
        for model in [REAL, TINY[0]] {
            run_job(&worker, &mut link, model).await;
            takes_what_was_expected(&worker, model).await;
        }
        let living = living(&worker);
        assert_eq!(names(&living), [TINY[0], REAL]);
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", living[1].1)).unwrap();
        assert!(line.replace('\0', " ").contains("--ctx-size 2048 "), "as large as it was wanted: {line:?}");
        worker.program.signal(Signal::SIGTERM);
        worker.program.ended(DEADLINE).await;
    }
}
