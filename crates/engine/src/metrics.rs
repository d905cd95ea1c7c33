//! The metrics of this crate: their names, labels and descriptions.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::exit_reason::ExitClass;

const STARTS: &str = "auxot_worker_engine_starts_total";
const RESTARTS: &str = "auxot_worker_engine_restarts_total";
const LOAD_SECONDS: &str = "auxot_worker_engine_load_seconds";
const STALE_EVENTS: &str = "auxot_worker_engine_stale_events_total";
const UNKILLABLE: &str = "auxot_worker_engine_unkillable";
const LABEL_MODEL: &str = "model";
const LABEL_CAUSE: &str = "cause";

/// The histograms of this crate; the installer of the recorder gives them buckets.
pub const HISTOGRAMS: [&str; 1] = [LOAD_SECONDS];

/// Describes the metrics to the recorder; call once, after it is installed.
pub fn describe() {
    describe_counter!(STARTS, "Engine processes started");
    describe_counter!(RESTARTS, "Engine processes started because the one before failed, by the cause of that failure");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "From the start of an engine process to its readiness");
    describe_gauge!(UNKILLABLE, "1 while the model's process exists although it was killed, else 0");
    describe_counter!(STALE_EVENTS, "Events of an earlier process that were dropped");
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

pub(crate) fn stale(model: &str) {
    counter!(STALE_EVENTS, LABEL_MODEL => model.to_owned()).increment(1);
}

pub(crate) fn unkillable(model: &str, is: bool) {
    gauge!(UNKILLABLE, LABEL_MODEL => model.to_owned()).set(f64::from(u8::from(is)));
}
