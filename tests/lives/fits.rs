//! A model that is too large for its device is dialled down to what fits, and the router is told the truth.

use auxot_tests::Stage;
use auxot_tests::scripted_router::policy;

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
async fn the_largest_size_that_loads_is_served_told_and_remembered() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--device-tokens 3500");
    let mut worker = stage.worker(&SETTINGS).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 1024, 4)).await;
    let told = config(&mut link, "three slots", |about| about["total_slots"] == 3).await;
    let unmet = told["capabilities"]["unmet"].to_string();
    assert!(unmet.contains("policy wants 4 slots, tiny-chat-q4_k_m has 3"), "{unmet}");
    assert!(unmet.contains("was to have 4 slots of 1024 tokens; the memory holds 3 of 1024"), "{unmet}");
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
async fn context_is_dialled_down_after_the_last_slot() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--device-tokens 600");
    let _worker = stage.worker(&SETTINGS).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 1024, 4)).await;
    let told = config(&mut link, "one small slot", |about| about["total_slots"] == 1).await;
    assert_eq!(told["capabilities"]["ctx_size"], 512);
    link.says("one", "it serves").await;
}
