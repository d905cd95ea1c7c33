//! The operator's word on layers, in the planner's rules.

use auxot_engine::GpuLayers;
use auxot_placement::Rules;

/// The rules of the planner with the operator's word on layers.
#[must_use]
pub fn with_layers(rules: &Rules, layers: GpuLayers) -> Rules {
    match layers {
        GpuLayers::Auto => Rules { layers: None, ..*rules },
        GpuLayers::All => Rules { layers: None, partial: false, ..*rules },
        GpuLayers::Count(count) => Rules { layers: Some(count as usize), ..*rules },
    }
}
