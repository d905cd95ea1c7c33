//! The page for browsers on this host: the operations of the control socket, and the files that use them.
//!
//! It listens on loopback only. A link from the control socket opens a session once; a session's requests that change something
//! carry a token that another web page cannot know. Programs use a token from the control socket.

mod access;
mod assets;
mod guard;
mod sessions;

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
use crate::failed::no_such_operation;
use crate::program_names::ProgramNames;
use access::AddressRequest;
pub use access::{PageAccess, page_link, page_token};
pub use assets::{Asset, COMMON_ASSETS, page_faults};
use guard::Gate;

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS: usize = 48;
/// The longest time of one connection: it bounds a client that does not read its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a page serves.
#[derive(Debug, Clone)]
pub struct PageRoutes {
    /// The operations, for sessions and tokens only.
    pub guarded: Router,
    /// The files beside [`COMMON_ASSETS`], for every browser of this host.
    pub assets: &'static [Asset],
    /// The longest body of a request, in bytes.
    pub longest_body: usize,
}

/// The page, before it listens.
#[derive(Debug)]
pub struct PageServer {
    names: &'static ProgramNames,
    port: u16,
    requests: mpsc::Receiver<AddressRequest>,
    access: PageAccess,
}

impl PageServer {
    /// The page at a port, 0 for a free one with the first request; and the access to it.
    #[must_use]
    pub fn new(names: &'static ProgramNames, port: u16) -> (Self, PageAccess) {
        let (access, requests) = PageAccess::new(names);
        (Self { names, port, requests, access: access.clone() }, access)
    }

    /// Serves until it is dropped. The routes are made for the first connection.
    pub async fn serve(mut self, routes: impl Fn() -> PageRoutes) -> Infallible {
        let mut listener = None;
        if self.port != 0
            && let Err(fault) = self.open(&mut listener).await
        {
            warn!(fault, "cannot open the page; tried again with the next request");
        }
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let (mut connections, mut made) = (JoinSet::new(), None);
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
                        let app = made.get_or_insert_with(|| self.app(routes(), listener_port(&listener))).clone();
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
        let setting = self.names.port_setting;
        let failed =
            |fault: std::io::Error| format!("cannot open the page on {wanted}: {fault}; set another port in {setting}");
        if let Some(listener) = listener {
            return listener.local_addr().map_err(failed);
        }
        let opened = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = opened.local_addr().map_err(failed)?;
        info!(%address, "the page listens");
        *listener = Some(opened);
        Ok(address)
    }

    fn app(&self, routes: PageRoutes, port: u16) -> Router {
        let PageRoutes { guarded, assets, longest_body } = routes;
        let gate = Gate::new(self.names, Arc::clone(&self.access.sessions), AllowedHosts::new(&[]), port);
        let behind = guarded
            .route("/session", get(guard::session).with_state(gate.clone()))
            .layer(from_fn_with_state(gate.clone(), guard::require_access));
        Router::new()
            .merge(behind)
            .route("/login", get(guard::login).with_state(gate.clone()))
            .fallback(async move |request: Request| file(assets, request.uri().path()).await)
            .layer(DefaultBodyLimit::max(longest_body))
            .layer(from_fn(guard::add_headers))
            .layer(from_fn_with_state(gate, guard::check_host))
    }
}

fn listener_port(listener: &Option<TcpListener>) -> u16 {
    listener.as_ref().and_then(|listener| listener.local_addr().ok()).map_or(0, |address| address.port())
}

/// A file of the page.
async fn file(assets: &'static [Asset], path: &str) -> Response {
    match assets.iter().chain(COMMON_ASSETS).find(|asset| asset.path == path) {
        Some(asset) => asset.answer(),
        None => no_such_operation().await.into_response(),
    }
}
