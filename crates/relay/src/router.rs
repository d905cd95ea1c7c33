//! What is known of the router: its kind, its policy, and how many connections it needs.

pub(crate) mod capability_match;
pub(crate) mod connection_count;
pub(crate) mod fingerprint;
pub(crate) mod policy;
pub(crate) mod policy_cache;
