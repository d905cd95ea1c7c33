//! Everything for a test about one model: its file, the switches of its engine, the worker and the router.

use crate::DEADLINE;

use serde_json::Value;

use crate::scripted_router::{HOSTED_ID, Link, ack};
use crate::{Event, Reports, Scratch, ScriptedRouter, Worker, set_switches};

/// The folders of one test, its engines' reports, and the router of its workers.
#[derive(Debug)]
pub struct Stage {
    /// Models, sockets, state.
    pub scratch: Scratch,
    /// The reports of the fake engines.
    pub reports: Reports,
    /// The router.
    pub router: ScriptedRouter,
}

impl Stage {
    /// An empty one.
    pub fn new() -> Stage {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        Stage { scratch, reports, router: ScriptedRouter::start() }
    }

    /// Adds a model whose engine sends reports.
    pub fn put(&self, file: &str, switches: &str) {
        self.scratch.fake_model(file, "");
        self.switch(file, switches);
    }

    /// Switches for the next start of a model's engine.
    pub fn switch(&self, file: &str, switches: &str) {
        let switches = format!("--report {} {switches}", self.reports.path().display());
        set_switches(&self.scratch.models().join(file), &switches);
    }

    /// Starts a worker with these settings.
    pub async fn worker(&self, settings: &[(&str, &str)]) -> Worker {
        let mut command = Worker::command(&self.scratch, &self.router.url());
        // Progress messages would appear between the messages under test.
        command.env("AUXOT_ROUTER__PROMPT_PROGRESS", "off").envs(settings.iter().copied());
        Worker::start(command).await
    }

    /// The next connection, after a `hello_ack` with this policy.
    pub async fn greeted(&mut self, policy: &Value) -> Link {
        self.router.greeted(&ack(HOSTED_ID, policy)).await
    }

    /// The next start of an engine.
    pub async fn next_start(&mut self) -> Start {
        Start(self.reports.next("start", DEADLINE).await)
    }
}

impl Default for Stage {
    fn default() -> Self {
        Stage::new()
    }
}

/// How an engine was started.
#[derive(Debug)]
pub struct Start(pub Event);

impl Start {
    /// Its arguments.
    pub fn arguments(&self) -> Vec<&str> {
        self.0.detail["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether a flag is there.
    pub fn has(&self, flag: &str) -> bool {
        self.arguments().contains(&flag)
    }

    /// The value after a flag.
    pub fn value(&self, flag: &str) -> &str {
        let arguments = self.arguments();
        let at = arguments.iter().position(|word| *word == flag);
        let value = at.and_then(|at| arguments.get(at + 1));
        value.copied().unwrap_or_else(|| panic!("no {flag} in {arguments:?}"))
    }

    /// The number after a flag.
    pub fn number(&self, flag: &str) -> u64 {
        self.value(flag).parse().unwrap_or_else(|_| panic!("{flag} is no number: {}", self.value(flag)))
    }

    /// A variable of its environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.0.detail["environment"][name].as_str()
    }
}
