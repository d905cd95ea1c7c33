//! Model files that appear, change and disappear while the worker runs are noticed at once: the next regular scan is
//! an hour away.

use std::fs::{self, File};
use std::io::Write;

use auxot_tests::gguf::ModelFile;
use auxot_tests::scripted_router::{job, policy, saying};
use auxot_tests::{Stage, Worker};
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL, MODEL_FILE, config};

/// A worker that serves one model and never looks by the clock.
async fn worker(stage: &Stage, autoload: &str) -> Worker {
    stage.put("other-q8_0.gguf", "");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", autoload), ("AUXOT_FLEET__RESCAN_INTERVAL", "1h")];
    stage.worker(&settings).await
}

/// A job for the same model that is answered in its engine's own words.
fn hello() -> Value {
    let mut hello = job("two", "hello");
    hello["model"] = json!(MODEL);
    hello
}

/// A job for the model that comes and goes.
fn asking(id: &str, text: &str) -> Value {
    let mut job = saying(id, text);
    job["model"] = json!(MODEL);
    job
}

#[tokio::test]
async fn a_model_that_is_copied_in_serves_jobs_at_once() {
    let mut stage = Stage::new();
    let mut worker = worker(&stage, "other-q8_0").await;
    let mut link = stage.greeted(&policy("other", "Q8_0", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    stage.switch(MODEL_FILE, "");
    let bytes = ModelFile::named(MODEL).bytes();
    let mut file = File::create(stage.scratch.models().join(MODEL_FILE)).unwrap();
    // A copy that takes longer than any settling: something else that comes meanwhile is noticed, this is not.
    file.write_all(&bytes[..200]).unwrap();
    fs::write(stage.scratch.models().join("sign.gguf"), ModelFile::named("sign").bytes()).unwrap();
    worker.line("model=sign what=\"new\"").await;
    file.write_all(&bytes[200..]).unwrap();
    drop(file);
    link.send(&asking("one", "it is here")).await;
    assert_eq!(link.outcome("one").await.completed(), "it is here");
    assert_eq!(worker.lines_with(&format!("model={MODEL} what=\"new\"")).len(), 1);
}

#[tokio::test]
async fn a_model_of_the_list_is_loaded_when_it_comes() {
    let mut stage = Stage::new();
    let _worker = worker(&stage, &format!("other-q8_0,{MODEL}")).await;
    let mut link = stage.greeted(&policy("other", "Q8_0", 2048, 2)).await;
    config(&mut link, "it is missing", |about| about["unmet"].to_string().contains(MODEL)).await;
    stage.put(MODEL_FILE, "");
    let ready =
        |about: &Value| about["models"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == MODEL));
    config(&mut link, "it is there", ready).await;
    link.send(&asking("one", "it serves")).await;
    assert_eq!(link.outcome("one").await.completed(), "it serves");
}

#[tokio::test]
async fn a_removed_model_goes_and_a_damaged_one_harms_no_other() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let mut worker = worker(&stage, "other-q8_0").await;
    let mut link = stage.greeted(&policy("other", "Q8_0", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    fs::write(stage.scratch.models().join("broken-q4_0.gguf"), "GGUF").unwrap();
    let reported = worker.line("model file cannot be used").await;
    assert!(reported.contains("name=broken-q4_0") && reported.contains("fault="), "{reported}");
    fs::remove_file(stage.scratch.models().join(MODEL_FILE)).unwrap();
    worker.line(&format!("model={MODEL} what=\"gone\"")).await;
    ModelFile { block_count: 3, ..ModelFile::named("other") }.write(&stage.scratch.models(), "other-q8_0.gguf");
    worker.line("model=other-q8_0 what=\"changed\"").await;
    link.says("one", "the other one serves").await;
    link.send(&asking("two", "it is gone")).await;
    assert!(link.outcome("two").await.failed().contains(MODEL));
    assert_eq!(worker.lines_with("model file").len(), 3, "one line each");
}

#[tokio::test]
async fn a_model_that_has_failed_is_tried_again_as_soon_as_its_file_is_another_one() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--exit-at-load \"1:unknown model architecture: 'nonsense'\"");
    let mut worker = worker(&stage, MODEL).await;
    worker.line("to=\"failed\"").await;
    stage.switch(MODEL_FILE, "");
    ModelFile { block_count: 3, ..ModelFile::named("tiny-chat") }.write(&stage.scratch.models(), MODEL_FILE);
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    link.says("one", "it serves").await;
}

#[tokio::test]
async fn a_new_version_of_a_loaded_model_is_loaded_when_it_is_idle_and_a_deleted_one_is_not_offered() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--text 'the old one'");
    let mut worker = worker(&stage, MODEL).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    link.says("one", "the old one").await;
    stage.switch(MODEL_FILE, "--text 'the new one'");
    let fresh = stage.scratch.models().join("fresh.part");
    fs::write(&fresh, ModelFile { block_count: 3, ..ModelFile::named("tiny-chat") }.bytes()).unwrap();
    fs::rename(fresh, stage.scratch.models().join(MODEL_FILE)).unwrap();
    worker.line("a new version of the model is loaded").await;
    link.send(&hello()).await;
    assert_eq!(link.outcome("two").await.completed(), "the new one");
    fs::remove_file(stage.scratch.models().join(MODEL_FILE)).unwrap();
    config(&mut link, "it is gone", |about| about["unmet"].to_string().contains("is gone")).await;
}

#[tokio::test]
async fn a_crash_does_not_switch_the_file() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--text 'the old one'");
    stage.put("other-q8_0.gguf", "");
    // The new file is not read before the crash: no scan finds its name until then.
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_FLEET__RELOAD_CHANGED", "false")];
    let mut worker = stage.worker(&settings).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let ready = stage.reports.next("ready", DEADLINE).await;
    stage.switch(MODEL_FILE, "--text 'the new one'");
    let fresh = stage.scratch.models().join("fresh.part");
    fs::write(&fresh, ModelFile { block_count: 3, ..ModelFile::named("tiny-chat") }.bytes()).unwrap();
    fs::rename(fresh, stage.scratch.models().join(MODEL_FILE)).unwrap();
    worker.line(&format!("model={MODEL} what=\"changed\"")).await;
    link.says("one", "the old one").await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(ready.pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    worker.line("the model file was replaced or removed").await;
    worker.line("a new version of the model is loaded").await;
    stage.reports.next("ready", DEADLINE).await;
    link.send(&hello()).await;
    assert_eq!(link.outcome("two").await.completed(), "the new one", "as a version that was looked at");
}
