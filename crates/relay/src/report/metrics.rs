//! The metrics of jobs and connections: names, labels and buckets.

use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::report::EndedJob;

const DURATION: &str = "auxot_worker_inference_duration_seconds";
const FIRST_TOKEN: &str = "auxot_worker_time_to_first_token_seconds";
const QUEUE_WAIT: &str = "auxot_worker_queue_wait_seconds";
const TOKENS: &str = "auxot_worker_tokens_generated_total";
const PROMPT_TOKENS: &str = "auxot_worker_prompt_tokens_total";
const CACHED_TOKENS: &str = "auxot_worker_prompt_tokens_cached_total";
const TOKEN_GAP: &str = "auxot_worker_inter_token_seconds";
const HEARTBEAT_LAG: &str = "auxot_worker_heartbeat_lag_seconds";
const CONFIGURED: &str = "auxot_worker_router_configured";
const JOBS: &str = "auxot_worker_jobs_total";
/// The value of the label `door`: by which front end a job came. The gateway has its own.
const DOOR: &str = "router";
const RETRIES: &str = "auxot_worker_job_retries_total";
const CONNECTIONS: &str = "auxot_worker_router_connections";
const DIALS_FAILED: &str = "auxot_worker_router_dials_failed_total";
const CONNECTIONS_LOST: &str = "auxot_worker_router_connections_lost_total";
const CONFIG_REFUSED: &str = "auxot_worker_router_config_refused_total";
const KEY_REFUSED: &str = "auxot_worker_router_key_refused";

/// Every value of the label `ending`, so that each series exists from the start.
pub(crate) const OUTCOMES: [&str; 20] = [
    "completed",
    "refused",
    "bad_job",
    "engine_refused",
    "engine_failed",
    "engine_gone",
    "made_room",
    "crashes_engines",
    "engine_unreachable",
    "unreadable",
    "bad_tool_call",
    "timeout_headers",
    "timeout_idle",
    "timeout_total",
    "cancelled",
    "superseded",
    "link_lost",
    "given_back",
    "shutting_down",
    "broken",
];

/// Upper bounds in seconds, from 5 ms (a first token with a warm cache) to 10 min (a long answer of a large model).
pub const BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Upper bounds in seconds for the time between two tokens, from 1 ms (a tiny model) to 5 s (a starved one).
pub const GAP_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The histograms of this crate with [`GAP_BUCKETS`].
pub const GAP_HISTOGRAMS: [&str; 1] = [TOKEN_GAP];

/// The histograms of this crate with [`BUCKETS`].
pub const HISTOGRAMS: [&str; 3] = [DURATION, FIRST_TOKEN, QUEUE_WAIT];

/// Describes every metric of this crate, and sets the gauges that must exist from the start.
pub fn describe() {
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "From a job's arrival to its end, of jobs that got a slot (labels: model, door)"
    );
    describe_histogram!(
        FIRST_TOKEN,
        Unit::Seconds,
        "From a job's arrival to the first text of the engine (labels: model, door)"
    );
    describe_histogram!(
        QUEUE_WAIT,
        Unit::Seconds,
        "From a job's arrival to its slot, a load included (labels: model, door)"
    );
    describe_histogram!(
        TOKEN_GAP,
        Unit::Seconds,
        "Between two tokens of a job, the mean of each completed job (labels: model)"
    );
    describe_counter!(PROMPT_TOKENS, "Prompt tokens processed, those from the cache excluded (labels: model)");
    describe_counter!(CACHED_TOKENS, "Prompt tokens taken from the cache (labels: model)");
    describe_gauge!(HEARTBEAT_LAG, Unit::Seconds, "How late the newest heartbeat was sent");
    describe_gauge!(CONFIGURED, "1 where the worker has a router, else 0");
    describe_counter!(TOKENS, "Tokens generated, chain of thought included (labels: model)");
    describe_counter!(JOBS, "Jobs by their one ending (labels: model, ending, door)");
    describe_counter!(RETRIES, "Jobs sent to a fresh engine because theirs went away before the first token");
    describe_gauge!(CONNECTIONS, "Connections to the router that serve");
    describe_counter!(CONNECTIONS_LOST, "Connections to the router that served and ended, by cause (labels: cause)");
    describe_counter!(DIALS_FAILED, "Attempts to connect to the router that led to nothing, by cause (labels: cause)");
    describe_counter!(CONFIG_REFUSED, "Times the router refused our capabilities");
    describe_gauge!(KEY_REFUSED, "1 while the router refuses our key");
    gauge!(CONNECTIONS).set(0.0);
    gauge!(CONFIGURED).set(0.0);
    gauge!(KEY_REFUSED).set(0.0);
}

/// The metric handles of one model, looked up once.
pub(crate) struct JobSeries {
    duration: Histogram,
    first_token: Histogram,
    queue_wait: Histogram,
    tokens: Counter,
    prompt_tokens: Counter,
    cached_tokens: Counter,
    token_gap: Histogram,
    endings: Vec<(&'static str, Counter)>,
}

impl std::fmt::Debug for JobSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JobSeries")
    }
}

impl JobSeries {
    pub(crate) fn new(model: &str) -> Self {
        let label = || model.to_owned();
        Self {
            duration: histogram!(DURATION, "model" => label(), "door" => DOOR),
            first_token: histogram!(FIRST_TOKEN, "model" => label(), "door" => DOOR),
            queue_wait: histogram!(QUEUE_WAIT, "model" => label(), "door" => DOOR),
            tokens: counter!(TOKENS, "model" => label()),
            prompt_tokens: counter!(PROMPT_TOKENS, "model" => label()),
            cached_tokens: counter!(CACHED_TOKENS, "model" => label()),
            token_gap: histogram!(TOKEN_GAP, "model" => label()),
            endings: OUTCOMES
                .iter()
                .map(|ending| (*ending, counter!(JOBS, "model" => label(), "ending" => *ending, "door" => DOOR)))
                .collect(),
        }
    }

    pub(crate) fn ended(&self, ended: &EndedJob<'_>) {
        self.tokens.increment(ended.tokens.generated.unwrap_or_default());
        self.prompt_tokens.increment(ended.tokens.processed.unwrap_or(0));
        self.cached_tokens.increment(ended.tokens.cached.unwrap_or(0));
        if let Some(gap) = ended.token_gap() {
            self.token_gap.record(gap);
        }
        // A refused job took no inference time, however long it waited.
        if let Some(waited) = ended.waited {
            self.duration.record(ended.took);
            self.queue_wait.record(waited);
        }
        if let Some(first_token) = ended.first_token {
            self.first_token.record(first_token);
        }
        if let Some((_, counter)) = self.endings.iter().find(|(label, _)| *label == ended.ending) {
            counter.increment(1);
        }
    }
}

/// A router is configured.
pub(crate) fn router_configured() {
    gauge!(CONFIGURED).set(1.0);
}

pub(crate) fn heartbeat_lag(lag: Duration) {
    gauge!(HEARTBEAT_LAG).set(lag.as_secs_f64());
}

pub(crate) fn job_retried() {
    counter!(RETRIES).increment(1);
}

pub(crate) fn config_refused() {
    counter!(CONFIG_REFUSED).increment(1);
}

pub(crate) fn key_refused(refused: bool) {
    gauge!(KEY_REFUSED).set(f64::from(u8::from(refused)));
}

/// One serving connection, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ServingConnection;

impl ServingConnection {
    pub(crate) fn new() -> Self {
        gauge!(CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for ServingConnection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1.0);
    }
}

pub(crate) fn dial_failed(cause: &'static str) {
    counter!(DIALS_FAILED, "cause" => cause).increment(1);
}

pub(crate) fn connection_lost(cause: &'static str) {
    counter!(CONNECTIONS_LOST, "cause" => cause).increment(1);
}
