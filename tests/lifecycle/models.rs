//! Models that appear and disappear while the worker runs.

use auxot_tests::scripted_router::{End, policy};
use auxot_tests::{Stage, binaries, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{DEADLINE, MODEL, MODEL_FILE, config};

#[tokio::test]
async fn the_engine_of_an_earlier_policy_ends_when_the_new_model_serves() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    stage.put("second-q8_0.gguf", "");
    let worker = stage.worker(&[]).await;
    let first = policy("tiny-chat", "Q4_K_M", 2048, 2);
    // Without a model, the first connection only waits for the policy.
    let _asked = stage.greeted(&first).await;
    let mut link = stage.greeted(&first).await;
    config(&mut link, "the first model", |about| about["model"] == "tiny-chat").await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    link.send(&json!({"type": "policy_update", "policy": policy("second", "Q8_0", 2048, 2)})).await;
    config(&mut link, "the second model alone", |about| {
        let state = |at: usize| &about["models"][at]["state"];
        about["model"] == "second" && state(0) == "ready" && state(1) == "stopped"
    })
    .await;
    processes::ended(&[engine], DEADLINE).await;
    link.says("one", "the second serves").await;
    assert_eq!(processes::descendants(worker.program.pid()).len(), 1);
}

#[tokio::test]
async fn a_model_that_comes_later_is_found_without_a_restart() {
    let mut stage = Stage::new();
    stage.put("other-q8_0.gguf", "");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "other-q8_0"), ("AUXOT_FLEET__RESCAN_INTERVAL", "100ms")];
    let _worker = stage.worker(&settings).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let reported =
        config(&mut link, "it is missing", |about| about["unmet"].to_string().contains("tiny-chat-Q4_K_M")).await;
    assert_eq!(reported["capabilities"]["model"], "other");
    stage.put(MODEL_FILE, "");
    let reported = config(&mut link, "it is there", |about| about["model"] == "tiny-chat").await;
    assert!(
        reported["capabilities"]["unmet"].is_null() || reported["capabilities"]["unmet"] == json!([]),
        "{reported}"
    );
    link.says("one", "it serves").await;
}

#[tokio::test]
async fn a_model_that_has_failed_is_tried_again_when_its_file_is_another_one() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--exit-at-load \"1:unknown model architecture: 'nonsense'\"");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_FLEET__RESCAN_INTERVAL", "100ms")];
    let mut worker = stage.worker(&settings).await;
    worker.line("to=\"failed\"").await;
    let path = stage.scratch.models().join(MODEL_FILE);
    let whole = std::fs::read(&path).unwrap();
    // While the new file is being written it is no model at all, which is a change too, and no way out.
    std::fs::write(&path, &whole[..100]).unwrap();
    worker.line("model file cannot be used").await;
    stage.switch(MODEL_FILE, "");
    std::fs::write(&path, whole).unwrap();
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    link.says("one", "it serves").await;
}

#[tokio::test]
async fn an_engine_whose_program_was_gone_for_a_while_serves_again() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let engine = stage.scratch.join("engine");
    let there = || std::os::unix::fs::symlink(binaries::fake_engine(), &engine).unwrap();
    there();
    let settings = [
        ("AUXOT_LLAMA_BINARY", engine.to_str().unwrap()),
        ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL),
        ("AUXOT_FLEET__RESCAN_INTERVAL", "100ms"),
    ];
    let mut worker = stage.worker(&settings).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let first = stage.reports.next("ready", DEADLINE).await.pid;
    std::fs::remove_file(&engine).unwrap();
    kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL).unwrap();
    // It is tried once more, because something has changed: the program has gone.
    let (at, _) = worker.program.line_after(0, "a failed model is retried", DEADLINE).await;
    worker.program.line_after(at, "to=\"failed\"", DEADLINE).await;
    // With nothing to serve there is no link, which would only attract jobs.
    assert_eq!(link.ended().await, End::Closed(1000));
    there();
    stage.reports.next("ready", DEADLINE).await;
    let mut again = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    again.says("two", "it serves").await;
}

#[tokio::test]
async fn sighup_gives_a_failed_model_another_chance_and_ends_nothing() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--abort-at-load");
    let settings = [
        ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL),
        ("AUXOT_ENGINE__RESTART_BUDGET", "2"),
        ("AUXOT_ENGINE__RESTART_DELAY", "10ms"),
        ("AUXOT_FLEET__RESCAN_INTERVAL", "1h"),
    ];
    let mut worker = stage.worker(&settings).await;
    worker.line("to=\"failed\"").await;
    stage.switch(MODEL_FILE, "");
    worker.program.signal(Signal::SIGHUP);
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    link.says("one", "it serves").await;
    let reported = worker.line("failed models may be loaded again").await;
    assert!(reported.contains("models=1"), "{reported}");
}
