//! The control socket: what the operator's commands ask a running worker, over HTTP and JSON.
//!
//! The socket is a file in the worker's private runtime directory, so only its own user can reach it.

pub mod api;
pub mod client;
mod server;

pub use server::ControlServer;

/// The name of the socket in a worker's runtime directory.
const SOCKET_NAME: &str = "control.sock";
