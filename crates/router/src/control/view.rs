//! Makes messages of what the hub has: pure, so that a test compares them.

use std::time::Instant;

use auxot_access::LastUses;
use auxot_access::keys::{Key, KeyKind, KeyTerms};
use auxot_protocol::{DeviceReport, ModelReport};
use jiff::Timestamp;

use super::api::{DeviceStatus, Health, KeyStatus, KeyUse, ModelStatus, ProviderStatus, QueueStatus, WorkerStatus};
use crate::board::WorkerView;
use crate::hub::{HubSnapshot, ProviderSnapshot, WorkerSnapshot};
use crate::log_text::log_text;

/// The time of a snapshot, by each of the clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Of jobs.
    pub(super) jobs: Instant,
    /// Of links.
    pub(super) links: tokio::time::Instant,
    /// Of keys.
    pub(super) keys: Timestamp,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { jobs: Instant::now(), links: tokio::time::Instant::now(), keys: Timestamp::now() }
    }
}

pub(super) fn queue(snapshot: &HubSnapshot, most_waiting: usize) -> QueueStatus {
    let summary = snapshot.summary;
    QueueStatus {
        running: summary.active_jobs,
        slots: summary.total_slots,
        provided: summary.provided,
        waiting: summary.waiting,
        most_waiting,
        oldest_seconds: snapshot.oldest_waiting.map(|time| time.as_secs_f64()),
    }
}

pub(super) fn worker(worker: &WorkerSnapshot, now: Moment) -> WorkerStatus {
    let WorkerSnapshot { report, view, .. } = worker;
    let since = |moment: tokio::time::Instant| now.links.saturating_duration_since(moment).as_secs_f64();
    WorkerStatus {
        id: worker.gpu_id.to_string(),
        address: report.address.to_string(),
        program: report.program.as_deref().map(str::to_owned),
        key: worker.key.name.to_string(),
        health: health(view),
        connected_seconds: since(report.connected),
        heartbeat_seconds: report.heartbeat.map(since),
        backend: log_text(&report.backend),
        devices: report.devices.iter().map(device).collect(),
        models: models(view),
        slots_used: view.jobs.len(),
        slots: view.slots,
        times: report.times.figures(now.jobs),
        unmet: report.unmet.iter().map(|sentence| log_text(sentence)).collect(),
    }
}

fn health(view: &WorkerView) -> Health {
    match (view.alive, view.draining) {
        (false, _) => Health::Dead,
        (true, true) => Health::Draining,
        (true, false) => Health::Alive,
    }
}

fn device(device: &DeviceReport) -> DeviceStatus {
    DeviceStatus {
        id: log_text(&device.id),
        name: log_text(&device.name),
        total_bytes: device.total_bytes,
        used_bytes: device.used_bytes,
        free_bytes: device.free_bytes,
    }
}

fn models(view: &WorkerView) -> Vec<ModelStatus> {
    let used = |name: &str| view.jobs.iter().filter(|job| job.as_deref() == Some(name)).count();
    if !view.models.is_empty() {
        return view.models.iter().map(|report| model(report, used(&report.name))).collect();
    }
    // A worker that lists no models runs all of its jobs with the same ones.
    let names = view.names.iter().filter(|_| !view.pending);
    names.map(|name| unreported(name, view)).collect()
}

fn model(report: &ModelReport, slots_used: usize) -> ModelStatus {
    ModelStatus {
        name: report.name.clone(),
        state: Some(report.state),
        capabilities: report.capabilities.iter().map(|capability| log_text(capability)).collect(),
        slots_used,
        slots: report.slots,
        queued: report.queued,
        ctx_size: report.ctx_size,
        memory_bytes: report.memory_bytes,
        tokens_per_second: report.tokens_per_second,
        load_seconds: report.load_ms.map(|time| time / 1000.0),
        load_evicts: report.load_evicts,
        restarts: report.restarts,
    }
}

fn unreported(name: &str, view: &WorkerView) -> ModelStatus {
    ModelStatus {
        name: name.to_owned(),
        slots_used: view.jobs.len(),
        slots: Some(view.slots),
        ..ModelStatus::default()
    }
}

pub(super) fn provider(provider: &ProviderSnapshot, now: Moment) -> ProviderStatus {
    ProviderStatus {
        name: provider.name.to_string(),
        kind: provider.kind,
        models: provider.models.clone(),
        breaker: provider.breaker,
        reopens_seconds: provider.reopens_in.map(|time| time.as_secs_f64()),
        last_refusal: provider.last_refusal.map(str::to_owned),
        jobs: provider.jobs,
        times: provider.times.figures(now.jobs),
    }
}

pub(super) fn key(key: &Key, snapshot: &HubSnapshot, uses: &LastUses, now: Moment) -> KeyStatus {
    let KeyTerms { models, providers, requests_per_minute, tokens_per_minute, max_parallel } = key.terms().clone();
    KeyStatus {
        name: key.name.to_string(),
        kind: match key.kind {
            KeyKind::Worker => KeyUse::Worker,
            KeyKind::Api => KeyUse::Api,
        },
        id: key.id.to_string(),
        created: key.created.to_string(),
        expires: key.expires.map(|expires| expires.to_string()),
        expired: key.is_expired(now.keys),
        last_used: uses.at(key.id).map(|at| at.to_string()),
        models,
        providers,
        requests_per_minute,
        tokens_per_minute,
        max_parallel,
        workers: snapshot
            .workers
            .iter()
            .filter(|worker| worker.key.id == key.id && worker.key.kind == key.kind)
            .count(),
    }
}
