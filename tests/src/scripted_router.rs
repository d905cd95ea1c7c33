//! A router that does exactly what a test tells it, misbehaviour included.
//!
//! It listens on a free port, upgrades what asks for `/ws`, answers `/health` as the open-source router does if the
//! test wants it recognised, and hands every connection to the test as a [`Link`], in order. Nothing else happens by
//! itself: no greeting, no acknowledgement, no answer to a ping. A link that the test does not read is a router that
//! does not read.
//!
//! A [`Dispatcher`] is the other kind: a router that behaves, has jobs and knows what became of each, until it is told to
//! misbehave.

mod dispatcher;
mod door;
mod frames;
mod ledger;
mod link;
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

use door::{Manners, accept};

pub use dispatcher::Dispatcher;
pub use frames::{HOSTED_ID, OPEN_SOURCE_ID, ack, job, job_for, policy, saying};
pub use ledger::{Entry, Ledger};
pub use link::{End, Link, Outcome};
pub use upstream::{Served, Upstream, upstream};

/// How often a port that was just given up is tried to be taken again: a program that another test of this process is
/// starting holds all of our descriptors between its fork and its exec.
const TRIES: u32 = 500;
/// Connections that may wait for the test to look at them.
const WAITING_ROOM: usize = 64;

/// The router; dropping it closes the port. Links live on until they are dropped themselves.
#[derive(Debug)]
pub struct ScriptedRouter {
    address: SocketAddr,
    manners: Arc<Manners>,
    links: mpsc::Receiver<Link>,
    // Owns the listener and every connection that is not a link yet.
    door: JoinSet<()>,
}

/// An address that is taken and does not listen: connecting is refused until it does.
#[derive(Debug)]
pub struct Deaf {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Deaf {
    /// Takes a free port of loopback.
    pub fn anywhere() -> Deaf {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Takes a free port on which little can be on its way: who does not read is soon noticed.
    pub fn narrow() -> Deaf {
        let deaf = Self::anywhere();
        deaf.socket.set_recv_buffer_size(4096).unwrap_or_else(|error| panic!("cannot set the buffer: {error}"));
        deaf
    }

    /// Takes the address of a router that is gone.
    pub fn at(address: SocketAddr) -> Deaf {
        Self::bound(address).unwrap_or_else(|error| panic!("cannot take {address}: {error}"))
    }

    fn bound(address: SocketAddr) -> std::io::Result<Deaf> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(Deaf { socket, address })
    }

    /// What a worker is given as the router's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to listen.
    pub fn listen(self) -> ScriptedRouter {
        self.open(None)
    }

    fn open(self, tls: Option<TlsAcceptor>) -> ScriptedRouter {
        let address = self.address;
        let listener = self.socket.listen(128).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        let manners = Arc::new(Manners::new(tls));
        let (tell, links) = mpsc::channel(WAITING_ROOM);
        let mut door = JoinSet::new();
        door.spawn(accept(listener, Arc::clone(&manners), tell));
        ScriptedRouter { address, manners, links, door }
    }
}

impl ScriptedRouter {
    /// Listens on a free port of loopback, without TLS.
    pub fn start() -> ScriptedRouter {
        Deaf::anywhere().listen()
    }

    /// Listens with TLS.
    pub fn start_tls(acceptor: TlsAcceptor) -> ScriptedRouter {
        Deaf::anywhere().open(Some(acceptor))
    }

    /// Answers `/health` from now on as the open-source router does, which is one of the two marks it is known by.
    pub fn looks_open_source(&self) {
        let report = r#"{"active_jobs":0,"available":0,"status":"ok","total_slots":0,"workers":0}"#;
        self.manners.set_health(report);
    }

    /// Takes the question for `/health` from now on and never answers it.
    pub fn hangs_on_health(&self) {
        self.manners.never_tell_health();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a worker is given as the router's address.
    pub fn url(&self) -> String {
        let scheme = if self.manners.has_tls() { "https" } else { "http" };
        // By name, as in a certificate.
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// WebSocket connections so far, also those that the test has not looked at.
    pub fn connections(&self) -> usize {
        self.manners.connections.load(Ordering::SeqCst)
    }

    /// The next connection, as it comes: nothing has been read from it.
    pub async fn link(&mut self) -> Link {
        self.link_within(DEADLINE).await.unwrap_or_else(|| panic!("no connection came within {DEADLINE:?}"))
    }

    /// The next connection, if one comes in time.
    pub async fn link_within(&mut self, limit: Duration) -> Option<Link> {
        tokio::time::timeout(limit, self.links.recv()).await.unwrap_or_default()
    }

    /// The next connection, greeted: its `hello` is read, `ack` is sent.
    pub async fn greeted(&mut self, ack: &Value) -> Link {
        let mut link = self.link().await;
        link.hello().await;
        link.send(ack).await;
        link
    }

    /// Stops listening; gives the port back without opening it.
    pub async fn stop(mut self) -> Deaf {
        let address = self.address;
        // Waited for: an aborted task lets go of its listener only when the runtime comes to it.
        self.door.shutdown().await;
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        for _ in 0..TRIES {
            tick.tick().await;
            if let Ok(deaf) = Deaf::bound(address) {
                return deaf;
            }
        }
        Deaf::at(address)
    }
}
