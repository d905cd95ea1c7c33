//! The worker's resources from the host: descriptors, directories, ports.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use auxot_tests::scripted_router::policy;
use auxot_tests::{Program, Stage, Worker, http};
use nix::sys::signal::Signal;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// The same command below a shell that changes something first.
fn below(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(command.get_current_dir().unwrap());
    shell
}

#[tokio::test]
async fn half_open_requests_for_metrics_take_nothing_from_engines_and_links() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let mut command = Worker::short_limits_command(&stage.scratch, &stage.router.url());
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
    let worker = Worker::start(below("ulimit -n 200", &command)).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let mut half = Vec::new();
    for _ in 0..300 {
        // Those that find the queue full are as good as the others.
        let address = worker.metrics_address().parse().unwrap();
        let Ok(mut stream) = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(50)) else { break };
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: lo").unwrap();
        half.push(stream);
    }
    assert!(half.len() > 100, "{}", half.len());
    // Longer than three strikes take.
    for round in 0..40 {
        link.says(&format!("job {round}"), "still here").await;
        tokio::time::timeout(std::time::Duration::from_millis(100), link.about("nothing")).await.unwrap_err();
    }
    assert_eq!(worker.lines_with("no sign of life"), Vec::<String>::new());
    assert_eq!(stage.reports.past().iter().filter(|event| event.name == "start").count(), 1);
}

#[tokio::test]
async fn a_runtime_directory_that_is_gone_is_made_again() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let soon = [("AUXOT_ENGINE__LIVENESS_INTERVAL", "300ms"), ("AUXOT_ENGINE__LIVENESS_TIMEOUT", "100ms")];
    let mut worker = stage.worker(&[&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)][..], &soon[..]].concat()).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    std::fs::remove_dir_all(stage.scratch.join("run")).unwrap();
    stage.reports.next("ready", DEADLINE).await;
    worker.line("the runtime directory is gone; making it again").await;
    link.says("one", "the next one serves").await;
}

#[tokio::test]
async fn directories_of_the_service_manager_are_used() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let (run, state) = (stage.scratch.join("r"), stage.scratch.join("service-state"));
    std::fs::create_dir_all(&run).unwrap();
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).env_remove("AUXOT_RUNTIME_DIR");
    command.env("XDG_RUNTIME_DIR", stage.scratch.path());
    command.env("RUNTIME_DIRECTORY", format!("{}:/elsewhere", run.display()));
    command.env("STATE_DIRECTORY", format!("{}:/elsewhere", state.display()));
    let _worker = Worker::start(command).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let start = stage.next_start().await;
    assert!(start.value("--host").starts_with(run.join("engines").to_str().unwrap()), "{}", start.value("--host"));
    assert!(state.join("catalog").exists());
}

#[tokio::test]
async fn a_metrics_port_that_is_taken_keeps_no_model_from_serving() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).env("AUXOT_METRICS_PORT", &port);
    let mut program = Program::start(command);
    program.line("cannot listen for metrics", DEADLINE).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    link.says("one", "without metrics").await;
    drop(taken);
    program.line("metrics endpoint listens", DEADLINE).await;
    let reported = program.lines().iter().filter(|line| line.contains("cannot listen for metrics")).count();
    assert_eq!(reported, 1);
    let answer = http::get(&format!("127.0.0.1:{port}"), "/health").await.unwrap();
    assert_eq!(answer.status, 200);
    program.signal(Signal::SIGTERM);
    program.ended(DEADLINE).await;
}
