//! The operator's access to a running program: its control socket, and the page for browsers of this host.
//!
//! # Theory of operation
//!
//! A program binds a [`ControlSocket`] in a folder that only its own user can enter, so that the system decides who may use
//! it. Each [`Operation`] of it has a route, and what describes it: the routes and the OpenAPI document ([`openapi`]) are
//! made from one table. Commands find the socket of a running program and ask it with a [`ControlClient`].
//!
//! A [`ToolSet`] gives the operations to agents: [`McpServer`] speaks the Model Context Protocol with them, over standard
//! input and output or behind the page's guard.
//!
//! The page is the same operations on loopback, and files that are a part of the program ([`PageServer`], [`Asset`]).
//! Its listener is opened by the first request for a link, so that it costs nothing before. A link from the control socket
//! opens a session once; the page's guard checks host name, session and, for requests that change something, the token of
//! the session. Other programs use a token from the control socket.
//!
//! | module | content |
//! | --- | --- |
//! | `socket`, `connection` | the listener, and one HTTP connection |
//! | `client` | finds a running program, and asks it |
//! | `operation`, `openapi`, `failed`, `messages` | what a socket offers, and the messages that every one has |
//! | `tools` | the operations as tools for agents |
//! | `page` | the page's server, its guard, its sessions, and the files that several pages use |
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use auxot_control_socket::{ConnectionLimits, ControlClient, ControlSocket, ProgramNames};
//! use axum::{Json, Router, routing::get};
//!
//! const NAMES: ProgramNames =
//!     ProgramNames { noun: "echo", command: "echo", folder_setting: "FOLDER", port_setting: "PORT" };
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("control.sock");
//! let socket = ControlSocket::bind(&path)?;
//! let limits = ConnectionLimits { at_once: 8, longest: std::time::Duration::from_secs(60) };
//! let routes = || Router::new().route("/v1/name", get(async || Json("echo")));
//! let client = ControlClient::new(&NAMES, &path);
//! tokio::select! {
//!     () = socket.serve(limits, routes) => {}
//!     name = client.get::<String>("/v1/name") => assert_eq!(name.unwrap(), "echo"),
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod connection;
mod failed;
mod messages;
pub mod openapi;
mod operation;
mod page;
mod program_names;
mod socket;
mod tools;

pub use client::{ControlClient, ControlError, path_part};
pub use connection::{HEADER_TIMEOUT, serve as serve_connection};
pub use failed::{Failed, no_such_operation, wrong_method};
pub use messages::{Failure, PageLink, PageToken};
pub use operation::{Answer, Operation, Parameter, Place, SchemaOf, routes, schema};
pub use page::{Asset, COMMON_ASSETS, PageAccess, PageRoutes, PageServer, page_faults, page_link, page_token};
pub use program_names::ProgramNames;
pub use socket::{ConnectionLimits, ControlSocket};
pub use tools::{Arguments, McpServer, Tool, ToolEffect, ToolParameter, ToolSet};
