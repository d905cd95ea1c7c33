//! The chain as an operator builds it: keys, router, worker.

pub(crate) use auxot_tests::DEADLINE;
use std::path::Path;
use std::process::Command;

use auxot_tests::{Program, Scratch, Worker, binaries, http};

/// Everything that runs; dropping it ends it.
pub(crate) struct Chain {
    pub(crate) worker: Worker,
    pub(crate) router: Program,
    pub(crate) address: String,
    pub(crate) api_key: String,
    worker_key: String,
}

impl Chain {
    /// Starts the router and a worker with this engine and these models, and waits until the router has the worker.
    pub(crate) async fn start(scratch: &Scratch, engine: &Path, autoload: &str) -> Chain {
        let (worker_key, api_key) = keys(scratch);
        let mut router = Program::start(router(scratch));
        let line = router.line("router listens", DEADLINE).await;
        let address =
            line.split_whitespace().find_map(|word| word.strip_prefix("addr=")).expect("an address").to_owned();
        let worker = Worker::start(worker(scratch, &address, &worker_key, engine, autoload)).await;
        let chain = Chain { worker, router, address, api_key, worker_key };
        chain.joined().await;
        chain
    }

    /// Starts another worker in place of one that has ended.
    pub(crate) async fn restart_worker(&mut self, scratch: &Scratch, engine: &Path, autoload: &str) {
        self.worker = Worker::start(worker(scratch, &self.address, &self.worker_key, engine, autoload)).await;
        self.joined().await;
    }

    /// Starts a second worker, with folders of its own, and waits until the router has both.
    pub(crate) async fn another_worker(&self, scratch: &Scratch, engine: &Path, autoload: &str) -> Worker {
        let another = Worker::start(worker(scratch, &self.address, &self.worker_key, engine, autoload)).await;
        self.has_workers(2).await;
        another
    }

    /// Waits until the router counts a worker.
    pub(crate) async fn joined(&self) {
        self.has_workers(1).await;
    }

    async fn has_workers(&self, count: usize) {
        let part = format!(r#""workers":{count}"#);
        http::until(&self.address, "/health", DEADLINE, |answer| answer.body.contains(&part)).await;
    }

    /// Waits until a model of the worker is ready, or not.
    pub(crate) async fn loaded(&self, model: &str, loaded: bool) {
        let label = format!(r#"model="{model}""#);
        let wanted = if loaded { 1.0 } else { 0.0 };
        self.worker.metric_until("auxot_worker_model_loaded", &[&label], |value| value == wanted).await;
    }

    /// What `auxot-router status --json` prints.
    pub(crate) async fn status(&self, scratch: &Scratch) -> serde_json::Value {
        let mut command = tokio::process::Command::new(binaries::program("auxot-router"));
        command.env_clear().env("AUXOT_ROUTER_RUNTIME_DIR", scratch.join("router")).args(["status", "--json"]);
        let output = command.output().await.expect("a status");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a status as JSON")
    }

    /// Processes below the worker.
    pub(crate) fn engines(&self) -> Vec<u32> {
        auxot_tests::processes::descendants(self.worker.program.pid())
    }
}

pub(crate) fn keys(scratch: &Scratch) -> (String, String) {
    let made = Command::new(binaries::program("auxot-router"))
        .args(["keys", "create", "--json", "--file"])
        .arg(scratch.join("keys.toml"))
        .env_clear()
        .output()
        .expect("keys made");
    let keys: serde_json::Value = serde_json::from_slice(&made.stdout).expect("keys as JSON");
    let key = |name: &str| keys[name].as_str().expect("a key").to_owned();
    (key("worker_key"), key("api_key"))
}

fn router(scratch: &Scratch) -> Command {
    let mut command = Command::new(binaries::program("auxot-router"));
    command.args(["serve", "--port", "0", "--keys-file"]).arg(scratch.join("keys.toml"));
    command.env_clear().env("NO_COLOR", "1").env("AUXOT_ROUTER_RUNTIME_DIR", scratch.join("router"));
    command
}

fn worker(scratch: &Scratch, address: &str, key: &str, engine: &Path, autoload: &str) -> Command {
    let mut command = Worker::command(scratch, &format!("http://{address}"));
    command.env("AUXOT_GPU_KEY", key).env("AUXOT_LLAMA_BINARY", engine);
    // One thread: two of them on a busy machine of two cores wait for each other.
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", autoload).env("AUXOT_THREADS", "1");
    command
}
