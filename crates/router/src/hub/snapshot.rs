//! What an operator sees of workers and providers, as it is at one moment.

use std::sync::Arc;
use std::time::Duration;

use auxot_access::keys::Key;
use tokio::time::Instant;

use super::link_report::LinkReport;
use super::providers::BreakerState;
use super::recent_times::RecentTimes;
use super::{Hub, ProviderForm, ProviderHandle};
use crate::board::{ProviderId, WorkerId, WorkerView};
use crate::summary::Summary;

/// Everything at one moment. Lists are shared with the hub, so that its lock is held briefly.
#[derive(Debug)]
pub(crate) struct HubSnapshot {
    pub(crate) summary: Summary,
    /// By the time of their connection.
    pub(crate) workers: Vec<WorkerSnapshot>,
    pub(crate) providers: Vec<ProviderSnapshot>,
    /// How long the oldest waiting job has waited.
    pub(crate) oldest_waiting: Option<Duration>,
    pub(crate) stopping: bool,
}

/// One connected worker.
#[derive(Debug)]
pub(crate) struct WorkerSnapshot {
    id: WorkerId,
    pub(crate) gpu_id: Arc<str>,
    pub(crate) key: Arc<Key>,
    pub(crate) report: LinkReport,
    pub(crate) view: WorkerView,
}

/// One provider beside the workers.
#[derive(Debug)]
pub(crate) struct ProviderSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) is_program: bool,
    pub(crate) models: Vec<String>,
    pub(crate) breaker: BreakerState,
    /// Time until its circuit breaker lets a trial through.
    pub(crate) reopens_in: Option<Duration>,
    /// Jobs that it has.
    pub(crate) jobs: u32,
    /// Why it has refused a job last.
    pub(crate) last_refusal: Option<&'static str>,
    pub(crate) times: RecentTimes,
}

impl Hub {
    /// What there is now.
    pub(crate) fn snapshot(&self) -> HubSnapshot {
        let inner = self.lock();
        let workers = inner.links.iter().filter_map(|(id, link)| {
            let view = inner.board.view(*id)?;
            let (gpu_id, key, report) = (link.gpu_id.clone(), link.key.clone(), link.report.clone());
            Some(WorkerSnapshot { id: *id, gpu_id, key, report, view })
        });
        let workers = workers.collect::<Vec<_>>();
        let providers = inner.providers.iter().enumerate();
        let providers = providers.map(|(at, handle)| handle.snapshot(inner.board.provider_jobs(ProviderId(at))));
        let oldest = inner.board.oldest_waiting().and_then(|job| inner.entries.get(job));
        let mut snapshot = HubSnapshot {
            summary: inner.board.summary(),
            providers: providers.collect(),
            oldest_waiting: oldest.map(super::JobEntry::age),
            stopping: inner.stopping,
            workers,
        };
        drop(inner);
        snapshot.workers.sort_unstable_by_key(|worker| worker.id);
        snapshot
    }
}

impl ProviderHandle {
    fn snapshot(&self, jobs: u32) -> ProviderSnapshot {
        ProviderSnapshot {
            name: self.name.clone(),
            is_program: matches!(self.form, ProviderForm::Chat),
            models: self.models().map(str::to_owned).collect(),
            breaker: self.breaker,
            reopens_in: self.closed_until.map(|until| until.saturating_duration_since(Instant::now())),
            jobs,
            last_refusal: self.last_refusal,
            times: self.times.clone(),
        }
    }
}
