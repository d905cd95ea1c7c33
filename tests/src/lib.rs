//! The harness of the whole-program suites.
//!
//! A suite starts real programs: the worker, the router, and a fake engine that takes the real one's arguments. What a
//! test waits for is always an event with a deadline, never a length of time:
//!
//! - [`Scratch`] is a test's folder. [`Scratch::fake_model`] writes a small true model file and, beside it, the
//!   switches for the fake engine, which is how a test reaches through a worker that scrubs its children's environment.
//! - [`Program`] is a started program: wait for a line of its log, send it a signal, wait for its end. Dropping it kills
//!   its whole group.
//! - [`Reports`] receives the events of fake engines. The end of an engine's connection is the exit of its
//!   process, so that an exit is an event too.
//! - [`Worker`] is the real worker with the fake engine, [`scripted_router`] its router, which does exactly what
//!   the test calls and nothing else, or a [`scripted_router::Dispatcher`], which is correct until a test switches a
//!   fault on, and records the outcome of every job.
//! - [`leftovers`] finds processes, descriptors and files that should be gone.
//! - [`Stage`] combines all of these, for tests about one model.
//! - [`Host`] is such a stage with devices and several models of any size, whose engines use memory on those devices.
//! - [`Collector`] takes the traces of a worker.
//! - [`processes`] reads running processes from the kernel; [`http`] reads the state or metrics of a server; [`real`] finds
//!   the real engine, and models with a known text.
//!
//! Failure is a panic that shows the whole log: this crate is only ever linked into tests. They run on Linux, because
//! processes and their resources are read from `/proc`.

#![allow(clippy::panic, reason = "a harness reports by panicking")]

pub mod binaries;
pub mod blueprint;
mod collector;
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

pub use collector::Collector;
pub use fake_nvml::FakeNvml;
pub use host::Host;
pub use program::Program;
pub use reports::{Event, Reports};
pub use scratch::{Scratch, set_switches};
pub use scripted_router::ScriptedRouter;
pub use stage::{Stage, Start};
pub use worker::Worker;

/// How long a test waits for an event before it fails. It bounds a fault, never a speed: longer than any step on a machine
/// with all cores busy. The benches measure speed.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
