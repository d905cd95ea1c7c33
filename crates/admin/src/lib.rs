//! The operator's door: the Prometheus endpoint.
//!
//! # Theory of operation
//!
//! [`Recorder::install`] makes the one recorder of the process, with buckets for every histogram it is
//! told of (a histogram without buckets would become a summary, which cannot be added up over hosts).
//! [`Server`] answers `GET /metrics` with all series as they are at that moment: the fleet's gauges are
//! brought up to date first, so a scrape never shows what was true at the last event only. `GET /health`
//! says 200 while a model serves and 503 while none does.
//!
//! The server listens on loopback unless told otherwise, reads nothing from a request but its path and the name that this
//! host is asked by, and ends when its future is dropped. Its connections are few and short, so that they never take the
//! descriptors that engines and links need. A port that is taken is waited for; models are served meanwhile.

mod config;
mod recorder;
mod server;
mod visitors;

pub use config::Config;
pub use recorder::{Recorder, RecorderError};
pub use server::Server;
