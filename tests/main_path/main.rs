//! The main job through the whole chain: client, embedded router, worker, engine, and tokens back.
//!
//! The same tests run with the fake engine, which has faults on demand, and with the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chain;
mod client;
mod fake;
mod real;
mod restarts;
mod status;
mod tls;
