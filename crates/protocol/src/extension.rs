//! The names of the protocol's extensions; `docs/protocol.md` describes each.
//!
//! A worker announces its extensions in [`crate::Capabilities::extensions`], a router in [`crate::HelloAck::extensions`]. An
//! extension is used on a connection when both announce it.

/// Jobs have further fields of the caller's request: [`crate::Job::request`].
pub const PARAMETERS: &str = "parameters";
/// A worker may give back a job that it has not started: [`crate::NOT_STARTED`].
pub const NOT_STARTED: &str = "not_started";
/// Jobs may be any HTTP request of the caller, and their answers the engine's own bytes: [`crate::HttpRequest`].
pub const REQUESTS: &str = "requests";

/// Whether a list of extensions has this one.
#[must_use]
pub fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|known| known == name)
}
