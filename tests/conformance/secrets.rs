//! The key is in the first message and nowhere else (item 29).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use auxot_tests::scripted_router::{job, saying};
use auxot_tests::{Scratch, ScriptedRouter, Worker, processes};

use crate::{MODEL, MODEL_FILE, Stage, hosted};

/// A prompt as distinctive as the key.
const PROMPT: &str = "PROMPT-that-no-log-holds";

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Every file and folder below, of any kind.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while next < found.len() {
        let entries = std::fs::read_dir(&found[next]).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path()).collect::<Vec<_>>());
        next += 1;
    }
    found
}

/// The key is in no command line, in no child's environment, in no file that the worker wrote.
fn assert_kept(scratch: &Scratch, worker: &Worker) {
    let children = processes::descendants(worker.program.pid());
    assert!(!children.is_empty(), "there is an engine to look at");
    for pid in children.iter().copied().chain([worker.program.pid()]) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!holds(&line, Worker::KEY), "in the command line of {pid}");
    }
    for pid in children {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!holds(&environment, Worker::KEY), "in the environment of {pid}");
    }
    for folder in ["state", "run"] {
        let paths = below(&scratch.join(folder));
        assert!(paths.len() > 1, "the worker keeps something in {folder}");
        for path in paths {
            let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
            // The content of a private folder is private, independent of its own mode.
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
            assert!(!holds(&std::fs::read(&path).unwrap_or_default(), Worker::KEY), "in {}", path.display());
            assert!(!path.to_string_lossy().contains(Worker::KEY));
        }
    }
}

fn assert_not_logged(worker: &Worker) {
    let log = worker.program.lines().join("\n");
    assert!(!log.contains(Worker::KEY), "the key is in the log:\n{log}");
    assert!(!log.contains(PROMPT), "a prompt is in the log:\n{log}");
}

#[tokio::test]
async fn c29_the_key_is_kept_through_everything_that_is_logged() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_LOG_LEVEL", "trace")]).await;
    link.says("one", "a job").await;
    // Events that cause log lines: bad frames, a failing job, a lost connection, a refused key.
    link.send_text(&format!(r#"{{"type":"job","job_id":"bad","messages":[],"temperature":"{PROMPT}"}}"#)).await;
    link.send_text(&format!("{{{PROMPT}")).await;
    link.send(&job("failing", &format!("fake: --cut-stream-at 1 --text '{PROMPT} {PROMPT}'"))).await;
    link.outcome("failing").await.failed();
    link.send(&job("stalled", &format!("fake: --stall-at 1 --text '{PROMPT} {PROMPT}'"))).await;
    link.about("stalled").await;
    assert_kept(&stage.scratch, &stage.worker);
    link.reset();
    let mut refused = stage.router.link().await;
    refused.hello().await;
    refused.send_text(r#"{"type":"error","error":"invalid GPU key"}"#).await;
    stage.worker.line("refuses the worker key").await;
    let metrics = stage.worker.metrics().await;
    assert!(!metrics.contains(Worker::KEY) && !metrics.contains(PROMPT));
    assert_not_logged(&stage.worker);
}

#[tokio::test]
async fn c29_the_trace_of_the_library_does_not_contain_it_either() {
    let level = "trace,tungstenite=trace,tokio_tungstenite=trace,hyper=trace,reqwest=trace,rustls=trace";
    let (stage, mut link) = Stage::serving("", &[("AUXOT_LOG_LEVEL", level)]).await;
    link.send(&saying("one", PROMPT)).await;
    link.outcome("one").await.completed();
    assert_not_logged(&stage.worker);
}

#[tokio::test]
async fn c29_a_key_given_as_an_argument_leaves_the_command_line() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let mut command = Worker::command(&scratch, &router.url());
    command.env_remove("AUXOT_GPU_KEY").env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).env("AUXOT_LOG_LEVEL", "debug");
    command.args(["--gpu-key", Worker::KEY]);
    let worker = Worker::start(command).await;
    let mut link = router.link().await;
    assert_eq!(link.hello().await["gpu_key"], Worker::KEY);
    link.send(&hosted()).await;
    link.says("one", "a job").await;
    assert_kept(&scratch, &worker);
    assert_not_logged(&worker);
}

#[tokio::test]
async fn c29_a_key_file_that_others_can_read_is_refused_and_a_private_one_is_read() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let file = scratch.join("key");
    std::fs::write(&file, format!("{}\n", Worker::KEY)).unwrap();
    let command = || {
        let mut command = Worker::command(&scratch, &router.url());
        command.env_remove("AUXOT_GPU_KEY").env("AUXOT_GPU_KEY_FILE", &file).env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
        command
    };
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let mut refused = auxot_tests::Program::start(command());
    assert_eq!(refused.ended(crate::DEADLINE).await.code(), Some(64));
    assert!(!refused.lines().join("\n").contains(Worker::KEY));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let _worker = Worker::start(command()).await;
    assert_eq!(router.link().await.hello().await["gpu_key"], Worker::KEY);
}

#[tokio::test]
async fn c29_neither_the_worker_nor_an_engine_leaves_a_core() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.says("one", "a job").await;
    let worker = stage.worker.program.pid();
    for pid in processes::descendants(worker).into_iter().chain([worker]) {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        // One byte: no core dump is as small, and at this value none is piped to a program either.
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..], ["1", "1", "bytes"], "of {pid}");
    }
    stage.worker.program.signal(nix::sys::signal::Signal::SIGABRT);
    let ended = stage.worker.program.ended(crate::DEADLINE).await;
    assert!(!std::os::unix::process::ExitStatusExt::core_dumped(&ended), "{ended}");
}
