//! What the operator allows the planner.

use serde::{Deserialize, Serialize};

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Bytes that stay free on every device, for unforeseen needs.
    pub reserve: u64,
    /// Bytes that stay free in host memory.
    pub host_reserve: u64,
    /// How a model may be spread over devices.
    pub split: SplitMode,
    /// Whether some layers may be in host memory, which is slow.
    pub partial: bool,
    /// Whether all of a model may be in host memory.
    pub host: bool,
    /// Layers on devices, if the operator sets it; `None` is all, or as many as fit.
    pub layers: Option<usize>,
    /// Bytes of host memory that all models together may take; `None` is all that is free.
    pub host_limit: Option<u64>,
    /// Whether a model may be loaded alone where memory cannot be read.
    pub unmeasured: bool,
}

/// How a model may be spread over devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitMode {
    /// Not at all.
    Never,
    /// Whole layers to each device.
    Layers,
    /// A part of every layer to each device: faster where the devices are closely coupled.
    Tensor,
}
