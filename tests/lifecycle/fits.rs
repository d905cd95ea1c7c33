//! A model that is too large for its device is loaded in the largest size that fits, which the router is sent.

use std::os::unix::fs::PermissionsExt;

use auxot_tests::scripted_router::{job, policy};
use auxot_tests::{Stage, real};

use crate::{DEADLINE, MODEL, MODEL_FILE, config};

/// Four slots of 1024 tokens are wanted.
const SETTINGS: [(&str, &str); 3] =
    [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_MAX_PARALLEL", "4"), ("AUXOT_CTX_SIZE", "1024")];

/// Slots and whole context of the engine that starts next.
async fn next_size(stage: &mut Stage) -> [u64; 2] {
    let start = stage.next_start().await;
    ["--parallel", "--ctx-size"].map(|flag| start.number(flag))
}

#[tokio::test]
async fn the_largest_size_that_loads_is_served_reported_and_remembered() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--device-tokens 3500");
    let mut worker = stage.worker(&SETTINGS).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 1024, 4)).await;
    let reported = config(&mut link, "three slots", |about| about["total_slots"] == 3).await;
    let unmet = reported["capabilities"]["unmet"].to_string();
    assert!(unmet.contains("policy requires 4 slots, tiny-chat-q4_k_m has 3"), "{unmet}");
    assert!(unmet.contains("is planned with 4 slots of 1024 tokens; the memory holds 3 of 1024"), "{unmet}");
    link.says("one", "it serves").await;
    for expected in [[4, 4096], [2, 2048], [3, 3072]] {
        assert_eq!(next_size(&mut stage).await, expected);
    }
    drop(link);
    worker.program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(worker.exit_code().await, Some(0));
    // The next run begins with it.
    let _worker = stage.worker(&SETTINGS).await;
    assert_eq!(next_size(&mut stage).await, [3, 3072]);
    stage.reports.next("ready", DEADLINE).await;
}

#[tokio::test]
async fn context_is_reduced_after_the_last_slot() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--device-tokens 600");
    let _worker = stage.worker(&SETTINGS).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 1024, 4)).await;
    let reported = config(&mut link, "one small slot", |about| about["total_slots"] == 1).await;
    assert_eq!(reported["capabilities"]["ctx_size"], 512);
    link.says("one", "it serves").await;
}

#[tokio::test]
async fn the_real_engine_is_reduced_to_the_size_that_a_real_limit_allows() {
    let mut stage = Stage::new();
    let model = "tiny-loop-f16.gguf";
    std::os::unix::fs::symlink(real::tiny_models().join(model), stage.scratch.models().join(model)).unwrap();
    // 32 slots of this model take 256 MiB in one piece, beside what the engine itself needs.
    let engine = stage.scratch.join("engine.sh");
    let script = format!("#!/bin/sh\nulimit -d 700000\nexec {} \"$@\"\n", real::engine().display());
    std::fs::write(&engine, script).unwrap();
    std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = [
        ("AUXOT_LLAMA_BINARY", engine.to_str().unwrap()),
        ("AUXOT_GPU_AUTOLOAD_MODELS", "tiny-loop-f16"),
        ("AUXOT_MAX_PARALLEL", "32"),
        ("AUXOT_CTX_SIZE", "65536"),
        ("AUXOT_THREADS", "1"),
    ];
    let mut worker = stage.worker(&settings).await;
    worker.line("class=\"host_memory\"").await;
    let mut link = stage.greeted(&policy("tiny-loop", "F16", 65_536, 32)).await;
    let reported =
        config(&mut link, "some slots", |about| about["total_slots"].as_u64().is_some_and(|slots| slots > 1)).await;
    let about = &reported["capabilities"];
    assert!(about["total_slots"].as_u64().unwrap() < 32 && about["ctx_size"] == 65_536, "{about}");
    assert!(about["unmet"].to_string().contains("is planned with 32 slots of 65536 tokens"), "{about}");
    link.send(&job("one", "hello")).await;
    link.about("one").await;
    link.cancel("one").await;
}
