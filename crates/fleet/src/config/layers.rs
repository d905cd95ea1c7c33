//! The `gpu_layers` setting in the planner's rules.

use auxot_engine::GpuLayers;
use auxot_placement::Rules;

/// The planner's rules with the operator's number of layers.
#[must_use]
pub fn with_layers(rules: &Rules, layers: GpuLayers) -> Rules {
    match layers {
        GpuLayers::Auto => Rules { layers: None, ..*rules },
        GpuLayers::All => Rules { layers: None, partial: false, ..*rules },
        GpuLayers::Count(count) => Rules { layers: Some(count as usize), ..*rules },
    }
}
