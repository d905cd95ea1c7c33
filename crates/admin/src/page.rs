//! The page for browsers on this host: the operations of the control socket, and the files that use them.
//!
//! It listens on loopback only. A link from the control socket opens a session once; a session's requests that change something
//! carry a token that another web page cannot know. Programs use a token from the control socket.

mod assets;
mod guard;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use auxot_access::AllowedHosts;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::connection;
use crate::control::{ControlState, LONGEST_BODY, common_routes, no_such_operation};
use crate::mcp::McpServer;
use crate::page_access::{AddressRequest, Sessions};
use guard::Gate;

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS: usize = 48;
/// The longest time of one connection: it bounds a client that does not read its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The page, before it listens.
#[derive(Debug)]
pub(crate) struct Page {
    /// The port; 0 takes a free one with the first request.
    pub(crate) port: u16,
    pub(crate) requests: mpsc::Receiver<AddressRequest>,
    pub(crate) sessions: Arc<Sessions>,
}

impl Page {
    /// Serves until it is dropped.
    pub(crate) async fn serve(mut self, state: &ControlState) -> Infallible {
        let mut listener = None;
        if self.port != 0
            && let Err(fault) = self.open(&mut listener).await
        {
            warn!(fault, "cannot open the page; tried again with the next request");
        }
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let (mut connections, mut routes) = (JoinSet::new(), None);
        loop {
            let accepted = async {
                match &listener {
                    None => std::future::pending().await,
                    Some(listener) => {
                        // The semaphore is never closed.
                        let permit = Arc::clone(&permits).acquire_owned().await.map_err(std::io::Error::other)?;
                        TcpListener::accept(listener).await.map(|(stream, _)| (stream, permit))
                    }
                }
            };
            tokio::select! {
                Some(request) = self.requests.recv() => {
                    let address = self.open(&mut listener).await;
                    // A client that has left needs no answer.
                    let _left = request.send(address);
                }
                accepted = accepted => match accepted {
                    Ok((stream, permit)) => {
                        let app = routes.get_or_insert_with(|| app(state, &self.sessions, listener_port(&listener))).clone();
                        connections.spawn(async move {
                            connection::serve(stream, app, CONNECTION_TIME).await;
                            drop(permit);
                        });
                    }
                    Err(fault) => {
                        debug!(%fault, "cannot accept a connection to the page");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The address of the listener, which is opened where it is not.
    async fn open(&self, listener: &mut Option<TcpListener>) -> Result<SocketAddr, String> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let failed = |fault: std::io::Error| {
            format!("cannot open the page on {wanted}: {fault}; set another port in page.port (AUXOT_PAGE__PORT)")
        };
        if let Some(listener) = listener {
            return listener.local_addr().map_err(failed);
        }
        let opened = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = opened.local_addr().map_err(failed)?;
        info!(%address, "the page listens");
        *listener = Some(opened);
        Ok(address)
    }
}

fn listener_port(listener: &Option<TcpListener>) -> u16 {
    listener.as_ref().and_then(|listener| listener.local_addr().ok()).map_or(0, |address| address.port())
}

fn app(state: &ControlState, sessions: &Arc<Sessions>, port: u16) -> Router {
    // The tools are requests to the control socket, as they are for an agent that starts `auxot-worker mcp`.
    let tools = McpServer::of_socket(&state.socket, &state.identity.version).into_http();
    let gate = Gate::new(Arc::clone(sessions), AllowedHosts::new(&[]), port);
    let behind = common_routes(state)
        .route_service("/mcp", tools)
        .route("/session", get(guard::session).with_state(gate.clone()))
        .layer(from_fn_with_state(gate.clone(), guard::require_access));
    Router::new()
        .merge(behind)
        .route("/login", get(guard::login).with_state(gate.clone()))
        .fallback(file)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn(guard::add_headers))
        .layer(from_fn_with_state(gate, guard::check_host))
}

/// A file of the page.
async fn file(request: Request) -> Response {
    match assets::find(request.uri().path()) {
        Some(file) => file,
        None => no_such_operation().await.into_response(),
    }
}
