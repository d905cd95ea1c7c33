//! What can be set about a router, as values already checked.

use std::time::Duration;

use crate::{DesiredModel, Keys};

/// Everything a router needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address or name to listen on; anything but loopback carries keys in clear, because there is no TLS here.
    pub host: String,
    /// Port to listen on; 0 takes a free one, see [`crate::Router::addr`].
    pub port: u16,
    /// Whose keys are good.
    pub keys: Keys,
    /// How long a verdict on a key is remembered.
    pub auth_cache_ttl: Duration,
    /// What the policy in `hello_ack` says; what is unset echoes the worker's own words.
    pub desired: DesiredModel,
    /// How long a worker may go without a heartbeat before its jobs go to others.
    pub dead_threshold: Duration,
    /// How long a job may wait for a worker, and its worker be silent; an answer that flows may take longer.
    pub job_timeout: Duration,
    /// From a connection to the good key that comes over it.
    pub hello_timeout: Duration,
    /// Between two requests of a connection, and for the head of one.
    pub idle_timeout: Duration,
    /// For the body of a request, on top of what its length excuses.
    pub body_timeout: Duration,
    /// One write to a worker; longer means that it does not read, and the link is cut.
    pub write_timeout: Duration,
    /// Between two comments that keep a streaming client's connection open while there is no text.
    pub keep_alive: Duration,
    /// How long running jobs may go on after the order to stop.
    pub drain_timeout: Duration,
    /// Jobs that may wait for a worker.
    pub max_waiting: usize,
    /// Times that one job is given to a worker before it is answered with an error.
    pub max_attempts: u32,
    /// Bytes of one message of a worker, and of one request of a client.
    pub max_message: usize,
    /// Bytes of the bodies of all requests that wait or run.
    pub max_bodies: usize,
    /// Bytes that may wait for a client that does not read.
    pub max_unread: usize,
    /// And for all such clients together.
    pub max_unread_total: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8080,
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
        }
    }
}
