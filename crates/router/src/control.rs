//! The control socket: what the operator's commands and page ask a running router, over HTTP and JSON.
//!
//! A state is made of a snapshot that the hub takes in one short lock; making it and finding its faults is pure.

pub mod api;
pub mod client;
mod faults;
mod folder;
mod handlers;
mod mcp;
mod operations;
mod page;
mod view;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auxot_control_socket::{ConnectionLimits, ControlSocket, PageRoutes, PageServer, ProgramNames};
use tokio_util::sync::CancellationToken;

use crate::config::ControlConfig;
use crate::shared::RouterState;
pub(crate) use folder::default_folder;
use handlers::ControlState;
pub use mcp::{RouterTools, mcp_server};
use operations::{LONGEST_BODY, all_routes, common_routes};

/// What messages call this program.
const NAMES: ProgramNames = ProgramNames {
    noun: "router",
    command: "auxot-router",
    folder_setting: "AUXOT_ROUTER_RUNTIME_DIR",
    port_setting: "AUXOT_ROUTER_PAGE_PORT",
};
/// No answer is a stream.
const LIMITS: ConnectionLimits = ConnectionLimits { at_once: 8, longest: Duration::from_secs(60) };
/// Pause after a socket that could not be bound, and between two looks at whether its file is there.
const PAUSE: Duration = Duration::from_secs(30);

/// The socket and the page, before they are served.
#[derive(Debug)]
pub(crate) struct ControlServer {
    page_port: u16,
    path: Arc<Path>,
    socket: Option<ControlSocket>,
}

impl ControlServer {
    /// Binds the socket. If that fails, the failure is logged, and the running server tries again: requests are served
    /// without it.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub(crate) async fn open(config: &ControlConfig) -> Result<Self, getrandom::Error> {
        let path: Arc<Path> = folder::new_socket(&config.folder)?.into();
        let socket = bind(&path).await;
        if let Err(fault) = &socket {
            tracing::warn!(%fault, "no commands are taken; tried again every {} s", PAUSE.as_secs());
        }
        Ok(Self { page_port: config.page_port, path, socket: socket.ok() })
    }

    /// Serves until `ends`.
    pub(crate) async fn serve(self, router: Arc<RouterState>, address: SocketAddr, ends: CancellationToken) {
        let (page, access) = PageServer::new(&NAMES, self.page_port);
        let state = ControlState { router, address: address.to_string().into(), page: access };
        let page_routes = || PageRoutes {
            guarded: common_routes(&state)
                .route_service("/mcp", RouterTools::At(self.path.clone()).into_server().into_http()),
            assets: page::ASSETS,
            longest_body: LONGEST_BODY,
        };
        tokio::select! {
            () = ends.cancelled() => {}
            never = listen(&self.path, self.socket, &state) => match never {},
            never = page.serve(page_routes) => match never {},
        }
    }
}

async fn bind(path: &Path) -> Result<ControlSocket, String> {
    let path = path.to_owned();
    let bound = tokio::task::spawn_blocking(move || folder::bind(&path)).await;
    bound.map_err(|fault| fault.to_string())?.map_err(|fault| fault.to_string())
}

/// Serves the socket, and binds it again when its file is gone.
async fn listen(path: &Path, mut bound: Option<ControlSocket>, state: &ControlState) -> Infallible {
    loop {
        match bound.take() {
            Some(socket) => {
                let removed = async {
                    while socket.is_there() {
                        tokio::time::sleep(PAUSE).await;
                    }
                };
                tokio::select! {
                    () = socket.serve(LIMITS, || all_routes(state)) => {}
                    () = removed => {}
                }
            }
            None => tokio::time::sleep(PAUSE).await,
        }
        bound = bind(path).await.inspect_err(|fault| tracing::debug!(fault, "still no socket for commands")).ok();
    }
}
