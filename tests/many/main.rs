//! Many models on one host, seen from outside: the real worker, made-up cards with memory that made-up engines take, and a
//! router that asks for what it likes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod start;
