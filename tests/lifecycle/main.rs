//! The lifecycle of models and their engines, seen from outside: the real worker, the fake engine, a scripted router.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builds;
mod control;
mod devices;
mod doctor;
mod files;
mod fits;
mod liveness;
mod logs;
mod metrics;
mod models;
mod page;
mod resources;
mod service;
mod settings;
mod stops;
mod wrappers;

use auxot_tests::DEADLINE;

use auxot_tests::scripted_router::Link;
use serde_json::Value;

/// The model that most tests serve, by its canonical name and its file.
const MODEL: &str = "tiny-chat-q4_k_m";
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";

/// The next `config` that fits.
async fn config(link: &mut Link, wanted: &str, fits: impl Fn(&Value) -> bool) -> Value {
    link.take(wanted, |frame| frame["type"] == "config" && fits(&frame["capabilities"])).await
}
