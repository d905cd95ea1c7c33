//! The providers beside the workers: programs and clouds.
//!
//! Each has one task. It owns the provider's circuit breaker and its runs, takes the jobs that the board gives it, and
//! reports how each ended. A run ends when its job is no longer in the hub: its client has left, its key is revoked, or the
//! router stops.

mod breaker;
mod cli;
mod cloud;
mod config;
mod run;

use std::collections::HashMap;
use std::sync::Arc;

use auxot_protocol::Complete;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::board::{JobId, ProviderId};
use crate::failure::Failure;
use crate::hub::{Hub, ProviderForm, ProviderHandle, ProviderJob, ProviderLimit};
use crate::metrics::Metrics;
use crate::provider_fault::ProviderReason;
use breaker::{Breaker, RunOutcome};
use cli::Program;
pub use cloud::ClientError;
use cloud::Cloud;
pub use config::{BackendConfig, CliConfig, CliInput, CloudApi, CloudConfig, ProviderConfig};
use run::RunFailure;

/// Jobs whose client has left may lie in the queue beside those that run.
const QUEUE_SPARE: usize = 64;

/// A provider and its task.
#[derive(Debug)]
pub(crate) struct Provider {
    id: ProviderId,
    name: Arc<str>,
    config: ProviderConfig,
    backend: Arc<Backend>,
    breaker: Breaker,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    jobs: mpsc::Receiver<ProviderJob>,
}

#[derive(Debug)]
enum Backend {
    Cli(Program),
    Cloud(Box<Cloud>),
}

/// How a run ended; `None` when its job is no longer in the hub.
type RunEnd = Option<Result<Complete<'static>, RunFailure>>;

impl Provider {
    /// Adds a provider to the hub, behind those that are there.
    ///
    /// # Errors
    /// Its HTTP client cannot be built.
    pub(crate) fn add(config: &ProviderConfig, hub: &Arc<Hub>, metrics: &Arc<Metrics>) -> Result<Self, ClientError> {
        let name: Arc<str> = config.name.as_str().into();
        let (form, backend) = match &config.backend {
            BackendConfig::Cli(cli) => (ProviderForm::Text(cli::PATHS), Backend::Cli(Program::new(&name, config, cli))),
            BackendConfig::Cloud(cloud) => {
                let form = ProviderForm::Whole(cloud::paths(cloud.api));
                (form, Backend::Cloud(Box::new(Cloud::new(&name, config, cloud)?)))
            }
        };
        let most = usize::try_from(config.max_parallel).unwrap_or(usize::MAX);
        let (queue, jobs) = mpsc::channel(most.saturating_add(QUEUE_SPARE));
        let id = hub.add_provider(ProviderHandle::new(name.clone(), form, config.models.clone(), queue));
        let provider = Self {
            id,
            name,
            config: config.clone(),
            backend: Arc::new(backend),
            breaker: Breaker::default(),
            hub: hub.clone(),
            metrics: metrics.clone(),
            jobs,
        };
        provider.publish();
        Ok(provider)
    }

    /// Serves jobs until `kill`.
    pub(crate) async fn serve(mut self, kill: CancellationToken) {
        let mut runs: JoinSet<RunEnd> = JoinSet::new();
        let mut running: HashMap<Id, JobId> = HashMap::new();
        loop {
            let reopens = self.breaker.until();
            tokio::select! {
                () = kill.cancelled() => break,
                Some(ended) = runs.join_next_with_id(), if !runs.is_empty() => self.ended(ended, &mut running),
                Some(job) = self.jobs.recv() => {
                    let id = job.id.clone();
                    let run = runs.spawn(run(self.backend.clone(), self.name.clone(), self.config.clone(), job));
                    running.insert(run.id(), id);
                }
                () = sleep_until(reopens.unwrap_or_else(Instant::now)), if reopens.is_some() => {
                    self.change(self.breaker.at(Instant::now()));
                }
            }
        }
        runs.shutdown().await;
    }

    fn ended(&mut self, ended: Result<(Id, RunEnd), JoinError>, running: &mut HashMap<Id, JobId>) {
        let (run, end) = match ended {
            Ok((run, end)) => (run, end),
            Err(panic) => {
                let stopped = RunFailure::of_provider(&self.name, ProviderReason::Stopped);
                (panic.id(), Some(Err(stopped)))
            }
        };
        let (Some(job), Some(end)) = (running.remove(&run), end) else { return };
        let outcome = match &end {
            Ok(_) => RunOutcome::Success,
            Err(failure) => failure.outcome,
        };
        // The breaker first: a job that moves on must not come back.
        self.change(self.breaker.after(outcome, Instant::now()));
        match end {
            Ok(complete) => self.hub.provider_completed(self.id, complete),
            Err(RunFailure { failure, .. }) => {
                let reason = failure.reason();
                self.metrics.refused(&self.name, reason);
                match &failure {
                    Failure::Provider(fault) => tracing::warn!(job = %job, reason, "{fault}"),
                    // What is said about a request may quote it.
                    _ => tracing::info!(provider = %self.name, job = %job, reason, "a provider has refused a job"),
                }
                self.hub.provider_failed(self.id, &job, &failure);
            }
        }
    }

    fn change(&mut self, breaker: Breaker) {
        let before = std::mem::replace(&mut self.breaker, breaker);
        if before.name() != breaker.name() {
            let seconds = breaker.until().map(|until| until.saturating_duration_since(Instant::now()).as_secs());
            tracing::warn!(provider = %self.name, breaker = breaker.name(), seconds, "circuit breaker");
        }
        if before != breaker {
            self.publish();
        }
    }

    fn publish(&self) {
        let limit = self.breaker.limit(self.config.max_parallel);
        self.metrics.available(&self.name, limit > 0);
        let (breaker, closed_until) = (self.breaker.state(), self.breaker.until());
        self.hub.limit_provider(self.id, ProviderLimit { jobs: limit, breaker, closed_until });
    }
}

/// Answers one job.
async fn run(backend: Arc<Backend>, name: Arc<str>, config: ProviderConfig, job: ProviderJob) -> RunEnd {
    let answering = async {
        match &*backend {
            Backend::Cli(program) => program.answer(&job).await,
            Backend::Cloud(cloud) => cloud.answer(&job).await,
        }
    };
    tokio::select! {
        biased;
        () = job.ended.cancelled() => None,
        ended = timeout(config.total_timeout, answering) => Some(ended.unwrap_or_else(|_| {
            let late = ProviderReason::TooLong(config.total_timeout.as_secs());
            let failure = RunFailure::of_provider(&name, late);
            // A client that reads slowly makes an answer long, too.
            Err(if job.answer.is_committed() { failure.neutral() } else { failure })
        })),
    }
}
