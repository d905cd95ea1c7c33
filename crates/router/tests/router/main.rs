//! Tests of the router over real sockets, with a scripted worker.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail a test, too")]

mod chat;
mod engine_requests;
mod faults;
mod link;
mod names;
mod parameters;
mod program;
mod support;
mod unauthenticated;
mod whole_chats;
