//! What an operator sees and steers: the control socket, the page, and the history that both show.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use auxot_control_socket::PageServer;
use auxot_fleet::Fleet;
use tokio::sync::watch;

use crate::config::PageConfig;
use crate::control::api::MetricsStatus;
use crate::control::{ControlState, Identity, NAMES, Observer, Program, SOCKET_NAME, StreamPermits, listen};
use crate::page;

/// The control socket and the page, before they are served.
#[derive(Debug)]
pub struct OperatorServer {
    socket: Arc<Path>,
    page: PageConfig,
    identity: Identity,
}

/// What they show beside the fleet.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Why the router sends no jobs, while there is a reason.
    pub router: watch::Receiver<Option<&'static str>>,
    /// The metrics endpoint.
    pub metrics: watch::Receiver<MetricsStatus>,
}

impl OperatorServer {
    /// The socket in the worker's runtime directory, and the page; the router's address is without credentials.
    #[must_use]
    pub fn new(runtime_dir: &Path, page: PageConfig, version: String, router_url: Option<String>) -> Self {
        Self { socket: runtime_dir.join(SOCKET_NAME).into(), page, identity: Identity { version, router_url } }
    }

    /// Serves until dropped.
    pub async fn serve(self, fleet: Fleet, shown: Shown, program: Arc<dyn Program>) {
        let observer = Arc::new(Observer::new());
        let (page, page_access) = PageServer::new(&NAMES, self.page.port);
        let state = ControlState {
            fleet: fleet.clone(),
            router: shown.router.clone(),
            metrics: shown.metrics,
            observer: Arc::clone(&observer),
            program,
            identity: Arc::new(self.identity),
            started: Instant::now(),
            streams: StreamPermits::new(),
            page: page_access,
            socket: Arc::clone(&self.socket),
        };
        tokio::join!(
            observer.watch(&fleet, shown.router),
            listen(&self.socket, &state),
            page.serve(|| page::routes(&state))
        );
    }
}
