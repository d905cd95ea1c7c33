//! The router's door: connections out, jobs in, tokens back.
//!
//! # Theory of operation
//!
//! A [`Relay`] holds one **lane** or several (`lanes` decides how many, `lane` keeps one going). A lane
//! dials (`dial`, `proxy`, `tls`, `url`), greets (`greeting` reads the answer), and serves a `session`:
//! one task that reads the router's messages, beats the heart and states the worker's capabilities
//! again whenever the truth has changed, beside one `writer` that empties the lane's bounded `outbox`.
//!
//! A job goes to the `desk`, the table of all jobs whichever lane they came by. There it becomes an
//! `exchange`: straight-line code that waits for the fleet's lease, makes the engine's request
//! (`attempt`), reads the engine's events into an `answer` over a `transcript`, sends slices of that
//! transcript to the lane, and ends in exactly one `ending`, whose terminal message is only out when
//! the socket has it.
//!
//! # The token path
//!
//! Everything here runs on one thread. One wake-up reads all that an engine has written, parses it
//! in place, appends the text to the transcript and puts one message into the outbox; the writer, woken
//! once for all exchanges of that turn, flushes once. A slow router fills the outbox, then the
//! transcript's unsent part, then the engine's socket: text merges, nothing is dropped, nothing grows.
//!
//! # A lost lane
//!
//! The exchange goes on reading for the adopt window. The router sends the job again, by the same id
//! and messages; the desk moves the running exchange to the lane that asked, and it goes on from the
//! first byte that never reached a socket. After the window the engine's socket is closed, which frees its slot.

mod answer;
mod attempt;
mod backoff;
mod config;
mod desk;
mod dial;
mod ending;
mod exchange;
mod greeting;
mod health;
mod lane;
mod lanes;
mod memo;
mod metrics;
mod outbox;
mod policy;
mod proxy;
mod relay;
mod session;
mod stats;
mod telemetry;
mod tls;
mod transcript;
mod url;
mod writer;

pub use config::{Config, Connections, PromptProgress};
pub use metrics::{BUCKETS, HISTOGRAMS, describe as describe_metrics};
pub use relay::{Relay, RelayEnd, RelayError};
pub use tls::TlsError;
pub use url::{RouterUrl, UrlError};
