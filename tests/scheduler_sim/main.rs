//! The fleet's decisions under traffic, in made-up time: laws that hold for any traffic, and a day with its figures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the summary is what a person runs it for")]

mod cast;
mod day;
mod dice;
mod laws;
mod picture;
mod world;
