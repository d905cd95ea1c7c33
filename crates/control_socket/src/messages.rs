//! The messages that every control socket has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to a request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Why not.
    pub error: String,
}

/// A link to the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageLink {
    /// The link; it is good once.
    pub url: String,
    /// Seconds for which it is good.
    pub expires_seconds: u64,
}

/// A token for programs that use the page's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageToken {
    /// The address of the operations.
    pub url: String,
    /// The address of the tools for agents.
    pub mcp_url: String,
    /// The token, for `Authorization: Bearer`; good until the program ends.
    pub token: String,
}
