//! The main job through the whole chain: client, embedded router, worker, engine, and tokens back.
//!
//! The same claims are made of the fake engine, whose faults are at hand, and of the real one, whose truth is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chain;
mod client;
mod fake;
mod real;
mod restarts;
