//! The real worker as a user starts it: its own folders, the fake engine, a router address.

use std::process::Command;

use crate::{DEADLINE, Program, Scratch, binaries, http};

/// Every limit of the worker that a test would have to wait for, as short as a loaded machine allows.
const SHORT_LIMITS: [(&str, &str); 19] = [
    ("AUXOT_FLEET__RESCAN_INTERVAL", "500ms"),
    ("AUXOT_FLEET__FAILED_RETRY", "2s"),
    ("AUXOT_ROUTER_CONNECTIONS", "1"),
    ("AUXOT_HEARTBEAT_INTERVAL", "100ms"),
    ("AUXOT_ROUTER__SILENCE_TIMEOUT", "5s"),
    ("AUXOT_ROUTER__WRITE_TIMEOUT", "10s"),
    ("AUXOT_ROUTER__ADOPT_WINDOW", "30s"),
    ("AUXOT_ROUTER__PROMPT_PROGRESS", "off"),
    ("AUXOT_FLEET__DRAIN_TIMEOUT", "12s"),
    ("AUXOT_ENGINE__LOAD_STALL", "8s"),
    ("AUXOT_ENGINE__STOP_GRACE", "1s"),
    ("AUXOT_ENGINE__STOP_AGAIN", "300ms"),
    ("AUXOT_ENGINE__STOP_KILL", "3s"),
    ("AUXOT_ENGINE__RESTART_DELAY", "50ms"),
    ("AUXOT_ENGINE__RESTART_MAX_DELAY", "200ms"),
    ("AUXOT_ENGINE__LIVENESS_INTERVAL", "400ms"),
    ("AUXOT_ENGINE__LIVENESS_BUSY_INTERVAL", "400ms"),
    ("AUXOT_ENGINE__LIVENESS_TIMEOUT", "1500ms"),
    ("AUXOT_GPU__SAMPLE_INTERVAL", "1s"),
];

/// A started worker; dropping it kills it and, by its own doing, its engines.
#[derive(Debug)]
pub struct Worker {
    /// The process, its log and its end.
    pub program: Program,
    metrics: String,
}

impl Worker {
    /// The key that every worker of these suites presents; found anywhere it should not be, it is unmistakable.
    pub const KEY: &str = "gpu_KEY-of-the-suites-7d1f0c";

    /// A command that keeps everything inside the scratch folder and takes nothing from this test's environment.
    ///
    /// Set what else is needed with [`Command::env`]; two slots of 2048 tokens are the start.
    pub fn command(scratch: &Scratch, router_url: &str) -> Command {
        let mut command = Command::new(binaries::program("auxot-worker"));
        command.arg("--type").arg("gpu").current_dir(scratch.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", scratch.path()).env("NO_COLOR", "1");
        command.env("XDG_STATE_HOME", scratch.join("state")).env("XDG_CONFIG_HOME", scratch.join("config"));
        command.env("AUXOT_RUNTIME_DIR", scratch.join("run")).env("AUXOT_MODELS_DIR", scratch.models());
        command.env("AUXOT_LLAMA_BINARY", binaries::fake_engine()).env("AUXOT_METRICS_PORT", "0");
        command.env("AUXOT_ROUTER_URL", router_url).env("AUXOT_GPU_KEY", Self::KEY);
        command.env("AUXOT_MAX_PARALLEL", "2").env("AUXOT_CTX_SIZE", "2048");
        // The first connection is the one that serves, in every test that is not about the first start.
        command.env("AUXOT_ROUTER__WAIT_FOR_POLICY", "false").env("AUXOT_ROUTER__SURPLUS_CONNECTION_TIME", "0s");
        command.env("AUXOT_RECONNECT_DELAY", "50ms").env("AUXOT_RECONNECT_MAX_DELAY", "200ms");
        command
    }

    /// As [`Worker::command`], with one link and with limits so short that every fault is over in seconds.
    pub fn short_limits_command(scratch: &Scratch, router_url: &str) -> Command {
        let mut command = Self::command(scratch, router_url);
        command.envs(SHORT_LIMITS);
        command
    }

    /// Starts it and reads from its log where its metrics are.
    pub async fn start(command: Command) -> Worker {
        let mut program = Program::start(command);
        let line = program.line("metrics endpoint listens", DEADLINE).await;
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
        let metrics = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Worker { program, metrics }
    }

    /// Starts one whose log cannot be written: every line meets a full disk.
    pub async fn start_unlogged(mut command: Command) -> Worker {
        // Without a log the port is unknown.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let metrics = port.unwrap_or_else(|error| panic!("cannot find a free port: {error}")).to_string();
        let full = std::fs::File::options().write(true).open("/dev/full");
        let full = full.unwrap_or_else(|error| panic!("cannot open /dev/full: {error}"));
        command.env("AUXOT_METRICS_PORT", metrics.rsplit(':').next().unwrap_or_default());
        let program = Program::start_with_stderr(command, full);
        http::until(&metrics, "/metrics", DEADLINE, |answer| answer.status == 200).await;
        Worker { program, metrics }
    }

    /// Where `/metrics` is.
    pub fn metrics_address(&self) -> &str {
        &self.metrics
    }

    /// All metrics of this moment.
    pub async fn metrics(&self) -> String {
        let answer = http::get(&self.metrics, "/metrics").await;
        answer.unwrap_or_else(|error| panic!("cannot read the metrics: {error}")).body
    }

    /// One metric of this moment; what was never counted is zero.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        http::metric(&self.metrics().await, name, labels).unwrap_or_default()
    }

    /// Waits until a metric fits.
    pub async fn metric_until(&self, name: &str, labels: &[&str], fits: impl Fn(f64) -> bool) {
        http::metric_until(&self.metrics, name, labels, DEADLINE, fits).await;
    }

    /// The answer of its `/health`.
    pub async fn health(&self) -> http::Answer {
        let answer = http::get(&self.metrics, "/health").await;
        answer.unwrap_or_else(|error| panic!("cannot ask for the health: {error}"))
    }

    /// Waits for a line of its log, also one already written.
    pub async fn line(&mut self, needle: &str) -> String {
        self.program.line(needle, DEADLINE).await
    }

    /// Lines of its log so far that hold `needle`.
    pub fn lines_with(&self, needle: &str) -> Vec<String> {
        self.program.lines().into_iter().filter(|line| line.contains(needle)).collect()
    }

    /// Waits for its end; gives the exit code, or `None` after a signal.
    pub async fn exit_code(&mut self) -> Option<i32> {
        self.program.ended(DEADLINE).await.code()
    }
}
