//! The router's policy for a worker.

use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient::Fields;

/// The policy: one model, its context and the number of jobs at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Absent or `gpu` for a GPU worker; `cli` is another product's worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_type: Option<String>,
    /// Registry name of the model, for example `gemma-3-4b-it`.
    pub model_name: String,
    /// Quantisation, for example `Q4_K_S`; empty means any.
    pub quantization: String,
    /// Tokens **per slot**; 0 means the model's own default.
    pub context_size: u32,
    /// The number of slots; below 1 it means 1 (see [`Policy::slots`]).
    pub max_parallelism: i64,
    /// Informational, for example `30B`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// Informational, `MoE` or `Dense`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Capabilities of the model; the router derives them from its name.
    pub capabilities: Vec<String>,
    /// An extension: the fields that only repeat what the worker announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub echoed: Vec<String>,
    /// Fields that were left out because they cannot be used, one sentence each.
    #[serde(skip)]
    pub dropped: Vec<String>,
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            worker_type: fields.take("worker_type"),
            model_name: fields.take("model_name").unwrap_or_default(),
            quantization: fields.take("quantization").unwrap_or_default(),
            context_size: fields.number("context_size").unwrap_or_default(),
            max_parallelism: fields.number("max_parallelism").unwrap_or_default(),
            parameters: fields.take("parameters"),
            family: fields.take("family"),
            capabilities: fields.take("capabilities").unwrap_or_default(),
            echoed: fields.take("echoed").unwrap_or_default(),
            dropped: fields.dropped,
        })
    }
}

impl Policy {
    /// The names in [`Policy::echoed`].
    pub const MODEL_NAME: &'static str = "model_name";
    /// See [`Policy::MODEL_NAME`].
    pub const CONTEXT_SIZE: &'static str = "context_size";
    /// See [`Policy::MODEL_NAME`].
    pub const MAX_PARALLELISM: &'static str = "max_parallelism";
    /// See [`Policy::MODEL_NAME`].
    pub const CAPABILITIES: &'static str = "capabilities";

    /// Whether a field only repeats what the worker announced.
    #[must_use]
    pub fn echoes(&self, field: &str) -> bool {
        self.echoed.iter().any(|echoed| echoed == field)
    }

    /// The number of slots, at least one; the upstream worker crashes on 0.
    #[must_use]
    pub fn slots(&self) -> u32 {
        u32::try_from(self.max_parallelism.max(1)).unwrap_or(u32::MAX)
    }

    /// `name-quantisation`, the form the catalog resolves; the bare name when there is no quantisation.
    #[must_use]
    pub fn wanted_model(&self) -> String {
        if self.quantization.is_empty() {
            self.model_name.clone()
        } else {
            format!("{}-{}", self.model_name, self.quantization)
        }
    }

    /// Whether the policy is for a GPU worker.
    #[must_use]
    pub fn is_for_gpu(&self) -> bool {
        self.worker_type.as_deref().is_none_or(|kind| kind.is_empty() || kind.eq_ignore_ascii_case("gpu"))
    }
}
