//! Which models run on this host, who may use them, and who waits: the one judge.
//!
//! # Theory of operation
//!
//! A [`Fleet`] has **members**: models that the operator's autoload list or the router's policy named
//! and the catalog found. Each member has one process (an `auxot_instance`), as many slots as that
//! process says it has, and a bounded first-come-first-served queue of those who want one.
//!
//! A door never sees a process. It asks [`Fleet::acquire`] and gets a [`Lease`] (one slot of one engine,
//! freed when dropped) or a [`Refusal`] (a type with the numbers in it). While a model loads or
//! restarts its askers wait; when it has failed for good they are told why.
//!
//! All decisions are made under one short lock by whoever brings the news: an asker, a lease that ends,
//! a process whose state changed. The lock is never held across an await; answers are sent after it
//! is gone. The decisions themselves are pure: the slots in `queue`, the sizes and the gaps between the
//! router's wish and the truth in `wish`.
//!
//! The processes' tasks belong to [`Staff`], which the program drives beside everything else and which
//! alone joins them. A panic in one of them ends one model.
//!
//! The router's policy is a wish: its model becomes the primary one and is loaded if it is here, and
//! where the operator left slots or context open its size is the wished one, also while it runs
//! (`reshape`: drain, stop, start anew, or back to the old size).
//!
//! Which model a job without a name means: the router's model while it serves, else the first of the
//! autoload list that serves. A model outside the fleet is not loaded on demand: [`Refusal::UnknownModel`]
//! lists what is served.

mod config;
mod fleet;
mod lease;
mod member;
mod metrics;
pub mod placement;
mod queue;
mod refusal;
mod report;
mod reshape;
mod staff;
mod wish;

pub use auxot_gpu::{Device, Sample};
pub use auxot_instance::{Endpoint, ExitReport, Ready, State};
pub use config::Config;
pub use fleet::Fleet;
pub use lease::Lease;
pub use metrics::describe as describe_metrics;
pub use refusal::Refusal;
pub use report::{ModelView, Report};
pub use staff::Staff;
pub use wish::Wish;
