//! A router that a test controls completely, faults included.
//!
//! It listens on a free port, upgrades requests for `/ws`, answers `/health` as the open-source router if the test wants
//! that, and returns every connection to the test as a [`Link`], in order. It does nothing else by itself: no `hello_ack`,
//! no acknowledgement, no answer to a ping. A link that the test does not read is a router that does not read.
//!
//! A [`Dispatcher`] is a correct router with jobs; it records the outcome of each, and a test can switch faults on.

mod dispatcher;
mod frames;
mod ledger;
mod link;
mod listener;
mod upstream;

use crate::DEADLINE;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use listener::{Behaviour, accept};

pub use dispatcher::Dispatcher;
pub use frames::{HOSTED_ID, OPEN_SOURCE_ID, ack, job, job_for, policy, saying};
pub use ledger::{Entry, Ledger};
pub use link::{End, Link, Outcome};
pub use upstream::{Served, Upstream, upstream};

/// How often binding a port that was just closed is repeated: a program that another test of this process starts holds all
/// descriptors of this process between fork and exec.
const TRIES: u32 = 500;
/// The most connections that the test has not taken yet.
const WAITING_ROOM: usize = 64;

/// The router; dropping it closes the port. Links stay open until they are dropped.
#[derive(Debug)]
pub struct ScriptedRouter {
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
    links: mpsc::Receiver<Link>,
    // The tasks of the listener and of every connection that is not a link yet.
    tasks: JoinSet<()>,
}

/// A bound address that does not listen: connecting is refused until it does.
#[derive(Debug)]
pub struct ClosedPort {
    socket: TcpSocket,
    address: SocketAddr,
}

impl ClosedPort {
    /// Binds a free port of loopback.
    pub fn anywhere() -> ClosedPort {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Binds a free port with a small receive buffer: a router that does not read blocks its worker soon.
    pub fn narrow() -> ClosedPort {
        let closed_port = Self::anywhere();
        closed_port.socket.set_recv_buffer_size(4096).unwrap_or_else(|error| panic!("cannot set the buffer: {error}"));
        closed_port
    }

    /// Binds the address of a closed router.
    pub fn at(address: SocketAddr) -> ClosedPort {
        Self::bound(address).unwrap_or_else(|error| panic!("cannot take {address}: {error}"))
    }

    fn bound(address: SocketAddr) -> std::io::Result<ClosedPort> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(ClosedPort { socket, address })
    }

    /// The router address for a worker.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts to listen.
    pub fn listen(self) -> ScriptedRouter {
        self.open(None)
    }

    fn open(self, tls: Option<TlsAcceptor>) -> ScriptedRouter {
        let address = self.address;
        let listener = self.socket.listen(128).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        let behaviour = Arc::new(Behaviour::new(tls));
        let (sender, links) = mpsc::channel(WAITING_ROOM);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&behaviour), sender));
        ScriptedRouter { address, behaviour, links, tasks }
    }
}

impl ScriptedRouter {
    /// Listens on a free port of loopback, without TLS.
    pub fn start() -> ScriptedRouter {
        ClosedPort::anywhere().listen()
    }

    /// Listens with TLS.
    pub fn start_tls(acceptor: TlsAcceptor) -> ScriptedRouter {
        ClosedPort::anywhere().open(Some(acceptor))
    }

    /// Answers `/health` from now on as the open-source router: one of the two signs by which it is recognised.
    pub fn looks_open_source(&self) {
        let report = r#"{"active_jobs":0,"available":0,"status":"ok","total_slots":0,"workers":0}"#;
        self.behaviour.set_health(report);
    }

    /// Accepts requests for `/health` from now on and never answers them.
    pub fn hangs_on_health(&self) {
        self.behaviour.never_tell_health();
    }

    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a worker is given as the router's address.
    pub fn url(&self) -> String {
        let scheme = if self.behaviour.has_tls() { "https" } else { "http" };
        // By name, as in a certificate.
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// WebSocket connections so far, also those that the test has not taken.
    pub fn connections(&self) -> usize {
        self.behaviour.connections.load(Ordering::SeqCst)
    }

    /// The next connection; nothing has been read from it.
    pub async fn link(&mut self) -> Link {
        self.link_within(DEADLINE).await.unwrap_or_else(|| panic!("no connection came within {DEADLINE:?}"))
    }

    /// The next connection, if one comes in time.
    pub async fn link_within(&mut self, limit: Duration) -> Option<Link> {
        tokio::time::timeout(limit, self.links.recv()).await.unwrap_or_default()
    }

    /// The next connection, after its `hello` was read and `ack` was sent.
    pub async fn greeted(&mut self, ack: &Value) -> Link {
        let mut link = self.link().await;
        link.hello().await;
        link.send(ack).await;
        link
    }

    /// Stops listening; returns the bound port.
    pub async fn stop(mut self) -> ClosedPort {
        let address = self.address;
        // Awaited: an aborted task drops its listener only when the runtime polls it.
        self.tasks.shutdown().await;
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        for _ in 0..TRIES {
            tick.tick().await;
            if let Ok(closed_port) = ClosedPort::bound(address) {
                return closed_port;
            }
        }
        ClosedPort::at(address)
    }
}
