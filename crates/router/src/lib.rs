//! The embedded router: the single-host peer of `auxot-worker`, and the test peer of its suites.
//!
//! # Theory of operation
//!
//! Two kinds of callers meet here. *Workers* hold a WebSocket on `/ws` and speak the wire protocol of
//! `auxot-protocol`; *clients* speak the OpenAI chat API. Between them stands the `hub`: one small
//! state behind one mutex, which is never held across an await.
//!
//! * **`board` decides, the hub does.** The board knows workers, waiting jobs and running jobs; it has
//!   no socket, no clock and no text. A verb (a worker joined, a job came, a client left) changes it and
//!   leaves a list of effects: *dispatch*, *cancel*, *give up*. `pick` is the rule for who gets a job.
//! * **A token makes one hop.** The link's reader decodes the frame and escapes the text straight into
//!   the SSE bytes of the client's `answer`; the client's connection takes what is there. A slow client
//!   therefore gets fewer, longer chunks, and never slows the link it shares with others.
//! * **Each job ends once.** It leaves the board in one place, which tells the client, writes the access
//!   line and wakes whoever waits for the router to be idle.
//! * **A lost worker loses no job.** A worker without a heartbeat for the threshold is not asked any
//!   more and its jobs go back to the head of the queue, as do those of a cut connection. The
//!   `transcript` makes sure that a client reads no text twice and no text of two different answers.
//! * **Time belongs to whoever waits.** A worker's link owns its heartbeat deadline, a client's ticket
//!   owns the job's deadline; there is no ticking task.

mod answer;
mod auth;
mod board;
mod budget;
mod chunks;
mod client_job;
mod config;
mod descriptors;
mod desired_model;
mod failure;
mod http;
mod hub;
mod ids;
pub mod keys;
mod link;
mod listen;
mod log_text;
mod openai;
mod resolver;
mod server;
pub mod settings;
mod shared;
mod summary;
mod transcript;
mod unauthenticated;

pub use config::Config;
pub use desired_model::DesiredModel;
pub use keys::Keys;
pub use server::{Router, StartError};
pub use summary::Summary;
