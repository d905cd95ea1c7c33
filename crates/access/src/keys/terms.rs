//! What an API key may use, and how much of it.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// The name of the workers in [`KeyTerms::providers`].
pub const WORKERS: &str = "gpu";

/// What an API key may use, and how much of it. The default is everything, without a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyTerms {
    /// The models, by any of their names; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The providers, by their names, [`WORKERS`] for the workers; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<String>>,
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute, of requests and answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
    /// Requests that run or wait at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
}

/// Those of a key without terms.
pub(super) static UNLIMITED: KeyTerms =
    KeyTerms { models: None, providers: None, requests_per_minute: None, tokens_per_minute: None, max_parallel: None };

/// Those of most keys, which share them.
static WORKERS_ONLY: LazyLock<Arc<KeyTerms>> = LazyLock::new(|| Arc::new(KeyTerms::workers_only()));

impl KeyTerms {
    /// The terms as a key holds them: none where they are the default.
    pub(super) fn shared(&self) -> Option<Arc<Self>> {
        if *self == UNLIMITED {
            return None;
        }
        let is_usual = *self == **WORKERS_ONLY;
        Some(if is_usual { Arc::clone(&WORKERS_ONLY) } else { Arc::new(self.clone()) })
    }

    /// Of a key whose requests stay with the workers: nothing leaves this host for a program or a cloud.
    #[must_use]
    pub fn workers_only() -> Self {
        Self { providers: Some(vec![WORKERS.to_owned()]), ..Self::default() }
    }

    /// Whether the key may use the provider of this name.
    #[must_use]
    pub fn allow_provider(&self, name: &str) -> bool {
        self.providers.as_ref().is_none_or(|allowed| allowed.iter().any(|allowed| allowed == name))
    }
}
