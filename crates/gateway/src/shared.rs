//! What all connections share.

use std::sync::Arc;

use auxot_access::{AllowedHosts, Budget};
use auxot_fleet::Fleet;
use tokio_util::sync::CancellationToken;

use crate::api_key::ApiKeys;
use crate::config::Config;
use crate::connection_limit::ConnectionLimit;
use crate::origin::Origins;
use crate::request_body::BodyLimits;
use crate::request_metrics::RequestMetrics;
use crate::unused_memory::Running;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) fleet: Fleet,
    /// The keys, where they are required.
    pub(crate) keys: Option<Arc<ApiKeys>>,
    pub(crate) hosts: AllowedHosts,
    pub(crate) origins: Origins,
    pub(crate) bodies: BodyLimits,
    pub(crate) connections: ConnectionLimit,
    pub(crate) metrics: RequestMetrics,
    /// Requests that run.
    pub(crate) running: Arc<Running>,
    /// Cancelled when the time for running requests is over.
    pub(crate) ending: CancellationToken,
}

impl Shared {
    pub(crate) fn new(config: Config, keys: Option<Arc<ApiKeys>>, fleet: Fleet) -> Self {
        let hosts = AllowedHosts::new(&config.allowed_hosts);
        let bytes = |size: bytesize::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        let bodies = BodyLimits {
            max_body: bytes(config.max_body),
            timeout: config.body_timeout,
            held: Budget::new(bytes(config.max_body_memory)),
        };
        let connections = ConnectionLimit::new(config.max_connections);
        let origins = Origins::new(&config.allowed_origins, hosts.clone());
        Self {
            config,
            fleet,
            keys,
            hosts,
            origins,
            bodies,
            connections,
            metrics: RequestMetrics::default(),
            running: Arc::default(),
            ending: CancellationToken::new(),
        }
    }
}
