//! The fleet's metrics: loaded models, memory, and waiting jobs.

use std::time::Duration;

use auxot_gpu::{Device, HOST, Sample};
use auxot_scheduler::ModelState;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::report::Report;

const MODEL_LOADED: &str = "auxot_worker_model_loaded";
const VRAM_USED: &str = "auxot_worker_vram_used_bytes";
const DEVICE_USED: &str = "auxot_worker_device_memory_used_bytes";
const DEVICE_TOTAL: &str = "auxot_worker_device_memory_total_bytes";
const DEVICE_OTHERS: &str = "auxot_worker_device_memory_others_bytes";
const MODEL_FAILED: &str = "auxot_worker_model_failed";
const LOG_BYTES: &str = "auxot_worker_engine_log_bytes_total";
const SLOTS: &str = "auxot_worker_slots";
const SLOTS_BUSY: &str = "auxot_worker_slots_busy";
const WAITING: &str = "auxot_worker_jobs_waiting";
const ESTIMATE_ERROR: &str = "auxot_worker_memory_estimate_error_ratio";
const UNMET: &str = "auxot_worker_settings_unmet";
const RELEASED: &str = "auxot_worker_memory_release_seconds";

/// The metrics that are histograms of seconds.
pub const HISTOGRAMS: [&str; 1] = [RELEASED];

/// Describes every metric of this crate.
pub fn describe() {
    describe_gauge!(MODEL_LOADED, "1 while the model takes jobs, else 0 (labels: model)");
    describe_gauge!(
        VRAM_USED,
        Unit::Bytes,
        "Memory that the model's process holds (labels: model, device; `host` where no device does)"
    );
    describe_gauge!(DEVICE_USED, Unit::Bytes, "Memory of the device in use by all processes (labels: device)");
    describe_gauge!(
        DEVICE_OTHERS,
        Unit::Bytes,
        "Memory of the device in use by other processes than engines (labels: device)"
    );
    describe_gauge!(
        MODEL_FAILED,
        "1 while the model has failed and is not loaded again by itself, else 0 (labels: model)"
    );
    describe_counter!(LOG_BYTES, Unit::Bytes, "Bytes that the engines of the model have printed (labels: model)");
    describe_gauge!(DEVICE_TOTAL, Unit::Bytes, "Memory of the device (labels: device)");
    describe_gauge!(SLOTS, "Jobs the model can run at once (labels: model)");
    describe_gauge!(SLOTS_BUSY, "Jobs the model runs now (labels: model)");
    describe_gauge!(WAITING, "Jobs that wait for a slot of the model (labels: model)");
    describe_gauge!(
        ESTIMATE_ERROR,
        "The part of the measured memory of the model's process that the estimate missed (labels: model)"
    );
    describe_histogram!(
        RELEASED,
        Unit::Seconds,
        "From the end of an engine until its memory was seen free (labels: seen; `no` where the wait ended before)"
    );
    describe_gauge!(UNMET, "Settings and policies that this host cannot meet");
}

/// Records the time from an engine's exit until its memory was seen free, or until the wait ended.
pub(crate) fn released(waited: Duration, in_time: bool) {
    histogram!(RELEASED, "seen" => if in_time { "yes" } else { "no" }).record(waited.as_secs_f64());
}

/// Publishes a report. An unknown value is not set, rather than set to zero.
pub(crate) fn publish(report: &Report) {
    for model in &report.models {
        let name = model.model.name.clone();
        gauge!(MODEL_LOADED, "model" => name.clone()).set(f64::from(u8::from(model.ready.is_some())));
        let failed = matches!(model.state, ModelState::Failed);
        gauge!(MODEL_FAILED, "model" => name.clone()).set(f64::from(u8::from(failed)));
        gauge!(SLOTS, "model" => name.clone())
            .set(model.ready.as_ref().map_or(0.0, |ready| f64::from(ready.props.total_slots)));
        gauge!(SLOTS_BUSY, "model" => name.clone()).set(f64::from(model.slots_busy));
        gauge!(WAITING, "model" => name.clone()).set(model.waiting as f64);
        for (device, bytes) in &model.memory {
            gauge!(VRAM_USED, "model" => name.clone(), "device" => device.clone()).set(*bytes as f64);
        }
        if let Some(error) = model.estimate_error() {
            gauge!(ESTIMATE_ERROR, "model" => name.clone()).set(error);
        }
        if model.status.pid.is_none() {
            // Without a process the memory is known to be zero.
            for device in report.devices.devices.iter().map(|device| device.id.clone()).chain([HOST.to_owned()]) {
                gauge!(VRAM_USED, "model" => name.clone(), "device" => device).set(0.0);
            }
        }
    }
    for device in &report.devices.devices {
        if let Some(used) = device.used {
            gauge!(DEVICE_USED, "device" => device.id.clone()).set(used as f64);
        }
        if let Some(others) = others(report, device) {
            gauge!(DEVICE_OTHERS, "device" => device.id.clone()).set(others as f64);
        }
        if let Some(total) = device.total {
            gauge!(DEVICE_TOTAL, "device" => device.id.clone()).set(total as f64);
        }
    }
    gauge!(UNMET).set(report.unmet.len() as f64);
}

/// Bytes of a device in use by processes that are no engines; `None` where a part is unknown.
fn others(report: &Report, device: &Device) -> Option<u64> {
    let running = report.models.iter().filter(|model| model.status.pid.is_some());
    let held = running.map(|model| {
        let of_device = model.memory.iter().find(|(id, _)| *id == device.id).map_or(0, |(_, bytes)| *bytes);
        (!model.memory.is_empty()).then_some(of_device)
    });
    Some(device.used?.saturating_sub(held.sum::<Option<u64>>()?))
}

/// Publishes the bytes that the engines of a model have printed.
pub(crate) fn publish_log(model: &str, bytes: u64) {
    counter!(LOG_BYTES, "model" => model.to_owned()).absolute(bytes);
}

/// Sets the gauges of a removed model to zero.
pub(crate) fn remove(model: &str, devices: &Sample) {
    for series in [MODEL_LOADED, MODEL_FAILED, SLOTS, SLOTS_BUSY, WAITING] {
        gauge!(series, "model" => model.to_owned()).set(0.0);
    }
    for device in devices.devices.iter().map(|device| device.id.clone()).chain([HOST.to_owned()]) {
        gauge!(VRAM_USED, "model" => model.to_owned(), "device" => device).set(0.0);
    }
}
