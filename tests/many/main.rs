//! Many models on one host, seen from outside: the real worker, made-up cards with memory that made-up engines take, and a
//! router that asks for what it likes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cards;
mod demand;
mod dry_run;
mod ends;
mod eviction;
mod late;
mod list;
mod own;
mod real;
mod sight;
mod trouble;
mod turns;

use auxot_tests::scripted_router::{Link, job_for};
use auxot_tests::{Host, Worker};
use serde_json::Value;

/// No wait is long here.
const HASTY: [(&str, &str); 4] = [
    ("AUXOT_FLEET__RESIDENCY", "0s"),
    ("AUXOT_FLEET__PATIENCE", "100ms"),
    ("AUXOT_FLEET__DRAIN_TIMEOUT", "12s"),
    ("AUXOT_HEARTBEAT_INTERVAL", "100ms"),
];

/// A hasty worker on this host, and its link to a router that wishes for nothing.
async fn serving(host: &mut Host, settings: &[(&str, &str)]) -> (Worker, Link) {
    let worker = host.worker(&[&HASTY, settings].concat()).await;
    let link = host.greeted(&Value::Null).await;
    (worker, link)
}

/// Asks a model for a few words, and waits for them.
async fn asks(link: &mut Link, model: &str) {
    let job = format!("for-{model}-{}", link.history().len());
    link.send(&job_for(&job, model, &format!("fake: --text 'from {model}'"))).await;
    assert_eq!(link.outcome(&job).await.completed(), format!("from {model}"));
}

/// Asks a model for words without end, and waits for the first.
async fn occupies(link: &mut Link, job: &str, model: &str) {
    link.send(&job_for(job, model, "fake: --tokens 100000 --token-us 5000")).await;
    link.about(job).await;
}
