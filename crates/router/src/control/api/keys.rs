//! The keys of workers and clients.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keys {
    /// The keys, in the order in which they were made; of many, the newest.
    pub keys: Vec<KeyStatus>,
    /// Keys that are not listed here.
    pub others: usize,
}

/// A stored key; its text cannot be shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyStatus {
    /// Its name; the two keys of a pair have one name.
    pub name: String,
    /// What it gives access to.
    pub kind: KeyUse,
    /// Its id, as in logs.
    pub id: String,
    /// When it was made.
    pub created: String,
    /// From when on it is not good any more.
    pub expires: Option<String>,
    /// Its time is over.
    pub expired: bool,
    /// When it was last used, where that is known.
    #[serde(default)]
    pub last_used: Option<String>,
    /// The models that it may use; absent for all.
    pub models: Option<Vec<String>>,
    /// The providers that it may use, `gpu` for the workers; absent for all.
    pub providers: Option<Vec<String>>,
    /// Requests in a minute; absent for no limit.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute, of requests and answers together; absent for no limit.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// Requests at one time; absent for no limit.
    pub max_parallel: Option<u32>,
    /// Workers that are connected with it.
    pub workers: usize,
}

/// What a key gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// A worker may connect with it.
    Worker,
    /// A client may send requests with it.
    Api,
}

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its name; it must not be taken.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub name: String,
    /// What it gives access to.
    pub kind: KeyUse,
}

/// A new key; this is the only time that it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    /// Its name.
    pub name: String,
    /// What it gives access to.
    pub kind: KeyUse,
    /// The key.
    pub key: String,
}

/// Without the key.
impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The answer to a revocation. Connections of the keys end within a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// The name.
    pub name: String,
    /// Keys that had it.
    pub keys: usize,
}
