//! The names of what a side may only say to one that understands it; `docs/protocol.md` describes each.
//!
//! A worker announces its own in [`crate::Capabilities::extensions`], a router in [`crate::HelloAck::extensions`]. An
//! extension is used on a link where both did.

/// Jobs carry fields of the caller's request that have no word of their own: [`crate::Job::request`].
pub const PARAMETERS: &str = "parameters";
/// A worker may give a job back that it has not begun: [`crate::NOT_STARTED`].
pub const NOT_STARTED: &str = "not_started";

/// Whether a list of extensions has this one.
#[must_use]
pub fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|known| known == name)
}
