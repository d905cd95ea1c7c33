//! Several models on one host, seen from outside: the real worker, simulated devices and engines that use their memory, and
//! a scripted router.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cards;
mod demand;
mod dry_run;
mod eviction;
mod list;
mod load_failures;
mod memory_release;
mod model_settings;
mod preemption;
mod real;
mod shutdown;
mod visibility;

use auxot_tests::scripted_router::{Link, job_for};
use auxot_tests::{Host, Worker};
use serde_json::Value;

/// No wait is long here.
const SHORT_WAITS: [(&str, &str); 4] = [
    ("AUXOT_FLEET__MIN_LOADED_TIME", "0s"),
    ("AUXOT_FLEET__PREEMPT_AFTER", "100ms"),
    ("AUXOT_FLEET__DRAIN_TIMEOUT", "12s"),
    ("AUXOT_HEARTBEAT_INTERVAL", "100ms"),
];

/// A worker with short time limits on this host, and its link to a router whose policy names no model.
async fn serving(host: &mut Host, settings: &[(&str, &str)]) -> (Worker, Link) {
    let worker = host.worker(&[&SHORT_WAITS, settings].concat()).await;
    let link = host.greeted(&Value::Null).await;
    (worker, link)
}

/// Runs a short job on a model.
async fn run_job(link: &mut Link, model: &str) {
    let job = format!("for-{model}-{}", link.history().len());
    link.send(&job_for(&job, model, &format!("fake: --text 'from {model}'"))).await;
    assert_eq!(link.outcome(&job).await.completed(), format!("from {model}"));
}

/// Starts an endless job on a model, and waits for its first token.
async fn occupies(link: &mut Link, job: &str, model: &str) {
    link.send(&job_for(job, model, "fake: --tokens 100000 --token-us 5000")).await;
    link.about(job).await;
}
