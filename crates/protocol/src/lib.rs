//! The words the router and a worker speak: one JSON object per WebSocket message.
//!
//! # Theory of operation
//!
//! A link starts with [`Hello`] (the key and what the worker can do), which the router answers with
//! [`HelloAck`] (accepted or not, and the [`Policy`] it wishes for). From then on both sides talk
//! freely: the router sends [`Job`], [`Cancel`] and [`ToWorker::PolicyUpdate`]; the worker sends
//! [`Heartbeat`], its [`Capabilities`] again whenever they change, and for each job any number of
//! [`Token`]s and exactly one [`Complete`] or [`JobError`].
//!
//! The crate holds shapes and nothing else: no socket, no clock, no decision. Three rules of the
//! wire live here, because each reader would otherwise have to know them:
//!
//! * **Unknown is not an error.** Unknown fields are ignored; an unknown `type` parses to
//!   [`ToWorker::Unknown`] or [`ToRouter::Unknown`] with its name.
//! * **`null` is absent.** The measured router writes `null` for empty lists.
//! * **What we only pass on stays text.** Messages and tools of a job are kept as raw JSON, so that
//!   the engine sees the bytes that the caller wrote, in the caller's order.
//!
//! What our router and our worker say beyond the measured protocol is in fields that others ignore. Where a side must know
//! that the other one understands, both announce it by name: see [`extension`] and `docs/protocol.md`.
//!
//! A frame that cannot be read yields a [`ParseError`] that carries the `job_id` where one can
//! still be found, because a job that is never answered leaks a slot at the router for ever.

mod capabilities;
pub mod extension;
mod job;
mod lenient;
mod message;
mod policy;
mod result;
mod salvage;

pub use capabilities::{AliasReport, Capabilities, DeviceReport, Heartbeat, ModelReport, ModelState, NamesReport};
pub use job::{Cancel, Job, JobData, JobRequest};
pub use message::{ConfigAck, Hello, HelloAck, ParseError, ToRouter, ToWorker};
pub use policy::Policy;
pub use result::{Complete, FunctionCall, JobError, Json, NOT_STARTED, PromptProgress, Token, ToolCall};

#[cfg(test)]
mod tests;
