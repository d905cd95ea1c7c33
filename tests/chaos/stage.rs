//! One worker with one router, whose engine and model file a test can remove.

use std::path::{Path, PathBuf};

use auxot_tests::leftovers::{self, Descriptors};
use auxot_tests::scripted_router::{ClosedPort, Dispatcher, HOSTED_ID, ack, policy};
use auxot_tests::{Reports, Scratch, Worker, processes, set_switches};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::DEADLINE;
use crate::actor::Actor;
use crate::fault::Fault;
use crate::job::{self, Hold, KnownJob};

/// A router that reads slowly receives a heartbeat late and answers it late.
const LONG_SILENCE: (&str, &str) = ("AUXOT_ROUTER__SILENCE_TIMEOUT", "20s");
/// A new version of a model file would be loaded once the model is idle; here the running engine stays.
const AS_LOADED: (&str, &str) = ("AUXOT_FLEET__RELOAD_CHANGED", "false");

/// The environment of a cell.
#[derive(Debug)]
pub(crate) struct Stage {
    pub scratch: Scratch,
    pub reports: Reports,
    pub router: Dispatcher,
    pub worker: Worker,
    /// The worker's descriptors when it was ready and idle, if it ever was.
    pub idle: Option<Descriptors>,
    /// Lines of the log before the fault.
    pub log_mark: usize,
    settings: Vec<(&'static str, &'static str)>,
    fault: Fault,
    actor: Actor,
    given: usize,
}

impl Stage {
    /// Starts a worker whose first engine has these switches; `GATE` in them is the stage's gate.
    pub(crate) async fn open(
        fault: Fault,
        actor: Actor,
        switches: &str,
        settings: &[(&'static str, &'static str)],
    ) -> Stage {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        let closed_port = if fault == Fault::RouterSlow { ClosedPort::narrow() } else { ClosedPort::anywhere() };
        let (name, quantization) = actor.router_name();
        let greeting = ack(HOSTED_ID, &policy(name, quantization, 2048, 2));
        let router = Dispatcher::new(closed_port.listen(), greeting);
        let settings = settings.to_vec();
        link(&actor.binary(), &scratch.join(ENGINE));
        write(&scratch.models().join(actor.file()), &actor.model_bytes());
        if actor == Actor::Fake {
            write_switches(&scratch, &reports, switches);
        }
        let worker = start_worker(&scratch, &router.url(), fault, actor, &settings).await;
        Stage { scratch, reports, router, worker, idle: None, log_mark: 0, settings, fault, actor, given: 0 }
    }

    /// A worker without faults so far.
    pub(crate) async fn pristine() -> Descriptors {
        let mut stage = Stage::open(Fault::WorkerTerm, Actor::Fake, "", &[]).await;
        stage.ready().await;
        stage.idle.take().unwrap_or_else(|| Descriptors::of(stage.worker.program.pid()))
    }

    /// Starts the next worker after one has exited.
    pub(crate) async fn next_worker(&mut self) {
        self.router.expect_another_worker();
        let url = self.router.url();
        let starting = start_worker(&self.scratch, &url, self.fault, self.actor, &self.settings);
        self.worker = starting.await;
    }

    /// Waits until the worker serves and has nothing to do.
    pub(crate) async fn ready(&mut self) {
        let named = self.settings.iter().rev().find(|(name, _)| *name == "AUXOT_ROUTER_CONNECTIONS");
        let connections = named.and_then(|(_, connections)| connections.parse().ok()).unwrap_or(1);
        let ready = |router: &Dispatcher| router.serving() == connections && router.model_state() == "ready";
        self.router.until("a ready worker", ready).await;
        self.idle = Some(Descriptors::of(self.worker.program.pid()));
        if self.actor == Actor::Real {
            let socket = self.socket();
            self.router.beside(job::hear_real_text(&socket)).await;
        }
    }

    // --- the engine ---

    /// The process of the newest engine, while it runs.
    pub(crate) fn engine(&mut self) -> Option<u32> {
        if self.actor == Actor::Real {
            let named = processes::of_command_line(&self.scratch.path().display().to_string());
            return named.into_iter().find(|pid| *pid != self.worker.program.pid());
        }
        let newest = self.reports.newest("start")?.pid;
        processes::alive(newest).then_some(newest)
    }

    /// Signals the engine, if one runs.
    pub(crate) fn signal_engine(&mut self, signal: Signal) {
        if let Some(pid) = self.engine() {
            // It was alive a moment ago and only the worker reaps it: at worst it has exited.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Ends the engine, if one runs, with a fatal signal.
    pub(crate) async fn end_engine(&mut self, signal: Signal) {
        let engine = self.engine();
        self.signal_engine(signal);
        self.router.beside(processes::ended(engine.as_slice(), DEADLINE)).await;
    }

    /// Switches for the next start of an engine.
    pub(crate) fn set_switches(&self, switches: &str) {
        write_switches(&self.scratch, &self.reports, switches);
    }

    /// Releases everything that is held; the next engine has no faults.
    pub(crate) fn release(&self) {
        if self.actor == Actor::Fake {
            self.set_switches("");
            write(&self.gate(), b"");
        }
    }

    pub(crate) fn remove_engine_binary(&self) {
        remove(&self.scratch.join(ENGINE));
    }

    pub(crate) fn truncate_model(&self) {
        write(&self.model(), b"GGUF");
    }

    pub(crate) fn replace_model(&self) {
        let other = self.scratch.join("other.gguf");
        write(&other, &self.actor.model_bytes());
        std::fs::rename(&other, self.model()).unwrap();
    }

    pub(crate) fn remove_socket(&self) {
        remove(&self.socket());
    }

    /// Where the engine listens.
    fn socket(&self) -> PathBuf {
        let folders = std::fs::read_dir(self.scratch.join("run")).unwrap().flatten().map(|entry| entry.path());
        let files = folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap().flatten());
        let mut paths = files.map(|entry| entry.path());
        paths.find(|path| leftovers::is_engine_socket(path)).unwrap()
    }

    /// Restores what the fault has removed.
    pub(crate) fn repair(&self) {
        match self.fault {
            Fault::EngineMissing => link(&self.actor.binary(), &self.scratch.join(ENGINE)),
            Fault::ModelTruncated => self.replace_model(),
            _ => {}
        }
    }

    fn model(&self) -> PathBuf {
        self.scratch.models().join(self.actor.file())
    }

    fn gate(&self) -> PathBuf {
        self.scratch.join(GATE)
    }

    // --- jobs ---

    /// Dispatches a job that is not held; returns its id.
    pub(crate) fn give(&mut self) -> String {
        self.give_held(Hold::Nowhere)
    }

    /// Dispatches a job that is held until [`Stage::release`].
    pub(crate) fn give_held(&mut self, hold: Hold) -> String {
        self.given += 1;
        let long = self.fault == Fault::RouterSlow && hold != Hold::Nowhere;
        let id = format!("job{}", self.given);
        let known = match self.actor {
            Actor::Fake => KnownJob::new(&id, long, hold, &self.gate()),
            Actor::Real => KnownJob::real(&id),
        };
        self.router.give(&known.id, known.frame, &known.text);
        known.id
    }

    /// Dispatches jobs until this many are half answered.
    pub(crate) async fn stream(&mut self, count: usize) {
        for _ in 0..count {
            self.give_held(Hold::Middle);
        }
        let streaming = |router: &Dispatcher| router.ledger.open().filter(|job| job.has_text()).count() == count;
        self.router.until("text", streaming).await;
    }

    /// Waits until the worker reports this many jobs.
    pub(crate) async fn held(&mut self, count: u64) {
        self.router.until("a heartbeat with the jobs", |router| router.jobs_held() == count).await;
    }

    // --- the worker ---

    /// Waits for one of these in the worker's log after the fault, or for its exit.
    pub(crate) async fn line_or_end(&mut self, needles: &[&str]) {
        let (program, mark) = (&mut self.worker.program, self.log_mark);
        self.router.beside(program.line_or_end(mark, needles, DEADLINE)).await;
    }

    /// Waits for the worker's exit; returns its exit code, or none after a signal.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.router.beside(self.worker.program.ended(DEADLINE)).await.code()
    }
}

const ENGINE: &str = "llama-server";
const GATE: &str = "gate";

fn write_switches(scratch: &Scratch, reports: &Reports, switches: &str) {
    let gate = scratch.join(GATE);
    let switches = switches.replace("GATE", &gate.display().to_string());
    let all = format!("--report {} {switches}", reports.path().display());
    set_switches(&scratch.models().join(Actor::Fake.file()), &all);
}

async fn start_worker(scratch: &Scratch, url: &str, fault: Fault, actor: Actor, settings: &[(&str, &str)]) -> Worker {
    let mut command = Worker::short_limits_command(scratch, url);
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", actor.model()).env("AUXOT_THREADS", "1");
    let of_fault = match fault {
        Fault::RouterSlow => Some(&LONG_SILENCE),
        Fault::ModelReplaced => Some(&AS_LOADED),
        _ => None,
    };
    let settings = settings.iter().chain(of_fault);
    command.env("AUXOT_LLAMA_BINARY", scratch.join(ENGINE)).envs(settings.copied());
    match fault {
        Fault::LogFull => Worker::start_unlogged(command).await,
        _ => Worker::start(command).await,
    }
}

fn link(to: &Path, from: &Path) {
    std::os::unix::fs::symlink(to, from).unwrap_or_else(|error| panic!("cannot link {}: {error}", from.display()));
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
}
