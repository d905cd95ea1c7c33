//! What the fleet reports, as messages of the control socket.

use std::time::Duration;

use auxot_fleet::{Download, DownloadState, Job, ModelView, Report};

use super::api::{DeviceStatus, DownloadStatus, EventKind, Figures, JobStatus, ModelStatus};
use super::event_log::to_ms;

/// Jobs that ended before are not in the figures.
const FIGURES_WINDOW: Duration = Duration::from_secs(300);

pub(crate) fn devices(report: &Report) -> Vec<DeviceStatus> {
    let held = |id: &str| {
        let of_model = |view: &ModelView| view.memory.iter().find(|(device, _)| device == id).map(|(_, bytes)| *bytes);
        // A model whose memory is unknown makes the sum unknown.
        let running = report.models.iter().filter(|view| view.status.pid.is_some());
        running.map(|view| if view.memory.is_empty() { None } else { Some(of_model(view).unwrap_or(0)) }).sum()
    };
    let all = report.devices.devices.iter();
    all.map(|device| DeviceStatus {
        id: device.id.clone(),
        name: device.name.clone(),
        total_bytes: device.total,
        used_bytes: device.used,
        models_bytes: held(&device.id),
        usable: !report.unusable_devices.contains(&device.id),
    })
    .collect()
}

pub(crate) fn download(download: &Download) -> DownloadStatus {
    let status = DownloadStatus {
        model: download.model.clone(),
        state: download.state.name().to_owned(),
        bytes: None,
        total_bytes: None,
        reason: None,
        pause_seconds: None,
    };
    match &download.state {
        DownloadState::Queued | DownloadState::Resolving | DownloadState::Complete => status,
        DownloadState::Receiving { bytes, total } => {
            DownloadStatus { bytes: Some(*bytes), total_bytes: Some(*total), ..status }
        }
        DownloadState::Failed { reason, pause } => {
            DownloadStatus { reason: Some(reason.clone()), pause_seconds: Some(pause.as_secs_f64()), ..status }
        }
    }
}

pub(crate) fn download_event(now: &Download) -> EventKind {
    let DownloadStatus { model, state: to, bytes, total_bytes, reason, .. } = download(now);
    EventKind::Download { model, to, bytes, total_bytes, reason }
}

pub(crate) fn model(view: &ModelView, jobs: &[Job]) -> ModelStatus {
    ModelStatus {
        name: view.model.name.clone(),
        task: view.model.task.to_string(),
        state: view.state.name().to_owned(),
        load_progress: view.load_progress(),
        slots: view.slots,
        slots_busy: view.slots_busy,
        waiting: view.waiting,
        ctx_size: view.ctx_size,
        memory_bytes: view.memory_bytes(),
        place: view.estimated.clone(),
        memory: view.memory.clone(),
        pid: view.status.pid,
        restarts: view.status.restarts,
        pinned: view.pinned,
        last_error: view.status.last_error.as_ref().map(ToString::to_string),
        figures: figures(jobs, &view.model.name),
    }
}

pub(crate) fn job(job: &Job) -> JobStatus {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    JobStatus {
        number: job.number,
        front_end: job.front_end.to_owned(),
        id: job.id.clone(),
        model: job.model.clone(),
        arrived_ms: to_ms(job.arrived_at),
        waited_seconds: seconds(job.waited),
        first_token_seconds: seconds(job.first_token),
        took_seconds: job.took().as_secs_f64(),
        ending: job.end.as_ref().map(|end| end.ending.to_owned()),
        trace: job.trace.map(|trace| trace.context.trace_id()),
        tokens: job.end.as_ref().and_then(|end| end.tokens),
    }
}

/// The figures of a model's completed jobs.
fn figures(jobs: &[Job], model: &str) -> Figures {
    let completed = |job: &&Job| {
        job.model.as_deref() == Some(model)
            && job.end.as_ref().is_some_and(|end| end.ending == "completed")
            && job.age() <= FIGURES_WINDOW
    };
    let jobs: Vec<JobStatus> = jobs.iter().filter(completed).map(job).collect();
    Figures {
        jobs: jobs.len(),
        tokens_per_second: median(jobs.iter().filter_map(JobStatus::tokens_per_second)),
        first_token_seconds: median(jobs.iter().filter_map(|job| job.first_token_seconds)),
        latency_seconds: median(jobs.iter().map(|job| job.took_seconds)),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_nothing_is_unknown() {
        assert_eq!(median(std::iter::empty()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    }

    #[test]
    fn figures_are_of_completed_jobs_of_the_model() {
        let log = std::sync::Arc::new(auxot_fleet::JobLog::default());
        for (model, ending) in [("m", "completed"), ("m", "cancelled"), ("n", "completed")] {
            let job = log.begin("router", None);
            job.leased(model);
            job.first_token();
            job.ended(ending, Some(10));
        }
        let figures = figures(&log.ended(), "m");
        assert_eq!(figures.jobs, 1);
        assert!(figures.latency_seconds.is_some() && figures.first_token_seconds.is_some());
    }
}
