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
//! a process whose state changed, a look through the models folders. The lock is never held across an await;
//! answers are sent after it is gone, and what takes time is left as `work` for the one who owns tasks. The
//! decisions themselves are pure: the slots in `queue`, one model's turns in `member`, the sizes and the gaps
//! between the router's wish and the truth in `wish`.
//!
//! | who | what |
//! | --- | --- |
//! | `judge` | everything that decisions are made from, and the questions that it answers by itself |
//! | `acquire` | how a job gets a slot |
//! | `roster` | how models come in, change and go |
//! | `plan` | what a model is to run as; `dial` searches the largest size that fits, `remembered` keeps it |
//! | `library` | the folders, looked through again when something in them changes |
//! | `mend` | the ways out of a failure |
//! | `staff` | the owner of all tasks: processes, listeners, `reshape` |
//!
//! The processes' tasks belong to [`Staff`], which the program drives beside everything else and which
//! alone joins them. A driver ends with the last handle to its process, and its listener with it. A panic in one of
//! them fails one model, and those who wait for it are told.
//!
//! The router's policy is a wish: its model becomes the primary one and is loaded if it is here, and
//! where the operator left slots or context open its size is the wished one, also while it runs
//! (`reshape`: drain, stop, start anew, or back to the old size). Once it serves, the models of earlier policies are
//! let go; those of the operator's list stay. A wished or listed model that is not here is told as unmet and looked
//! for until it comes.
//!
//! A load that the memory is not enough for is answered with a smaller size: slots first, then context, until the
//! largest that loads is known (`dial`). Meanwhile nobody is served by an engine that is only tried; afterwards the
//! report has the true size, and says what it falls short of. The size is remembered for a day on disk, for this very
//! file, engine, arguments and devices, so that the next start begins with what worked.
//!
//! A model that has failed stays so until something changes: the operator resets it, its file or the engine's becomes another one, the
//! router wishes for another size, or, where memory was short, some minutes have gone by (`mend`).
//!
//! Which model a job without a name means: the router's model while it serves, else the first of the
//! autoload list that serves. A model outside the fleet is not loaded on demand: [`Refusal::UnknownModel`]
//! lists what is served.
//!
//! The end comes in three steps: [`Fleet::freeze`] (nothing is started, jobs go on), [`Fleet::refuse`] (jobs are sent
//! away), [`Fleet::stop`].

mod acquire;
mod carry;
mod config;
mod devices;
mod dial;
mod engine;
mod engines;
mod fleet;
mod identity;
mod judge;
mod lease;
mod lessons;
mod library;
mod member;
mod mend;
mod metrics;
mod orders;
mod outlook;
pub mod placement;
mod places;
mod plan;
mod profile;
mod reconfigure;
mod refusal;
mod release;
mod remembered;
mod report;
mod roster;
mod shared;
mod staff;
#[cfg(test)]
mod tests;
mod turn;
mod wish;
mod work;

pub use auxot_gpu::{Device, Sample};
pub use auxot_instance::{Endpoint, ExitReport, Ready, State};
pub use config::{Config, ModelConfig};
pub use devices::Devices;
pub use fleet::Fleet;
pub use lease::Lease;
pub use metrics::{HISTOGRAMS, describe as describe_metrics};
pub use orders::Orders;
pub use outlook::Outlook;
pub use places::Places;
pub use refusal::Refusal;
pub use report::{ModelView, Report, Sleeper};
pub use staff::Staff;
pub use wish::Wish;
