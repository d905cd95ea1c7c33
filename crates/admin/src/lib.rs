//! What an operator sees and steers: the control socket, the page, tools for agents, and the Prometheus endpoint.
//!
//! # Theory of operation
//!
//! [`OperatorServer`] serves the **control socket** in the worker's private runtime directory, for the commands
//! ([`control::client`], [`control::follow`]). One table has all its operations; the routes and the OpenAPI document are made from it. A command
//! never waits for a load: it changes what the scheduler decides from, and returns. An observer turns changes of the fleet and of the
//! router into events and into the history of each model; both are bounded.
//!
//! The **page** is the same operations on loopback, and the files of `page/`, which are a part of the program. Its listener is opened by
//! the first request for a link, so that it costs nothing before; who is let in is decided in `auxot_control_socket`. [`mcp_server`] gives the operations to
//! agents, over standard input and output or at `/mcp` of the page.
//!
//! [`Recorder::install`] creates the one **metrics** recorder of the process, with buckets for every given histogram (a
//! histogram without buckets would become a summary, which cannot be added up over hosts). [`Server`] answers `GET
//! /metrics` with the current values: it updates the fleet's gauges first, so that a scrape does not show the state of
//! the last event, adds renamed metrics under their old names for one release, and the engines' own counters as of the scrape before.
//! `GET /health` returns 200 while a model serves and 503 otherwise. By default it listens on loopback. Its connections are few and
//! short, so that they never take the descriptors that engines and router connections need. If the port is taken, the server retries;
//! models are served meanwhile.
//!
//! | module | content |
//! | --- | --- |
//! | `operator` | joins socket, page and observer |
//! | `control` | the operations, their messages, server and client |
//! | `page` | the page's routes and files |
//! | `mcp` | the operations as tools |
//! | `server`, `recorder`, `engine_counters`, `renamed` | the metrics |
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use auxot_admin::control::client;
//!
//! // Where no worker runs, each question says so.
//! let folder = std::env::temp_dir().join("no-worker-here");
//! let fault = client::find(&[folder]).await.unwrap_err();
//! assert!(fault.to_string().starts_with("cannot find a running worker"));
//! # }
//! ```

mod config;
pub mod control;
mod engine_counters;
mod mcp;
mod operator;
mod page;
mod recorder;
mod renamed;
mod server;

pub use config::{Config, PageConfig};
pub use mcp::{WorkerTools, mcp_server};
pub use operator::{OperatorServer, Shown};
pub use recorder::{Recorder, RecorderError};
pub use server::Server;
