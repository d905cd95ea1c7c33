//! Engines behind a script, in the background, or outside of their group: found, and ended with the worker.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use auxot_tests::scripted_router::policy;
use auxot_tests::{Stage, binaries, processes};
use nix::sys::signal::Signal;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// A script in the engine's place; `$ENGINE` is the engine.
fn script(stage: &Stage, lines: &str) -> PathBuf {
    let path = stage.scratch.join("engine.sh");
    let engine = binaries::fake_engine();
    std::fs::write(&path, format!("#!/bin/sh\nENGINE='{}'\n{lines}\n", engine.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Processes of this test that are left: all of them name its folder.
fn left(stage: &Stage) -> Vec<u32> {
    let here = stage.scratch.path().to_str().unwrap().to_owned();
    let mut left = processes::of_command_line(&here);
    left.retain(|pid| *pid != std::process::id());
    left
}

#[tokio::test]
async fn an_engine_behind_a_script_serves_and_ends_by_its_own_hand() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    // Not exec: the shell stays, as its parent.
    let script = script(&stage, "\"$ENGINE\" \"$@\"\nexit $?");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_LLAMA_BINARY", script.to_str().unwrap())];
    let mut worker = stage.worker(&settings).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    link.says("one", "through the script").await;
    let shells: Vec<u32> = processes::descendants(worker.program.pid());
    assert!(shells.len() == 2 && shells.contains(&engine), "{shells:?}");
    worker.program.signal(Signal::SIGTERM);
    // Ended by a TERM, and not killed with the shell.
    stage.reports.next_of(engine, "term", DEADLINE).await;
    assert_eq!(worker.exit_code().await, Some(0));
    processes::ended(&shells, std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn a_script_that_dies_takes_its_engine_along() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let script = script(&stage, "\"$ENGINE\" \"$@\"\nexit $?");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_LLAMA_BINARY", script.to_str().unwrap())];
    let worker = stage.worker(&settings).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    let shell = processes::descendants(worker.program.pid()).into_iter().find(|pid| *pid != engine).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shell.cast_signed()), Signal::SIGKILL).unwrap();
    assert_ne!(stage.reports.next("ready", DEADLINE).await.pid, engine);
    processes::ended(&[engine, shell], DEADLINE).await;
    link.says("one", "the next one serves").await;
}

#[tokio::test]
async fn an_engine_that_goes_into_the_background_is_ended_and_logged() {
    let stage = Stage::new();
    stage.put(MODEL_FILE, "--daemon");
    let mut worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    worker.line("the engine's program went into the background").await;
    worker.program.signal(Signal::SIGTERM);
    worker.exit_code().await;
    assert_eq!(left(&stage), Vec::<u32>::new());
}

#[tokio::test]
async fn what_a_killed_worker_leaves_behind_a_script_is_ended_by_the_next_one() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    // Its standard input does not end with the worker, and only the shell is killed with it.
    let lines = "[ $1 = --model ] || exec \"$ENGINE\" \"$@\"\nsleep 600 | \"$ENGINE\" \"$@\"\nexit $?";
    let script = script(&stage, lines);
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_LLAMA_BINARY", script.to_str().unwrap())];
    let mut first = stage.worker(&settings).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    let all = processes::descendants(first.program.pid());
    first.program.signal(Signal::SIGKILL);
    first.exit_code().await;
    assert!(processes::alive(engine), "nothing ends it");
    let mut second = stage.worker(&settings).await;
    second.line("cleaned up after a worker that is gone").await;
    processes::ended(&all, DEADLINE).await;
}

#[tokio::test]
async fn an_engine_with_a_key_of_its_own_is_named_as_that() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--own-key --only-starts 1");
    let soon = [("AUXOT_FLEET__FAILED_RETRY", "1s"), ("AUXOT_FLEET__RESCAN_INTERVAL", "500ms")];
    let mut worker = stage.worker(&[&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)][..], &soon[..]].concat()).await;
    worker.line("asks for an API key that is not ours").await;
    // Its file is corrected, and it is retried after a while without a reset.
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    link.says("one", "the next one serves").await;
}

#[tokio::test]
async fn an_engine_that_only_talks_is_not_loading_for_ever() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--talk --silent-load --only-starts 1");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_ENGINE__LOAD_STALL", "500ms")];
    let mut worker = stage.worker(&settings).await;
    worker.line("the load made no progress").await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    link.says("one", "the next one serves").await;
}
