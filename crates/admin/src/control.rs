//! The control socket: what the operator's commands ask a running worker, over HTTP and JSON.
//!
//! The socket is a file in the worker's private runtime directory, so only its own user can reach it. `operations` is the table
//! of all that it offers; the routes and the OpenAPI document are made from it. `observer` turns changes of the fleet into
//! events and histories; `streams` sends events and lines of engines as they come.

pub mod api;
mod chat;
pub mod client;
mod event_log;
pub mod follow;
mod handlers;
mod observer;
mod openapi;
mod operations;
mod program;
mod server;
mod streams;
mod views;

use auxot_control_socket::ProgramNames;
pub(crate) use handlers::{ControlState, Identity};
pub(crate) use observer::Observer;
pub use program::{Program, Reloading};
pub(crate) use server::{LONGEST_BODY, common_routes, listen};
pub(crate) use streams::StreamPermits;

/// What messages call this program.
pub(crate) const NAMES: ProgramNames = ProgramNames {
    noun: "worker",
    command: "auxot-worker",
    folder_setting: "AUXOT_RUNTIME_DIR",
    port_setting: "page.port (AUXOT_PAGE__PORT)",
};

/// The name of the socket in a worker's runtime directory.
pub(crate) const SOCKET_NAME: &str = "control.sock";
