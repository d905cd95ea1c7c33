//! The harness of the whole-program suites.
//!
//! A suite starts real programs: the worker, the router, and a fake engine that takes the real one's arguments. What a
//! test waits for is always an event with a deadline, never a length of time:
//!
//! - [`Scratch`] is a test's folder. [`Scratch::fake_model`] writes a small true model file and, beside it, the
//!   switches for the fake engine, which is how a test reaches through a worker that scrubs its children's environment.
//! - [`Program`] is a started program: wait for a line of its log, send it a signal, wait for its end. Dropping it kills
//!   its whole group.
//! - [`Reports`] is where fake engines tell what happens inside them. The end of an engine's line is the end of its
//!   process, so that "gone" is an event too.
//! - [`Worker`] is the real worker on the fake engine, [`scripted_router`] the router it meets, which does exactly what
//!   the test tells it and nothing else, or a [`scripted_router::Dispatcher`], which behaves until it is told otherwise
//!   and knows what every job has come to.
//! - [`leftovers`] finds what should not be there any more: processes, descriptors, files.
//! - [`Stage`] has all of these on one table, for tests about a model's whole way.
//! - [`Host`] is such a table with cards and with several models of any size, whose engines take memory on those cards.
//! - [`processes`] asks the kernel who lives; [`http`] asks a server for its state or its metrics; [`real`] knows where
//!   the real engine is, and models that say exactly what they are made to say.
//!
//! Failure is a panic that shows the whole log: this crate is only ever linked into tests. They run on Linux, because
//! who lives and what is held is read in `/proc`.

#![allow(clippy::panic, reason = "a harness reports by panicking")]

pub mod binaries;
pub mod blueprint;
mod fake_nvml;
pub mod gguf;
mod host;
pub mod http;
pub mod leftovers;
pub mod processes;
mod program;
pub mod real;
mod reports;
mod scratch;
pub mod scripted_router;
mod stage;
mod worker;

pub use fake_nvml::FakeNvml;
pub use host::Host;
pub use program::Program;
pub use reports::{Event, Reports};
pub use scratch::{Scratch, set_switches};
pub use scripted_router::ScriptedRouter;
pub use stage::{Stage, Start};
pub use worker::Worker;

/// How long a test waits for an event before it fails. It bounds a fault, never a speed: longer than anything takes on a machine
/// whose every core is busy with other work. How fast things are is measured by the benches.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
