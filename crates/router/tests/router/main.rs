//! Tests of the router over real sockets, with a scripted worker.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail a test, too")]

mod cascade;
mod chat;
mod cli;
mod cli_apis;
mod cloud;
mod cloud_audio;
mod cloud_server;
mod control;
mod engine_requests;
mod faults;
mod key_changes;
mod key_commands;
mod key_terms;
mod link;
mod names;
mod parameters;
mod program;
mod support;
mod tls;
mod unauthenticated;
mod upstream;
mod whole_chats;
