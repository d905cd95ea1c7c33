//! What an operator sees and steers: the Prometheus endpoint, and the socket of the commands.
//!
//! # Theory of operation
//!
//! [`Recorder::install`] creates the one metrics recorder of the process, with buckets for every given histogram (a
//! histogram without buckets would become a summary, which cannot be added up over hosts). [`Server`] answers `GET
//! /metrics` with the current values: it updates the fleet's gauges first, so that a scrape does not show the state of
//! the last event, and adds renamed metrics under their old names for one release. `GET /health` returns 200 while a model serves and 503 otherwise.
//!
//! By default the server listens on loopback. It reads only the path and the host name of a request, and ends when its
//! future is dropped. Its connections are few and short, so that they never take the descriptors that engines and router connections
//! need. If the port is taken, the server retries; models are served meanwhile.
//!
//! [`control`] is the socket in the worker's private runtime directory that `auxot-worker status`, `load`, `unload`, `pin` and
//! `reset` use: its server, its messages and its client. A command never waits for a load: it changes what the scheduler
//! decides from, and returns.

mod config;
mod connection;
pub mod control;
mod engine_counters;
mod recorder;
mod renamed;
mod server;

pub use config::Config;
pub use recorder::{Recorder, RecorderError};
pub use server::Server;
