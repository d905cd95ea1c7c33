//! The log of the worker for a service manager, and the files of what engines print.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use auxot_tests::scripted_router::{Link, job, policy};
use auxot_tests::{Program, Stage, Worker, binaries};
use nix::sys::signal::Signal;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// Waits until a file has this text.
async fn until_written(file: &Path, text: &str) -> String {
    let reading = async {
        loop {
            let written = fs::read_to_string(file).unwrap_or_default();
            if written.contains(text) {
                return written;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("no {text:?} in {}", file.display()))
}

async fn serving(stage: &mut Stage, settings: &[(&str, &str)]) -> (Worker, Link) {
    stage.put(MODEL_FILE, "");
    let worker = stage.worker(&[&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)], settings].concat()).await;
    let link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    (worker, link)
}

#[tokio::test]
async fn what_engines_print_is_in_a_private_file_of_their_model() {
    let mut stage = Stage::new();
    let (mut worker, mut link) = serving(&mut stage, &[]).await;
    let file = stage.scratch.join("state/auxot/logs").join(format!("{MODEL}.log"));
    until_written(&file, "model loaded").await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    link.send(&job("one", "fake: --noise 1 --text answer")).await;
    assert_eq!(link.outcome("one").await.completed(), "answer");
    worker.program.signal(Signal::SIGTERM);
    assert_eq!(worker.exit_code().await, Some(0));
    // The last lines are written before the worker ends.
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("noise noise") && !written.contains("answer"), "{written}");
    let [time, process, ..] = written.lines().next().unwrap().split(' ').collect::<Vec<_>>()[..] else { panic!() };
    assert!(time.ends_with('Z') && process == "1", "{written}");
}

#[tokio::test]
async fn an_engine_that_prints_much_is_held_up_by_nothing_and_its_files_stay_within_their_bound() {
    let mut stage = Stage::new();
    let bounds = [("AUXOT_ENGINE__LOG_FILE_SIZE", "1MiB"), ("AUXOT_ENGINE__LOG_TOTAL_SIZE", "2MiB")];
    let (_worker, mut link) = serving(&mut stage, &bounds).await;
    for number in 0..6 {
        let id = format!("job-{number}");
        link.send(&job(&id, "fake: --noise 512 --text done")).await;
        assert_eq!(link.outcome(&id).await.completed(), "done");
    }
    let logs = stage.scratch.join("state/auxot/logs");
    until_written(&logs.join(format!("{MODEL}.log.1")), "noise").await;
    let sizes: Vec<u64> = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
}

#[tokio::test]
async fn a_line_of_ten_megabytes_of_any_bytes_harms_nothing() {
    let mut stage = Stage::new();
    let (worker, mut link) = serving(&mut stage, &[("AUXOT_LOG_LEVEL", "debug")]).await;
    link.send(&job("junk", "fake: --junk 10 --text 'still here'")).await;
    assert_eq!(link.outcome("junk").await.completed(), "still here");
    // Each output had one such line; what is kept of it is short, and text.
    let file = stage.scratch.join("state/auxot/logs").join(format!("{MODEL}.log"));
    let written = until_written(&file, "\\u{1}\\u{2}").await;
    assert!(written.lines().all(|line| line.len() < 64 << 10), "{}", written.len());
    let is_text = |text: &str| text.chars().all(|sign| !sign.is_control() || matches!(sign, '\n' | '\t'));
    assert!(is_text(&written));
    assert!(worker.program.lines().iter().all(|line| is_text(line) && line.len() < 32 << 10));
    let mut command = tokio::process::Command::new(binaries::program("auxot-worker"));
    command.args(["logs", MODEL]).env_clear().env("AUXOT_RUNTIME_DIR", stage.scratch.join("run"));
    let shown = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
    assert!(shown.contains("\\u{1}\\u{2}") && is_text(&shown), "{shown}");
    assert!(worker.metric("auxot_worker_engine_log_bytes_total", &[MODEL]).await > f64::from(20 << 20) * 0.99);
}

#[tokio::test]
async fn lines_for_the_journal_begin_with_their_priority_and_have_no_time() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let path = stage.scratch.join("journal");
    let journal = File::create(&path).unwrap();
    let stream = journal.metadata().map(|there| format!("{}:{}", there.dev(), there.ino())).unwrap();
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    command.env("JOURNAL_STREAM", stream).env("AUXOT_GPU_AUTOLOAD_MODELS", "none-such");
    let mut program = Program::start_with_stderr(command, journal);
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    program.signal(Signal::SIGTERM);
    assert!(program.ended(DEADLINE).await.success());
    let written = fs::read_to_string(&path).unwrap();
    assert!(
        written.lines().all(|line| line.starts_with("<6> INFO auxot") || line.starts_with("<3>ERROR auxot")),
        "{written}"
    );
    assert!(written.contains("auxot-worker starts") && written.contains("<3>ERROR "), "{written}");
}
