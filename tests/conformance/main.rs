//! The conformance checklist of the protocol document (its section 10): the real worker with the fake engine, and a
//! router that does what each item needs. The name of a test begins with the number of its item.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod adoption;
mod cancel;
mod connections;
mod delivery;
mod engine;
mod engine_request_guards;
mod engine_requests;
mod frames;
mod heartbeat;
mod hello;
mod models;
mod request;
mod secrets;
mod shutdown;
mod start;
mod stream;
mod tls;
mod traces;
mod update;

use auxot_tests::DEADLINE;

use auxot_tests::scripted_router::{HOSTED_ID, Link, ack, policy};
use auxot_tests::{Reports, Scratch, ScriptedRouter, Worker, set_switches};
use serde_json::Value;

/// The model that most tests serve, by its canonical name and its file.
const MODEL: &str = "tiny-chat-q4_k_m";
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";

/// One worker with one model, its engine's reports, and its router.
struct Stage {
    scratch: Scratch,
    reports: Reports,
    router: ScriptedRouter,
    worker: Worker,
}

impl Stage {
    /// A worker that autoloads [`MODEL`], with these engine switches and these settings.
    async fn open(switches: &str, settings: &[(&str, &str)]) -> Stage {
        Self::open_at(ScriptedRouter::start(), switches, settings).await
    }

    async fn open_at(router: ScriptedRouter, switches: &str, settings: &[(&str, &str)]) -> Stage {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        scratch.fake_model(MODEL_FILE, &reporting(&reports, switches));
        let worker = worker(&scratch, &router.url(), settings).await;
        Stage { scratch, reports, router, worker }
    }

    /// A worker whose first connection has received `hello_ack` and sent its `config`.
    async fn serving(switches: &str, settings: &[(&str, &str)]) -> (Stage, Link) {
        let mut stage = Self::open(switches, settings).await;
        let link = stage.greeted().await;
        (stage, link)
    }

    /// The next connection, with the `hello_ack` of a hosted router whose policy matches the model.
    async fn greeted(&mut self) -> Link {
        let mut link = self.router.greeted(&hosted()).await;
        link.next("config").await;
        link
    }

    /// Switches for the engine's next start.
    fn set_switches(&self, switches: &str) {
        set_switches(&self.scratch.models().join(MODEL_FILE), &reporting(&self.reports, switches));
    }
}

/// Switches that make an engine report its events.
fn reporting(reports: &Reports, switches: &str) -> String {
    format!("--report {} {switches}", reports.path().display())
}

/// A worker that autoloads [`MODEL`] unless the settings say otherwise.
async fn worker(scratch: &Scratch, url: &str, settings: &[(&str, &str)]) -> Worker {
    let mut command = Worker::command(scratch, url);
    // Progress messages would appear between the messages under test.
    command.env("AUXOT_ROUTER__PROMPT_PROGRESS", "off");
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).envs(settings.iter().copied());
    Worker::start(command).await
}

/// The `hello_ack` of a hosted router whose policy equals the settings of [`Worker::command`].
fn hosted() -> Value {
    ack(HOSTED_ID, &policy("tiny-chat", "Q4_K_M", 2048, 2))
}

/// The keys of an object, in alphabetical order.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
