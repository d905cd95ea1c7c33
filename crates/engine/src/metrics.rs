//! The metrics of this crate: their names, labels and descriptions.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::exit_reason::ExitClass;

const STARTS: &str = "auxot_worker_engine_starts_total";
const RESTARTS: &str = "auxot_worker_engine_restarts_total";
const LOAD_SECONDS: &str = "auxot_worker_engine_load_seconds";
const STOP_SECONDS: &str = "auxot_worker_engine_stop_seconds";
const ORPHANS_ENDED: &str = "auxot_worker_orphans_ended_total";
const STALE_EVENTS: &str = "auxot_worker_engine_stale_events_total";
const UNKILLABLE: &str = "auxot_worker_engine_unkillable";
const LABEL_MODEL: &str = "model";
const LABEL_CAUSE: &str = "cause";

/// The histograms of this crate; the installer of the recorder gives them buckets.
pub const HISTOGRAMS: [&str; 2] = [LOAD_SECONDS, STOP_SECONDS];

/// Describes the metrics to the recorder; call once, after it is installed.
pub fn describe() {
    describe_counter!(STARTS, "Engine processes started (labels: model)");
    describe_counter!(
        RESTARTS,
        "Engine processes started because the one before failed, by the cause of that failure (labels: model, cause)"
    );
    describe_histogram!(
        LOAD_SECONDS,
        Unit::Seconds,
        "From the start of an engine process to its readiness (labels: model)"
    );
    describe_histogram!(
        STOP_SECONDS,
        Unit::Seconds,
        "From the request to stop an engine process to its exit (labels: model)"
    );
    describe_counter!(ORPHANS_ENDED, "Processes ended that dead workers or exited engines had left");
    counter!(ORPHANS_ENDED).absolute(0);
    describe_gauge!(UNKILLABLE, "1 while the model's process exists although it was killed, else 0 (labels: model)");
    describe_counter!(STALE_EVENTS, "Events of an earlier process that were dropped (labels: model)");
}

pub(crate) fn started(model: &str, after: Option<ExitClass>) {
    counter!(STARTS, LABEL_MODEL => model.to_owned()).increment(1);
    if let Some(cause) = after {
        counter!(RESTARTS, LABEL_MODEL => model.to_owned(), LABEL_CAUSE => cause.name()).increment(1);
    }
}

pub(crate) fn loaded(model: &str, load_time: Duration) {
    histogram!(LOAD_SECONDS, LABEL_MODEL => model.to_owned()).record(load_time.as_secs_f64());
}

pub(crate) fn stopped(model: &str, took: Duration) {
    histogram!(STOP_SECONDS, LABEL_MODEL => model.to_owned()).record(took.as_secs_f64());
}

pub(crate) fn orphans_ended(count: usize) {
    counter!(ORPHANS_ENDED).increment(count as u64);
}

pub(crate) fn stale(model: &str) {
    counter!(STALE_EVENTS, LABEL_MODEL => model.to_owned()).increment(1);
}

pub(crate) fn unkillable(model: &str, is: bool) {
    gauge!(UNKILLABLE, LABEL_MODEL => model.to_owned()).set(f64::from(u8::from(is)));
}
