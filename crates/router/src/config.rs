//! The configuration of a router, as checked values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{DesiredModel, Keys, ProviderConfig};

/// Everything that a router needs to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address or name to listen on. Without TLS other addresses than loopback carry keys in clear text.
    pub host: String,
    /// Port to listen on; 0 takes a free one, see [`crate::Router::addr`].
    pub port: u16,
    /// The files of a certificate and of its key; `None` for no TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The keys of workers and clients.
    pub keys: Keys,
    /// How long a verdict on a key is cached.
    pub auth_cache_ttl: Duration,
    /// The policy of `hello_ack`; unset parts repeat what the worker announces.
    pub desired: DesiredModel,
    /// A worker without a heartbeat for longer is dead: its jobs go to others.
    pub dead_threshold: Duration,
    /// How long a job may wait for a worker, and how long its worker may be silent. An answer that makes progress may
    /// take longer.
    pub job_timeout: Duration,
    /// From the start of a connection to the good key on it.
    pub hello_timeout: Duration,
    /// Between two requests of a connection, and for the head of one.
    pub idle_timeout: Duration,
    /// For the body of a request, on top of the time that its length allows.
    pub body_timeout: Duration,
    /// How long a worker may take no byte of what is written to it.
    pub write_timeout: Duration,
    /// Between two comments that keep a streaming client's connection open while there is no text.
    pub keep_alive: Duration,
    /// How long running jobs may continue after SIGTERM.
    pub drain_timeout: Duration,
    /// Jobs that may wait for a worker.
    pub max_waiting: usize,
    /// How often one job goes to a worker before it ends with an error.
    pub max_attempts: u32,
    /// Bytes of one message of a worker, and of one request of a client.
    pub max_message: usize,
    /// Bytes of the bodies of all requests that wait or run.
    pub max_bodies: usize,
    /// Bytes of unread text for one client.
    pub max_unread: usize,
    /// Bytes of unread text for all clients together.
    pub max_unread_total: usize,
    /// How long a request waits for a worker that loads the model, where another provider has it.
    pub load_wait: Duration,
    /// The providers beside the workers, in the order in which they are asked.
    pub providers: Vec<ProviderConfig>,
    /// Where the metrics are served, without a key.
    pub metrics_addr: Option<SocketAddr>,
    /// The operator's socket and page.
    pub control: Option<ControlConfig>,
}

/// The settings of the control socket and of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlConfig {
    /// The folder of the socket.
    pub folder: PathBuf,
    /// The port of the page on loopback; 0 takes a free one with the first request for it.
    pub page_port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            tls: None,
            keys: Keys::default(),
            auth_cache_ttl: Duration::from_mins(5),
            desired: DesiredModel::default(),
            dead_threshold: Duration::from_secs(90),
            job_timeout: Duration::from_mins(5),
            hello_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(30),
            max_waiting: 1024,
            max_attempts: 5,
            max_message: 64 << 20,
            max_bodies: 256 << 20,
            max_unread: 64 << 20,
            max_unread_total: 256 << 20,
            load_wait: Duration::from_secs(30),
            providers: Vec::new(),
            metrics_addr: None,
            control: None,
        }
    }
}
