//! The embedded router: the single-host counterpart of `auxot-worker`, also used by its test suites.
//!
//! # Theory of operation
//!
//! The router connects two kinds of peers. *Workers* hold a WebSocket on `/ws` and use the protocol of
//! `auxot-protocol`; *clients* use the OpenAI chat API. The `hub` holds all state of both behind one mutex that is
//! never held across an await.
//!
//! * **The board decides, the hub acts.** `board` holds workers, waiting jobs and running jobs, without sockets, clock
//!   and text. A change (a worker joined, a job arrived, a client left) returns actions: *dispatch*, *cancel*, *give up*.
//!   `board::pick` chooses the worker of a job.
//! * **A token makes one hop.** The reader of a link decodes the frame and escapes the text directly into the SSE bytes
//!   of the client's `answer`; the client's connection takes what is there. A slow client gets fewer and longer chunks,
//!   and does not slow the link that it shares with others.
//! * **Each job ends once.** It leaves the hub in one place, which ends the client's answer and writes the access line.
//! * **A lost worker loses no job.** A worker without a heartbeat for the threshold gets no jobs, and its jobs go back
//!   to the head of the queue, as do those of a broken connection. The `transcript` ensures that a client gets no text
//!   twice and no text of two different answers.
//! * **Each deadline has one owner.** A link owns the heartbeat deadline of its worker, a `ClientJob` owns the deadline
//!   of its job; no periodic task checks them.
//! * **Workers first.** Where `providers` beside the workers (a program, a cloud) have a request's model, the board also
//!   decides between them (`board::choice`): the next one only if the one before cannot serve it or refuses it before its
//!   first byte. Each has a circuit breaker.
//! * **An operator sees it all.** The `control` socket, for its own user only, answers with the state of workers, providers
//!   and keys, made from a snapshot of the hub; the commands, the page and the tools for agents ask there.
//! * **Connections without a good key are bounded** in number, time and bytes (`listen`, `unauthenticated`); a check of
//!   a key is slow on purpose and its verdict is cached (`auxot_access`).

mod answer;
mod board;
mod chunks;
mod client_job;
mod config;
pub mod control;
mod descriptors;
mod desired_model;
mod error_body;
mod failure;
mod http;
mod hub;
mod ids;
mod key_refusal;
mod key_watch;
mod link;
mod listen;
mod log_text;
mod metrics;
mod openai;
mod parameters;
mod provider_fault;
mod providers;
mod resolver;
mod server;
pub mod settings;
mod shared;
mod summary;
mod transcript;
mod unauthenticated;
mod unix_time;

pub use auxot_access::keys::{self, Keys};
pub use config::{Config, ControlConfig};
pub use desired_model::DesiredModel;
pub use providers::{BackendConfig, CliConfig, CliInput, ClientError, CloudApi, CloudConfig, ProviderConfig};
pub use server::{Router, StartError};
pub use summary::Summary;
