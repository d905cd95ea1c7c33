//! The local clients' way in: the real worker with a gateway and without a router, on the fake engine where a fault is
//! needed and on the real one where bytes are compared.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bytes;
mod chain;
mod client;
mod keys;
mod leaves;
mod limits;
mod loads;
mod losses;
mod restarts;
mod schemas;
mod swaps;
mod tasks;
mod tokens;
mod traces;

use std::path::{Path, PathBuf};
use std::process::Command;

use auxot_tests::{DEADLINE, Event, Reports, Scratch, Worker, set_switches};

use client::Client;

/// The model that most tests serve, by its file; its name is the same without the ending.
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";
const MODEL: &str = "tiny-chat-q4_k_m";

/// A worker with a gateway, and the reports of its fake engines.
struct Stage {
    _scratch: Scratch,
    reports: Reports,
    worker: Worker,
    address: String,
}

/// The folders of a stage before its worker is started.
struct Setup {
    scratch: Scratch,
    reports: Reports,
}

impl Setup {
    fn new() -> Setup {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        Setup { scratch, reports }
    }

    /// A model with the switches of its engine.
    fn put(&self, file: &str, switches: &str) {
        self.scratch.fake_model(file, "");
        set_switches(&self.scratch.models().join(file), &reporting(&self.reports, switches));
    }

    /// A place where an engine waits until [`open`] is called.
    fn gate(&self) -> PathBuf {
        self.scratch.join("gate")
    }

    /// Starts a worker that autoloads [`MODEL`], with these engine switches and these settings, and waits until the model is
    /// loaded.
    async fn ready(self, switches: &str, settings: &[(&str, &str)]) -> Stage {
        self.put(MODEL_FILE, switches);
        let mut command = command(&self.scratch);
        command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).envs(settings.iter().copied());
        let (mut worker, address) = started(command).await;
        worker.line("model is loaded").await;
        Stage { _scratch: self.scratch, reports: self.reports, worker, address }
    }
}

impl Stage {
    async fn ready(switches: &str, settings: &[(&str, &str)]) -> Stage {
        Setup::new().ready(switches, settings).await
    }

    /// A request of the chat endpoint.
    async fn chat(&self, body: &str) -> Client {
        Client::post(&self.address, "/v1/chat/completions", body).await
    }

    /// Waits for an event of an engine.
    async fn report(&mut self, name: &str) -> Event {
        self.reports.next(name, DEADLINE).await
    }
}

fn reporting(reports: &Reports, switches: &str) -> String {
    format!("--report {} {switches}", reports.path().display())
}

/// A worker without a router.
fn command(scratch: &Scratch) -> Command {
    let mut command = Worker::short_limits_command(scratch, "");
    for name in ["AUXOT_ROUTER_URL", "AUXOT_GPU_KEY"] {
        command.env_remove(name);
    }
    command.env("AUXOT_GATEWAY_ADDR", "127.0.0.1:0");
    command
}

/// Starts it, and reads from its log where the gateway is.
async fn started(command: Command) -> (Worker, String) {
    let mut worker = Worker::start(command).await;
    let line = worker.line("gateway listens").await;
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    (worker, address.unwrap().trim_matches('"').to_owned())
}

/// Opens a gate that an engine waits at.
fn open(gate: &Path) {
    std::fs::write(gate, "").unwrap();
}

/// A body of the chat endpoint.
fn body(text: &str, more: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]{more}}}"#)
}
