//! The commands that ask a running worker, and the socket that answers them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use auxot_tests::scripted_router::{job, policy};
use auxot_tests::{Stage, Worker, binaries, http, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::AsyncBufReadExt;

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
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["load", "m"],
        &["reset"],
        &["jobs"],
        &["events", "-f"],
        &["logs", "m"],
        &["drain"],
        &["reload"],
        &["log-level"],
    ] {
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

/// The socket of the one worker below a runtime directory.
fn socket(runtime_dir: &Path) -> PathBuf {
    let folders = std::fs::read_dir(runtime_dir).unwrap().flatten();
    let mut sockets = folders.map(|entry| entry.path().join("control.sock")).filter(|path| path.exists());
    sockets.next().unwrap()
}

/// A request to the socket, and its answer.
async fn request(runtime_dir: &Path, method: &str, path: &str) -> (u16, Value) {
    let socket = socket(runtime_dir);
    let answer = match method {
        "get" => http::get_unix(&socket, path).await.unwrap(),
        _ => http::post_unix(&socket, path, "").await.unwrap(),
    };
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|fault| panic!("{path}: {fault}: {answer:?}")))
}

#[tokio::test]
async fn every_operation_that_reads_answers_as_the_document_says() {
    let (_stage, _worker, runtime_dir) = serving().await;
    let (status, document) = request(&runtime_dir, "get", "/openapi.json").await;
    assert_eq!((status, &document["openapi"]), (200, &"3.1.0".into()));
    let mut answered = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else { continue };
        let answers = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let Some(schema) = answers["$ref"].as_str() else { continue };
        let path = path.replace("{model}", MODEL);
        let (status, answer) = request(&runtime_dir, "get", &path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let schema = document.pointer(schema.strip_prefix('#').unwrap()).unwrap();
        for required in schema["required"].as_array().unwrap() {
            assert!(answer.get(required.as_str().unwrap()).is_some(), "{path}: no {required} in {answer}");
        }
        for key in answer.as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{path}: {key} is not in the document");
        }
        answered += 1;
    }
    assert!(answered >= 8, "{answered}");
    for (method, path, status) in
        [("get", "/v1/nothing", 404), ("post", "/v1/status", 405), ("post", "/v1/models/none-such/load", 404)]
    {
        let (answered, body) = request(&runtime_dir, method, path).await;
        assert_eq!(answered, status, "{path}");
        assert!(body["error"].is_string(), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_failed_model_has_its_history_its_lines_and_its_events() {
    let (stage, _worker, runtime_dir) = serving().await;
    stage.switch("other-q8_0.gguf", "--abort-at-load");
    assert_eq!(request(&runtime_dir, "post", &format!("/v1/models/{OTHER}/load")).await.0, 200);
    until(&runtime_dir, OTHER, "failed").await;
    let (_, details) = request(&runtime_dir, "get", &format!("/v1/models/{OTHER}")).await;
    let states = details["states"].as_array().unwrap();
    assert_eq!(states.last().unwrap()["state"], "failed", "{details}");
    let runs = details["runs"].as_array().unwrap();
    assert!(!runs.is_empty() && runs.iter().all(|run| run["ended_ms"].is_u64()), "{details}");
    let (_, log) = request(&runtime_dir, "get", &format!("/v1/models/{OTHER}/log?lines=3")).await;
    let lines = log["lines"].as_array().unwrap();
    assert!((1..=3).contains(&lines.len()), "{log}");
    let (_, events) = request(&runtime_dir, "get", "/v1/events").await;
    let failed = |event: &&Value| event["kind"] == "model" && event["model"] == OTHER && event["to"] == "failed";
    let events = events["events"].as_array().unwrap();
    assert!(events.iter().find(failed).is_some_and(|event| event["cause"].is_string()), "{events:?}");
    let ids: Vec<u64> = events.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}

#[tokio::test]
async fn a_load_is_awaited_and_a_failed_one_is_explained() {
    let (stage, _worker, runtime_dir) = serving().await;
    let output = ask(&runtime_dir, &["load", OTHER, "--wait"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(&format!("{OTHER} is loaded after ")), "{text}");
    answer(&runtime_dir, &["unload", OTHER]).await;
    until(&runtime_dir, OTHER, "on_disk").await;
    stage.switch("other-q8_0.gguf", "--abort-at-load");
    let output = ask(&runtime_dir, &["load", OTHER, "--wait"]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with(&format!("{OTHER} has failed: ")) && text.contains("auxot-worker logs"), "{text}");
    let lines = String::from_utf8(ask(&runtime_dir, &["logs", OTHER, "-n", "2"]).await.stdout).unwrap();
    assert!((1..=2).contains(&lines.lines().count()), "{lines}");
}

#[tokio::test]
async fn events_and_lines_are_followed_as_they_come() {
    let (_stage, _worker, runtime_dir) = serving().await;
    let follow = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(binaries::program("auxot-worker"));
        command.args(arguments).env_clear().env("HOME", "/nonexistent").env("AUXOT_RUNTIME_DIR", &runtime_dir);
        let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (_events, mut events) = follow(&["events", "-f", "--json"]);
    // The model has had no engine yet: its lines begin with its first load.
    let (_logs, mut logs) = follow(&["logs", OTHER, "-f", "--json"]);
    let first: Value = serde_json::from_str(&next_line(&mut events).await).unwrap();
    assert!(first["id"].is_u64(), "{first}");
    answer(&runtime_dir, &["load", OTHER]).await;
    loop {
        let event: Value = serde_json::from_str(&next_line(&mut events).await).unwrap();
        if event["kind"] == "model" && event["model"] == OTHER && event["to"] == "ready" {
            break;
        }
    }
    let line: Value = serde_json::from_str(&next_line(&mut logs).await).unwrap();
    assert_eq!((&line["number"], &line["process"]), (&1.into(), &1.into()));
}

async fn next_line(lines: &mut tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>) -> String {
    tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn the_level_of_the_log_and_the_settings_are_changed_by_command() {
    let (stage, mut worker, runtime_dir) = serving().await;
    assert_eq!(answer(&runtime_dir, &["log-level"]).await["level"], "info");
    assert_eq!(answer(&runtime_dir, &["log-level", "debug"]).await["level"], "debug");
    worker.line("DEBUG").await;
    let output = ask(&runtime_dir, &["log-level", "loud"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("found \"loud\""));
    let file = stage.scratch.join("config/auxot/auxot-worker.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let reloaded = answer(&runtime_dir, &["reload"]).await;
    assert_eq!(reloaded["applied"], serde_json::json!([]), "{reloaded}");
    std::fs::write(&file, "[fleet]\nfailed_retry = 'never'\n").unwrap();
    let output = ask(&runtime_dir, &["reload"]).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("fleet.failed_retry"), "{text}");
}

#[tokio::test]
async fn a_drain_by_command_ends_the_worker_once_its_jobs_are_done() {
    let (_stage, mut worker, runtime_dir) = serving().await;
    assert_eq!(answer(&runtime_dir, &["drain"]).await["jobs"], 0);
    assert_eq!(worker.exit_code().await, Some(0));
    assert_eq!(worker.lines_with("shutdown requested signal=\"command\"").len(), 1);
}

#[tokio::test]
async fn a_job_is_shown_with_its_times() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--tokens 3");
    let _worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let runtime_dir = stage.scratch.join("run");
    until(&runtime_dir, MODEL, "ready").await;
    link.send(&job("job-1", "hello")).await;
    link.outcome("job-1").await.completed();
    let asking = async {
        loop {
            let jobs = answer(&runtime_dir, &["jobs"]).await;
            if let Some(job) = jobs["ended"].get(0) {
                return job.clone();
            }
        }
    };
    let job = tokio::time::timeout(DEADLINE, asking).await.unwrap();
    assert_eq!((&job["id"], &job["model"], &job["ending"]), (&"job-1".into(), &MODEL.into(), &"completed".into()));
    assert!(job["first_token_seconds"].as_f64() <= job["took_seconds"].as_f64(), "{job}");
    assert!(job["tokens"].as_u64() > Some(0), "{job}");
    let text = String::from_utf8(ask(&runtime_dir, &["jobs"]).await.stdout).unwrap();
    assert!(text.contains("completed") && text.contains("router"), "{text}");
}
