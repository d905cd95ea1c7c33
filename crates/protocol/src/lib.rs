//! The messages of router and worker: one JSON object per WebSocket message.
//!
//! # Theory of operation
//!
//! A connection starts with [`Hello`] (the key and the capabilities), which the router answers with [`HelloAck`] (accepted
//! or not, and the [`Policy`]). After that both sides send at any time: the router [`Job`], [`Cancel`] and
//! [`ToWorker::PolicyUpdate`]; the worker [`Heartbeat`], its [`Capabilities`] again when they change, and for each job any
//! number of [`Token`]s and exactly one [`Complete`] or [`JobError`].
//!
//! This crate holds types only: no socket, no clock, no decision. It implements three rules of the wire format:
//!
//! * **Unknown is not an error.** Unknown fields are ignored; an unknown `type` parses to
//!   [`ToWorker::Unknown`] or [`ToRouter::Unknown`] with its name.
//! * **`null` is absent.** The measured router writes `null` for empty lists.
//! * **Passed-on parts stay text.** Messages and tools of a job are raw JSON, so the engine gets the caller's bytes in the
//!   caller's order.
//!
//! Fields beyond the measured protocol are ignored by other routers and workers. When a side must know that the other side
//! supports a field, both announce an extension by name: see [`extension`] and `docs/protocol.md`.
//!
//! A frame that cannot be parsed gives a [`ParseError`] with the `job_id`, if it can be found: a job without an answer keeps
//! a slot at the router for ever.
//!
//! # Example
//!
//! ```
//! use auxot_protocol::ToWorker;
//!
//! let frame = r#"{"type":"job","job_id":"j1","messages":[{"role":"user","content":"Hi"}]}"#;
//! let Ok(ToWorker::Job(job)) = ToWorker::parse(frame) else { panic!("a job") };
//! assert_eq!(job.job_id, "j1");
//! assert_eq!(job.messages.unwrap().get(), r#"[{"role":"user","content":"Hi"}]"#);
//! ```

mod answer;
mod capabilities;
pub mod extension;
mod job;
mod lenient;
mod message;
mod policy;
mod result;
mod salvage;

pub use answer::{ANSWER_WINDOW, AnswerData, AnswerHead};
pub use capabilities::{AliasReport, Capabilities, DeviceReport, Heartbeat, ModelReport, ModelState, NamesReport};
pub use job::{AnswerRead, Cancel, HttpRequest, Job, JobData, JobRequest};
pub use message::{ConfigAck, Hello, HelloAck, ParseError, ToRouter, ToWorker};
pub use policy::Policy;
pub use result::{Complete, FunctionCall, JobError, Json, NOT_STARTED, PromptProgress, Token, ToolCall};

#[cfg(test)]
mod tests;
