//! Collects jobs that have ended, and sends their spans.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use auxot_fleet::{Job, JobLog};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};
use url::Url;

use crate::config::{Config, EndpointError};
use crate::spans;

/// The most jobs of one request.
const BATCH: usize = 64;
/// Jobs that wait for a slow collector; those beyond are lost.
const WAITING: usize = 256;
/// How long a job may wait for further ones.
const BATCH_TIME: Duration = Duration::from_secs(2);
/// The longest request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the worker waits until the last spans are sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The collector's address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// There is no HTTP client.
    #[error("cannot prepare to send traces: {0}")]
    Client(#[from] reqwest::Error),
}

/// Sends the spans of jobs until it is dropped.
#[derive(Debug)]
pub struct Exporter {
    jobs: Arc<JobLog>,
    task: JoinSet<()>,
}

impl Exporter {
    /// Records traces from now on, and sends them; `None` without a collector.
    ///
    /// # Errors
    /// The collector's address cannot be used, or there is no HTTP client.
    pub fn start(config: &Config, version: &str, jobs: &Arc<JobLog>) -> Result<Option<Self>, ExporterError> {
        let Some(url) = config.url()? else { return Ok(None) };
        let collector = Collector { client: client(&url)?, url, version: version.to_owned(), host: host_name() };
        info!(url = %collector.url, "traces are exported");
        let mut task = JoinSet::new();
        task.spawn(export(jobs.export(WAITING), collector));
        Ok(Some(Self { jobs: Arc::clone(jobs), task }))
    }

    /// Sends what is left, within a bound.
    pub async fn finish(mut self) {
        self.jobs.end_export();
        if timeout(LAST_SPANS, self.task.join_next()).await.is_err() {
            warn!("the last spans are lost: the collector does not take them in time");
        }
    }
}

/// The other end.
struct Collector {
    client: Client,
    url: Url,
    version: String,
    host: Option<String>,
}

fn client(url: &Url) -> Result<Client, reqwest::Error> {
    // Building a client panics without a process-wide TLS provider. An error means that there is one already.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none());
    // The port is that of the address.
    let builder = builder.resolve_to_addrs("localhost", &auxot_localhost::loopback(0));
    let is_local = url.host().is_some_and(|host| auxot_localhost::is_loopback(&host));
    // No proxy reaches addresses of this host.
    if is_local { builder.no_proxy().build() } else { builder.build() }
}

/// The name of this host, where the system tells it in a file.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

async fn export(mut jobs: Receiver<Job>, collector: Collector) {
    let (mut batch, mut fails) = (Vec::new(), false);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let until = Instant::now() + BATCH_TIME;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(until, jobs.recv_many(&mut batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let sent = collector.send(&batch).await;
        match &sent {
            Err(reason) if !fails => {
                warn!(url = %collector.url, reason, "cannot send traces; they are lost until the collector takes them");
            }
            Ok(()) if fails => info!(url = %collector.url, "the collector takes traces again"),
            _ => {}
        }
        fails = sent.is_err();
        batch.clear();
    }
}

impl Collector {
    async fn send(&self, jobs: &[Job]) -> Result<(), String> {
        let request = spans::request(&self.version, self.host.as_deref(), jobs).to_string();
        let sent =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(request).send().await;
        // The address is in the log line already.
        let answer = sent.map_err(|fault| cause(&fault.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answers {}", answer.status())) }
    }
}

/// The innermost cause of a fault: what the system says.
fn cause(fault: &reqwest::Error) -> String {
    let first: &(dyn Error + 'static) = fault;
    let innermost = std::iter::successors(Some(first), |&fault| fault.source()).last();
    innermost.map_or_else(String::new, ToString::to_string)
}
