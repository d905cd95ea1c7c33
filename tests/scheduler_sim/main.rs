//! The scheduler's decisions under traffic, in simulated time: properties that hold for any traffic, and one day.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the summary is what a person runs it for")]

mod chart;
mod day;
mod host;
mod host_memory;
mod properties;
mod random;
mod scenario;
