//! One worker before one router, with an engine and a model that can be taken away from it.

use std::path::PathBuf;

use auxot_tests::gguf::ModelFile;
use auxot_tests::leftovers::Descriptors;
use auxot_tests::scripted_router::{Deaf, Dispatcher, HOSTED_ID, ack, policy};
use auxot_tests::{Reports, Scratch, Worker, binaries, processes, set_switches};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::DEADLINE;
use crate::fault::Fault;
use crate::job::{Asked, Hold};

const MODEL: &str = "tiny-chat-q4_k_m";
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";

/// Every limit of the worker that a cell would have to wait for, as short as a loaded machine allows.
const SETTINGS: [(&str, &str); 18] = [
    ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL),
    ("AUXOT_ROUTER_CONNECTIONS", "1"),
    ("AUXOT_HEARTBEAT_INTERVAL", "300ms"),
    ("AUXOT_ROUTER__SILENCE_TIMEOUT", "2500ms"),
    ("AUXOT_ROUTER__WRITE_TIMEOUT", "5s"),
    ("AUXOT_ROUTER__ADOPT_WINDOW", "15s"),
    ("AUXOT_ROUTER__PROMPT_PROGRESS", "off"),
    ("AUXOT_FLEET__DRAIN_TIMEOUT", "12s"),
    ("AUXOT_ENGINE__LOAD_STALL", "4s"),
    ("AUXOT_ENGINE__STOP_GRACE", "1s"),
    ("AUXOT_ENGINE__STOP_AGAIN", "300ms"),
    ("AUXOT_ENGINE__STOP_KILL", "3s"),
    ("AUXOT_ENGINE__RESTART_DELAY", "50ms"),
    ("AUXOT_ENGINE__RESTART_MAX_DELAY", "200ms"),
    ("AUXOT_ENGINE__LIVENESS_INTERVAL", "400ms"),
    ("AUXOT_ENGINE__LIVENESS_BUSY_INTERVAL", "400ms"),
    ("AUXOT_ENGINE__LIVENESS_TIMEOUT", "500ms"),
    ("AUXOT_GPU__SAMPLE_INTERVAL", "1s"),
];

/// A router that reads slowly hears a heartbeat late, and answers it late.
const PATIENT: [(&str, &str); 1] = [("AUXOT_ROUTER__SILENCE_TIMEOUT", "20s")];

/// What a cell is played on.
#[derive(Debug)]
pub(crate) struct Stage {
    pub scratch: Scratch,
    pub reports: Reports,
    pub router: Dispatcher,
    pub worker: Worker,
    /// What the worker held open when it was ready and had nothing to do, if it ever was.
    pub idle: Option<Descriptors>,
    /// Lines of the log before the fault.
    pub log_mark: usize,
    settings: Vec<(&'static str, &'static str)>,
    fault: Fault,
    given: usize,
}

impl Stage {
    /// Starts a worker whose first engine has these switches; `GATE` in them is the stage's gate.
    pub(crate) async fn open(fault: Fault, switches: &str, settings: &[(&'static str, &'static str)]) -> Stage {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        let deaf = if fault == Fault::RouterSlow { Deaf::narrow() } else { Deaf::anywhere() };
        let greeting = ack(HOSTED_ID, &policy("tiny-chat", "Q4_K_M", 2048, 2));
        let router = Dispatcher::new(deaf.listen(), greeting);
        let settings: Vec<_> = SETTINGS.iter().chain(settings).copied().collect();
        put_engine_binary(&scratch);
        scratch.fake_model(MODEL_FILE, "");
        write_switches(&scratch, &reports, switches);
        let worker = start_worker(&scratch, &router.url(), fault, &settings).await;
        Stage { scratch, reports, router, worker, idle: None, log_mark: 0, settings, fault, given: 0 }
    }

    /// A worker that was never in trouble.
    pub(crate) async fn pristine() -> Descriptors {
        let mut stage = Stage::open(Fault::WorkerTerm, "", &[]).await;
        stage.ready().await;
        stage.idle.take().unwrap_or_else(|| Descriptors::of(stage.worker.program.pid()))
    }

    /// Starts the next worker in the place of one that has ended.
    pub(crate) async fn next_worker(&mut self) {
        self.router.expect_another_worker();
        let url = self.router.url();
        let starting = start_worker(&self.scratch, &url, self.fault, &self.settings);
        self.worker = starting.await;
    }

    /// Waits until the worker serves and has nothing to do.
    pub(crate) async fn ready(&mut self) {
        let named = self.settings.iter().rev().find(|(name, _)| *name == "AUXOT_ROUTER_CONNECTIONS");
        let lanes = named.and_then(|(_, lanes)| lanes.parse().ok()).unwrap_or(1);
        let ready = |router: &Dispatcher| router.serving() == lanes && router.model_state() == "ready";
        self.router.until("a ready worker", ready).await;
        self.idle = Some(Descriptors::of(self.worker.program.pid()));
    }

    // --- the engine ---

    /// The process of the newest engine, while it lives.
    pub(crate) fn engine(&mut self) -> Option<u32> {
        let newest = self.reports.newest("start")?.pid;
        processes::alive(newest).then_some(newest)
    }

    /// Signals the engine, if one lives.
    pub(crate) fn signal_engine(&mut self, signal: Signal) {
        if let Some(pid) = self.engine() {
            // Alive a moment ago, and reaped by the worker alone: at worst it is gone already.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Ends the engine, if one lives, with a signal that does so.
    pub(crate) async fn end_engine(&mut self, signal: Signal) {
        let engine = self.engine();
        self.signal_engine(signal);
        self.router.beside(processes::ended(engine.as_slice(), DEADLINE)).await;
    }

    /// Switches for the next start of an engine.
    pub(crate) fn set_switches(&self, switches: &str) {
        write_switches(&self.scratch, &self.reports, switches);
    }

    /// Lets everything that is held go on, and the next engine be well.
    pub(crate) fn release(&self) {
        self.set_switches("");
        write(&self.gate(), b"");
    }

    pub(crate) fn remove_engine_binary(&self) {
        remove(&self.scratch.join(ENGINE));
    }

    pub(crate) fn truncate_model(&self) {
        write(&self.model(), b"GGUF");
    }

    pub(crate) fn replace_model(&self) {
        let other = ModelFile { block_count: 3, ..ModelFile::named(MODEL) };
        let path = other.write(self.scratch.path(), "other.gguf");
        std::fs::rename(&path, self.model()).unwrap();
    }

    pub(crate) fn remove_socket(&self) {
        let folders = std::fs::read_dir(self.scratch.join("run")).unwrap().flatten().map(|entry| entry.path());
        let files = folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap().flatten());
        for file in files.filter(|file| file.file_name().to_string_lossy().ends_with(".sock")) {
            remove(&file.path());
        }
    }

    /// Puts back what the fault has taken away.
    pub(crate) fn mend(&self) {
        match self.fault {
            Fault::EngineMissing => put_engine_binary(&self.scratch),
            Fault::ModelTruncated => write(&self.model(), &ModelFile::named(MODEL).bytes()),
            _ => {}
        }
    }

    fn model(&self) -> PathBuf {
        self.scratch.models().join(MODEL_FILE)
    }

    fn gate(&self) -> PathBuf {
        self.scratch.join(GATE)
    }

    // --- jobs ---

    /// Gives a job that is held nowhere; its id.
    pub(crate) fn give(&mut self) -> String {
        self.give_held(Hold::Nowhere)
    }

    /// Gives a job that is held until [`Stage::release`].
    pub(crate) fn give_held(&mut self, hold: Hold) -> String {
        self.given += 1;
        let long = self.fault == Fault::RouterSlow && hold != Hold::Nowhere;
        let asked = Asked::new(&format!("job{}", self.given), long, hold, &self.gate());
        self.router.give(&asked.id, asked.frame, &asked.text);
        asked.id
    }

    /// Gives jobs until so many are half said.
    pub(crate) async fn stream(&mut self, count: usize) {
        for _ in 0..count {
            self.give_held(Hold::Middle);
        }
        let streaming = |router: &Dispatcher| router.ledger.open().filter(|job| job.has_text()).count() == count;
        self.router.until("text", streaming).await;
    }

    /// Waits until the worker says that it holds so many jobs.
    pub(crate) async fn held(&mut self, count: u64) {
        self.router.until("a heartbeat with the jobs", |router| router.jobs_held() == count).await;
    }

    // --- the worker ---

    /// Waits for one of these in what the worker logs after the fault, or for its end.
    pub(crate) async fn line_or_end(&mut self, needles: &[&str]) {
        let (program, mark) = (&mut self.worker.program, self.log_mark);
        self.router.beside(program.line_or_end(mark, needles, DEADLINE)).await;
    }

    /// Waits for the worker's end; its exit code, or none after a signal.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.router.beside(self.worker.program.ended(DEADLINE)).await.code()
    }
}

const ENGINE: &str = "llama-server";
const GATE: &str = "gate";

fn put_engine_binary(scratch: &Scratch) {
    std::os::unix::fs::symlink(binaries::fake_engine(), scratch.join(ENGINE)).unwrap();
}

fn write_switches(scratch: &Scratch, reports: &Reports, switches: &str) {
    let gate = scratch.join(GATE);
    let switches = switches.replace("GATE", &gate.display().to_string());
    let all = format!("--report {} {switches}", reports.path().display());
    set_switches(&scratch.models().join(MODEL_FILE), &all);
}

async fn start_worker(scratch: &Scratch, url: &str, fault: Fault, settings: &[(&str, &str)]) -> Worker {
    let mut command = Worker::command(scratch, url);
    let settings = settings.iter().chain(if fault == Fault::RouterSlow { &PATIENT[..] } else { &[] });
    command.env("AUXOT_LLAMA_BINARY", scratch.join(ENGINE)).envs(settings.copied());
    match fault {
        Fault::LogFull => Worker::start_unlogged(command).await,
        _ => Worker::start(command).await,
    }
}

fn write(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn remove(path: &std::path::Path) {
    std::fs::remove_file(path).unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
}
