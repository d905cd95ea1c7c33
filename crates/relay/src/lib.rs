//! The connection to the router: WebSocket out, jobs in, tokens back.
//!
//! # Theory of operation
//!
//! A [`Relay`] holds one connection or several (`router::connection_count` decides how many). A `connection` dials, says
//! hello (`connection::hello` reads the answer), and serves a `connection::session`: one task that reads the router's messages,
//! sends heartbeats, and sends the worker's capabilities again when they have changed (`report`). Beside it one
//! `connection::writer` empties the connection's bounded `send_queue`. Messages about the worker go before messages about jobs.
//!
//! A message with a job is parsed once (`jobs::parsed_job`). The `jobs::registry` holds all jobs of all connections, and its
//! `table` decides what a message means: a new job, a duplicate, a new round, or a job that moves to another connection. A
//! `jobs::job` is straight-line code: it waits for a lease of the fleet, makes the engine's request (`jobs::request`), reads the
//! engine's events into an `answer` over a `transcript`, and ends with exactly one `outcome`. It sends through its `sink`.
//!
//! The router's policy goes through `router::policy` to the fleet, and into a cache on disk.
//!
//! Modules depend on each other in one direction: `connection` on `jobs`, `jobs` on `report`; `router`, `send_queue` and `timer`
//! are below `connection` and `jobs`.
//!
//! # The token path
//!
//! All of this runs on one thread. One wake-up reads all bytes that an engine has written, parses them in place, appends the
//! text to the transcript and puts one message into the send queue. The writer is woken once for all jobs of that turn and
//! flushes once. A slow router fills the send queue, then the unsent part of the transcript, then the engine's socket: text
//! merges, nothing is dropped, nothing grows. A conversation of megabytes would take milliseconds to read or write; that
//! happens on another thread.
//!
//! # What has arrived
//!
//! The bytes of a transcript are numbered, and the terminal message has the number after the last byte. Each message carries an
//! `ack`, which the writer marks when the socket has the message. A sink that loses its connection, or moves to another one,
//! therefore knows the byte to continue from. A connection is slow while its [`ByteCounter`](auxot_stall::ByteCounter) shows
//! that the socket takes bytes; it is dead when the socket takes none for the write timeout.
//!
//! # A lost connection
//!
//! The job goes on reading its engine for the adopt window. The router sends the job again, with the same id and messages; the
//! registry moves the running job to the connection that brought it. After the window the engine's socket is closed, which
//! frees its slot. A worker that shuts down does not wait for the window.

mod config;
mod connection;
mod jobs;
mod relay;
mod report;
mod router;
mod send_queue;

pub use config::{Config, Connections, KeyRefused, ProgressReports};
pub use connection::dial::router_url::{RouterUrl, UrlError};
pub use connection::dial::tls::TlsError;
pub use connection::hello::RouterCheck;
pub use relay::{Relay, RelayEnd, RelayError};
pub use report::metrics::{BUCKETS, GAP_BUCKETS, GAP_HISTOGRAMS, HISTOGRAMS, describe as describe_metrics};
