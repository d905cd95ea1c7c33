//! The router in a few numbers, for `/health` and for waiting on a change.

use serde::Serialize;

/// The numbers of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Workers that may get jobs.
    pub workers: usize,
    /// Workers that are connected and silent for longer than the threshold.
    pub silent: usize,
    /// Jobs that the live workers can run in parallel.
    pub total_slots: u32,
    /// Jobs that run on workers.
    pub active_jobs: u32,
    /// Jobs that other providers have.
    pub provided: u32,
    /// Jobs waiting for a worker.
    pub waiting: usize,
}

/// The body of `/health`: these five fields, as measured at the upstream router, and nothing secret.
#[derive(Debug, Serialize)]
pub(crate) struct HealthBody {
    active_jobs: u32,
    available: u32,
    status: &'static str,
    total_slots: u32,
    workers: usize,
}

impl From<Summary> for HealthBody {
    fn from(summary: Summary) -> Self {
        Self {
            active_jobs: summary.active_jobs,
            available: summary.total_slots.saturating_sub(summary.active_jobs),
            status: "ok",
            total_slots: summary.total_slots,
            workers: summary.workers,
        }
    }
}
