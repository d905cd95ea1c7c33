//! What an operator sees of workers and providers, as it is at one moment.

use std::sync::Arc;
use std::time::Duration;

use auxot_access::keys::Key;
use tokio::time::Instant;

use super::link_report::LinkReport;
use super::providers::{BreakerState, ProviderKind};
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
    pub(crate) kind: ProviderKind,
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
            kind: match self.form {
                ProviderForm::Text(_) => ProviderKind::Cli,
                ProviderForm::Whole(_) => ProviderKind::Cloud,
            },
            models: self.models().map(str::to_owned).collect(),
            breaker: self.breaker,
            reopens_in: self.closed_until.map(|until| until.saturating_duration_since(Instant::now())),
            jobs,
            last_refusal: self.last_refusal,
            times: self.times.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use auxot_access::keys::{KeyFile, NewKeys};
    use auxot_protocol::{Capabilities, DeviceReport, Heartbeat, ModelReport};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::board::BoardLimits;
    use crate::desired_model::DesiredModel;
    use crate::hub::LinkHandle;
    use crate::metrics::Metrics;

    fn key() -> Arc<Key> {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        file.create("a", &NewKeys::Worker, None).unwrap();
        file.list().unwrap().remove(0).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_shares_its_lists_with_the_hub_and_knows_the_last_heartbeat() {
        let limits = BoardLimits { max_waiting: 1, max_attempts: 1, default_slots: 1 };
        let metrics = Arc::new(Metrics::new(false).unwrap());
        let hub = Hub::new(limits, DesiredModel::default(), Duration::ZERO, metrics);
        let model: ModelReport = serde_json::from_value(serde_json::json!({"name": "m", "state": "ready"})).unwrap();
        let device = DeviceReport {
            id: "0".into(),
            name: "card".into(),
            total_bytes: Some(2),
            free_bytes: None,
            used_bytes: Some(1),
        };
        let capabilities =
            Capabilities { models: vec![model.clone()], devices: vec![device], ..Capabilities::default() };
        let (queue, _messages) = mpsc::channel(1);
        let link = LinkHandle {
            gpu_id: "gpu_1".into(),
            key: key(),
            parameters: false,
            requests: false,
            queue,
            report: LinkReport::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None, &capabilities),
            cut: CancellationToken::new(),
        };
        let worker = hub.join(&capabilities, link);
        let (one, other) = (hub.snapshot(), hub.snapshot());
        let (one, other) = (&one.workers[0], &other.workers[0]);
        assert!(Arc::ptr_eq(&one.view.models, &other.view.models), "50 models of 1,000 workers are not copied");
        assert!(Arc::ptr_eq(&one.report.devices, &other.report.devices));
        assert_eq!(one.report.heartbeat, None);

        tokio::time::advance(Duration::from_secs(9)).await;
        hub.heartbeat(worker, Heartbeat { models: vec![model], ..Heartbeat::default() });
        tokio::time::advance(Duration::from_secs(7)).await;
        let later = hub.snapshot();
        let report = &later.workers[0].report;
        assert_eq!(report.heartbeat.map(|at| at.elapsed()), Some(Duration::from_secs(7)));
        assert_eq!(report.connected.elapsed(), Duration::from_secs(16));
        assert!(Arc::ptr_eq(&report.devices, &one.report.devices), "a heartbeat without devices leaves them");
        hub.leave(worker);
        assert!(hub.snapshot().workers.is_empty());
    }
}
