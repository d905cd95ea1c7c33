//! The commands that ask a running worker: `status`, `load`, `unload`, `pin`, `unpin`, `reset`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use auxot_tests::scripted_router::policy;
use auxot_tests::{Stage, Worker, binaries, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{DEADLINE, MODEL, MODEL_FILE};

const OTHER: &str = "other-q8_0";

/// Runs a command as an operator does, whose environment has the worker's runtime directory.
async fn ask(runtime_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(binaries::program("auxot-worker"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").env("COLUMNS", "120");
    command.env("AUXOT_RUNTIME_DIR", runtime_dir).output().await.unwrap()
}

/// The answer of a command that must succeed.
async fn answer(runtime_dir: &Path, arguments: &[&str]) -> Value {
    let output = ask(runtime_dir, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asks until the model is in that state; returns what is said of it.
async fn until(runtime_dir: &Path, model: &str, state: &str) -> Value {
    let asking = async {
        loop {
            let status = answer(runtime_dir, &["status"]).await;
            let of = status["models"].as_array().unwrap().iter().find(|view| view["name"] == model).cloned();
            match of {
                Some(view) if view["state"] == state => return view,
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("{model} is never {state}"))
}

/// A worker that serves one model of two.
async fn serving() -> (Stage, Worker, PathBuf) {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    stage.put("other-q8_0.gguf", "");
    let worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let runtime_dir = stage.scratch.join("run");
    (stage, worker, runtime_dir)
}

#[tokio::test]
async fn status_shows_worker_router_devices_and_models() {
    let (_stage, worker, runtime_dir) = serving().await;
    let view = until(&runtime_dir, MODEL, "ready").await;
    assert_eq!((&view["slots"], &view["slots_busy"], &view["task"]), (&2.into(), &0.into(), &"chat".into()));
    let status = answer(&runtime_dir, &["status"]).await;
    assert_eq!(status["worker"]["pid"], worker.program.pid());
    assert_eq!(status["other_models"], 1);
    assert!(!status.to_string().contains(Worker::KEY));
    let text = String::from_utf8(ask(&runtime_dir, &["status"]).await.stdout).unwrap();
    for part in ["worker   v", "router   ws://", MODEL, "ready", "0/2", "1 more model in the folders"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_model_is_loaded_pinned_and_unloaded_by_command() {
    let (_stage, worker, runtime_dir) = serving().await;
    assert_eq!(answer(&runtime_dir, &["load", "OTHER:q8_0"]).await["models"], serde_json::json!([OTHER]));
    assert_eq!(until(&runtime_dir, OTHER, "ready").await["pinned"], false);
    answer(&runtime_dir, &["pin", OTHER]).await;
    assert_eq!(until(&runtime_dir, OTHER, "ready").await["pinned"], true);
    answer(&runtime_dir, &["unpin", OTHER]).await;
    assert_eq!(until(&runtime_dir, OTHER, "ready").await["pinned"], false);
    answer(&runtime_dir, &["unload", OTHER]).await;
    assert_eq!(until(&runtime_dir, OTHER, "on_disk").await["pid"], Value::Null);
    until(&runtime_dir, MODEL, "ready").await;
    answer(&runtime_dir, &["reset"]).await;
    assert_eq!(worker.lines_with("command of the operator").len(), 4, "reset has no single model");
}

#[tokio::test]
async fn a_failed_model_comes_first_and_is_loaded_again_by_command() {
    let (stage, _worker, runtime_dir) = serving().await;
    stage.switch("other-q8_0.gguf", "--abort-at-load");
    answer(&runtime_dir, &["load", OTHER]).await;
    until(&runtime_dir, OTHER, "failed").await;
    let text = String::from_utf8(ask(&runtime_dir, &["status"]).await.stdout).unwrap();
    assert!(text.starts_with(&format!("! {OTHER} has failed: ")), "{text}");
    stage.switch("other-q8_0.gguf", "");
    answer(&runtime_dir, &["load", OTHER]).await;
    until(&runtime_dir, OTHER, "ready").await;
}

#[tokio::test]
async fn a_command_that_cannot_be_carried_out_says_why() {
    let (_stage, _worker, runtime_dir) = serving().await;
    let output = ask(&runtime_dir, &["load", "nothing-of-this-name"]).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("no model `nothing-of-this-name` on this worker; it serves"), "{text}");
    let output = ask(&runtime_dir, &["load"]).await;
    assert_eq!(output.status.code(), Some(64), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn without_a_worker_each_command_says_so_in_one_line() {
    let empty = auxot_tests::Scratch::new();
    for arguments in [&["status"][..], &["status", "--json"], &["load", "m"], &["reset"]] {
        let output = ask(empty.path(), arguments).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {text}");
        assert!(text.starts_with("cannot find a running worker") && text.lines().count() == 1, "{text}");
    }
}

#[tokio::test]
async fn the_socket_is_private_and_comes_back_with_a_removed_runtime_directory() {
    let (mut stage, worker, runtime_dir) = serving().await;
    let socket = || {
        let folders = std::fs::read_dir(&runtime_dir).unwrap().flatten();
        folders.map(|entry| entry.path().join("control.sock")).find(|path| path.exists())
    };
    let mode = std::fs::metadata(socket().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    // An engine that has just become ready may still make a file.
    while std::fs::remove_dir_all(&runtime_dir).is_err() {}
    let engine = processes::descendants(worker.program.pid())[0];
    kill(Pid::from_raw(engine.cast_signed()), Signal::SIGKILL).unwrap();
    stage.reports.next("ready", DEADLINE).await;
    let asking = async { while ask(&runtime_dir, &["status"]).await.status.code() != Some(0) {} };
    tokio::time::timeout(DEADLINE, asking).await.unwrap();
    until(&runtime_dir, MODEL, "ready").await;
}
