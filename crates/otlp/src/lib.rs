//! Sends the way of each job to an OpenTelemetry collector, as spans of the trace that its client began.
//!
//! # Theory of operation
//!
//! A job is a record of the fleet with its times: its arrival, its slot, its first text, its end. When it has ended, the record comes
//! here over a bounded queue, and only if its trace is sampled; a job costs nothing more while it runs, and a worker without a
//! collector has neither the queue nor this task. `spans` makes the job's span and one for each of its phases from the record,
//! which is pure. [`Exporter`] sends them some at once, as JSON over HTTP (OTLP): one attempt, whose failure is logged once
//! until the collector takes spans again.
//!
//! No span has a text of a client: a job's model, ending, times and counts are all of it.
//!
//! ```
//! use auxot_otlp::Config;
//!
//! let config = Config { endpoint: Some("http://127.0.0.1:4318".to_owned()) };
//! assert_eq!(config.url().unwrap().unwrap().as_str(), "http://127.0.0.1:4318/v1/traces");
//! assert!(Config { endpoint: Some("collector:4318".to_owned()) }.url().is_err());
//! assert!(Config::default().url().unwrap().is_none());
//! ```

mod config;
mod exporter;
mod spans;

pub use config::{Config, EndpointError};
pub use exporter::{Exporter, ExporterError};
