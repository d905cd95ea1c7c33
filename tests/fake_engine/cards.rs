//! Memory on simulated devices: taken by the command line, reported by the driver, released at the exit or later.

use std::process::Command;

use auxot_gpu::Config;
use auxot_tests::{FakeNvml, Program, Reports, Scratch, processes};
use nix::sys::signal::Signal;

use crate::{DEADLINE, engine};

const MIB: u64 = 1 << 20;

/// Cards of 1000 MiB each, and a folder for what engines do on them.
struct Table {
    scratch: Scratch,
    driver: FakeNvml,
}

impl Table {
    fn with(cards: usize) -> Table {
        let scratch = Scratch::new();
        let driver = FakeNvml::new(scratch.path());
        driver.cards(&vec![(1000, 0, "card"); cards]);
        Table { scratch, driver }
    }

    /// An engine with this on its command line that sees these of the cards.
    fn engine(&self, switches: &str, arguments: &[&str], visible: &[usize]) -> Command {
        let switches = format!("--cards {} {switches}", self.driver.folder().display());
        let mut command = engine(&self.scratch, &switches);
        let ids: Vec<String> = visible.iter().map(|card| FakeNvml::id(*card)).collect();
        command.args(arguments).env("CUDA_VISIBLE_DEVICES", ids.join(","));
        command
    }

    async fn ready(&self, switches: &str, arguments: &[&str], visible: &[usize]) -> Program {
        let mut program = Program::start(self.engine(switches, arguments, visible));
        program.line("listening on", DEADLINE).await;
        // The next one in this test has the same socket.
        std::fs::remove_file(self.scratch.join("engine.sock")).unwrap();
        program
    }

    /// MiB in use on each card, and the processes on it, as the driver says.
    fn seen(&self) -> Vec<(u64, Vec<u32>)> {
        let config = Config {
            nvml_path: Some(self.driver.library()),
            sysfs_root: self.scratch.join("sys"),
            ..Config::default()
        };
        let sample = auxot_gpu::sample_once(&config);
        let pids = |device: &auxot_gpu::Device| device.processes.iter().map(|process| process.pid).collect();
        sample.devices.iter().map(|device| (device.used.unwrap() / MIB, pids(device))).collect()
    }
}

#[tokio::test]
async fn a_model_takes_its_file_and_its_context_for_as_long_as_it_is_loaded() {
    let table = Table::with(2);
    let model = auxot_tests::gguf::ModelFile::named("tiny").bytes().len() as u64;
    let mut program = table.ready("--token-bytes 10240", &[], &[1]).await;
    // 8192 tokens over all slots.
    assert_eq!(table.driver.held(1, program.pid()), Some(model + 80 * MIB));
    assert_eq!(table.seen(), [(0, vec![]), (80, vec![program.pid()])]);
    program.signal(Signal::SIGKILL);
    program.ended(DEADLINE).await;
    assert_eq!(table.seen(), [(0, vec![]), (0, vec![])]);
}

#[tokio::test]
async fn each_card_gets_what_the_command_line_says() {
    let table = Table::with(3);
    let spread = ["--n-gpu-layers", "9", "--split-mode", "layer", "--tensor-split"];
    let one = ["--n-gpu-layers", "9", "--split-mode", "none", "--main-gpu", "0"];
    for (arguments, visible, expected) in [
        (&[&spread[..], &["3,1"]].concat(), &[2, 0][..], [200, 0, 600]),
        (&spread[..4].to_vec(), &[0, 1], [400, 400, 0]),
        (&one.to_vec(), &[1, 2], [0, 800, 0]),
        (&vec!["--device", "none"], &[0], [0, 0, 0]),
        (&vec!["--n-gpu-layers", "0"], &[0], [0, 0, 0]),
        (&vec![], &[], [0, 0, 0]),
    ] {
        let mut program = table.ready("--token-bytes 102400", arguments, visible).await;
        let held = [0, 1, 2].map(|card| table.driver.held(card, program.pid()).unwrap_or_default() / MIB);
        assert_eq!(held, expected, "{arguments:?} {visible:?}");
        program.signal(Signal::SIGKILL);
        program.ended(DEADLINE).await;
    }
    let program = table.ready("--card-mib 7,5", &spread[..4], &[0, 2]).await;
    assert_eq!([0, 2].map(|card| table.driver.held(card, program.pid())), [Some(7 * MIB), Some(5 * MIB)]);
}

#[tokio::test]
async fn an_invisible_device_is_not_used() {
    let table = Table::with(1);
    let mut program = Program::start(table.engine("", &["--split-mode", "none", "--main-gpu", "1"], &[0]));
    program.line("invalid value for main_gpu: 1 (available devices: 1)", DEADLINE).await;
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
    table.driver.set("gpu 1 0 card\nlost 0\n");
    std::fs::remove_file(table.scratch.join("engine.sock")).unwrap();
    let program = table.ready("--card-mib 7", &[], &[0]).await;
    assert_eq!(table.driver.held(0, program.pid()), None, "the engine goes on without it");
}

#[tokio::test]
async fn what_does_not_fit_beside_the_others_fails_as_the_engine_does() {
    let table = Table::with(1);
    table.driver.cards(&[(1000, 300, "card")]);
    let _first = table.ready("--card-mib 400", &[], &[0]).await;
    let mut second = Program::start(table.engine("--card-mib 301", &[], &[0]));
    second.line("allocating 301.00 MiB on device 0: cudaMalloc failed: out of memory", DEADLINE).await;
    second.line("exiting due to model loading error", DEADLINE).await;
    assert_eq!(second.ended(DEADLINE).await.code(), Some(1));
    std::fs::remove_file(table.scratch.join("engine.sock")).unwrap();
    let _third = table.ready("--card-mib 300", &[], &[0]).await;
    assert_eq!(table.seen()[0].0, 1000);
}

#[tokio::test]
async fn memory_may_come_back_later_than_its_process_ends() {
    let table = Table::with(1);
    let gate = table.scratch.join("gate");
    let late = format!("--card-mib 800 --release {}", gate.display());
    let mut program = table.ready(&late, &[], &[0]).await;
    program.signal(Signal::SIGTERM);
    program.ended(DEADLINE).await;
    assert_eq!(table.seen(), [(800, vec![])], "in use, and by no process");
    let mut early = Program::start(table.engine("--card-mib 800", &[], &[0]));
    early.line("out of memory", DEADLINE).await;
    early.ended(DEADLINE).await;
    std::fs::remove_file(table.scratch.join("engine.sock")).unwrap();
    std::fs::write(gate, "").unwrap();
    assert_eq!(table.seen(), [(0, vec![])]);
    let _next = table.ready("--card-mib 800", &[], &[0]).await;
}

#[tokio::test]
async fn a_lost_card_ends_the_engine_that_works_on_it() {
    let table = Table::with(1);
    let mut reports = Reports::listen(table.scratch.path());
    let switches = format!("--card-mib 7 --report {}", reports.path().display());
    let mut program = Program::start(table.engine(&switches, &[], &[0]));
    program.line("listening on", DEADLINE).await;
    let socket = table.scratch.join("engine.sock");
    let mut clients = tokio::task::JoinSet::new();
    let body = crate::chat("fake: --tokens 100000 --token-us 1000", true);
    clients.spawn(async move { auxot_tests::http::post_unix(&socket, "/v1/chat/completions", &body).await.is_err() });
    reports.next("slot", DEADLINE).await;
    table.driver.set("gpu 1 0 card\nlost 0\n");
    program.line("CUDA error", DEADLINE).await;
    program.ended(DEADLINE).await;
    assert!(clients.join_next().await.unwrap().unwrap(), "its answer is cut off");
    // An idle card is read only on request.
    table.driver.cards(&[(1000, 0, "card")]);
    std::fs::remove_file(table.scratch.join("engine.sock")).unwrap();
    let mut idle = Program::start(table.engine("--card-mib 7", &[], &[0]));
    idle.line("listening on", DEADLINE).await;
    table.driver.set("gpu 1 0 card\nlost 0\n");
    assert!(processes::alive(idle.pid()));
    let socket = table.scratch.join("engine.sock");
    assert!(auxot_tests::http::post_unix(&socket, "/v1/chat/completions", &crate::chat("hello", true)).await.is_err());
    idle.line("CUDA error", DEADLINE).await;
}
