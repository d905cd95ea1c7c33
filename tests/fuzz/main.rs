//! Hostile input for every parser: a seed, mutated without end, must never panic, never hang and never cost memory.
//!
//! Each parser is one test, so a failure names it; its message holds the input in hexadecimal, which becomes a seed of
//! the parser's own tests. `INPUTS` sets the number of inputs for each parser (20,000 by default; `make fuzz` takes
//! ten million in an optimised build), `SEED` the starting point.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod mutator;
mod seeds;
mod targets;
