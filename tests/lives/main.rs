//! Models and their engines over a whole life, seen from outside: the real worker, the fake engine, a scripted router.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fits;
mod liveness;
mod models;

use std::time::Duration;

use auxot_tests::scripted_router::{HOSTED_ID, Link, ack};
use auxot_tests::{Reports, Scratch, ScriptedRouter, Worker, set_switches};
use serde_json::Value;

/// Longer than anything here can take on a loaded machine; a test that meets it has failed.
const DEADLINE: Duration = Duration::from_secs(20);
/// The model that most tests serve, by its canonical name and its file.
const MODEL: &str = "tiny-chat-q4_k_m";
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";

/// A worker with its folders, its engines' reports, and the router before it.
struct Stage {
    scratch: Scratch,
    reports: Reports,
    router: ScriptedRouter,
}

impl Stage {
    fn new() -> Stage {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        Stage { scratch, reports, router: ScriptedRouter::start() }
    }

    /// Puts a model into the folder whose engine tells what it does.
    fn put(&self, file: &str, switches: &str) {
        self.scratch.fake_model(file, "");
        self.switch(file, switches);
    }

    /// Switches for the next start of a model's engine.
    fn switch(&self, file: &str, switches: &str) {
        let switches = format!("--report {} {switches}", self.reports.path().display());
        set_switches(&self.scratch.models().join(file), &switches);
    }

    /// Starts a worker with these settings.
    async fn worker(&self, settings: &[(&str, &str)]) -> Worker {
        let mut command = Worker::command(&self.scratch, &self.router.url());
        command.env("AUXOT_ROUTER__PROMPT_PROGRESS", "off").envs(settings.iter().copied());
        Worker::start(command).await
    }

    /// The next connection, greeted by a router with this policy.
    async fn greeted(&mut self, policy: &Value) -> Link {
        self.router.greeted(&ack(HOSTED_ID, policy)).await
    }

    /// The value after a flag of the engine that starts next.
    async fn next_start(&mut self, flags: &[&str]) -> Vec<u32> {
        let start = self.reports.next("start", DEADLINE).await;
        let words: Vec<&str> = start.detail["arguments"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let after = |flag: &&str| words[words.iter().position(|word| word == flag).unwrap() + 1].parse().unwrap();
        flags.iter().map(after).collect()
    }
}

/// The next `config` that fits.
async fn config(link: &mut Link, wanted: &str, fits: impl Fn(&Value) -> bool) -> Value {
    link.take(wanted, |frame| frame["type"] == "config" && fits(&frame["capabilities"])).await
}
