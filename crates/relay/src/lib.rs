//! The router's door: connections out, jobs in, tokens back.
//!
//! # Theory of operation
//!
//! A [`Relay`] holds one **lane** or several (`lanes` decides how many). A lane `dial`s, greets (`lane::greeting` reads the
//! answer), and serves a `lane::session`: one task that reads the router's messages, beats the heart and states the worker's
//! capabilities again whenever the truth has changed (`telemetry`), beside one `lane::writer` that empties the lane's bounded
//! `lane::outbox`. What the worker says of itself goes before what it says of jobs.
//!
//! A job is looked through once (`desk::order`) and goes to the `desk`, which holds all jobs whichever lane they came by and
//! asks its `desk::table` what to do with them. There it becomes an `exchange`: straight-line code that waits for the fleet's
//! lease, makes the engine's request (`attempt`), reads the engine's events into an `answer` over a `transcript`, and ends in
//! exactly one `ending`. All it has to say leaves by its `outlet`.
//!
//! The router's wish for models goes by `policy` to the fleet, and to a memo on disk.
//!
//! # The token path
//!
//! Everything here runs on one thread. One wake-up reads all that an engine has written, parses it
//! in place, appends the text to the transcript and puts one message into the outbox; the writer, woken
//! once for all exchanges of that turn, flushes once. A slow router fills the outbox, then the
//! transcript's unsent part, then the engine's socket: text merges, nothing is dropped, nothing grows.
//! What would take milliseconds, a conversation of megabytes, is read and written on another thread.
//!
//! # What has arrived
//!
//! A transcript's bytes are numbered, and its terminal message is the number behind the last. Each
//! message carries a `delivery` receipt, which the writer signs when the socket has it. So an outlet
//! that loses its lane, or is asked for by another one, knows the byte to go on from. A lane is slow
//! as long as its `meter` shows that the socket takes bytes, and dead when it takes none for the write
//! timeout.
//!
//! # A lost lane
//!
//! The exchange goes on reading for the adopt window. The router sends the job again, by the same id
//! and messages; the desk moves the running exchange to the lane that asked. After the window the
//! engine's socket is closed, which frees its slot. A worker that ends does not wait for that.

mod config;
mod desk;
mod dial;
mod exchange;
mod lane;
mod lanes;
mod policy;
mod relay;
mod telemetry;

pub use config::{Config, Connections, KeyRefused, PromptProgress};
pub use dial::tls::TlsError;
pub use dial::url::{RouterUrl, UrlError};
pub use relay::{Relay, RelayEnd, RelayError};
pub use telemetry::metrics::{BUCKETS, HISTOGRAMS, describe as describe_metrics};
