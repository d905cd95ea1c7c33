//! The router's desired model and size, compared with what this host runs: one sentence for each gap.

use auxot_engine::{Ready, Spec};

/// The part of the router's policy that concerns the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredModel {
    /// Name and quantisation; empty when the policy names no model.
    pub model: String,
    /// Tokens per slot; `None` leaves it to the model.
    pub ctx_size: Option<u32>,
    /// Slots; `None` leaves it to the operator.
    pub slots: Option<u32>,
}

/// The engine's own limit. A policy beyond it is reported as a gap, and no model is unloaded to try it.
pub const MAX_SLOTS: u32 = 256;

/// The parts of the desired size that a running or planned engine does not have.
pub(crate) fn gaps(desired: &DesiredModel, spec: &Spec, ready: Option<&Ready>) -> Vec<String> {
    let slots = ready.map_or(spec.slots, |ready| ready.props.total_slots);
    let tokens = ready.map_or(spec.ctx_per_slot, |ready| ready.props.n_ctx);
    let mut gaps = Vec::new();
    if let Some(wanted) = desired.slots.filter(|wanted| *wanted != slots) {
        let limit = if wanted > MAX_SLOTS { format!("; an engine has at most {MAX_SLOTS}") } else { String::new() };
        gaps.push(format!("policy requires {wanted} slots, {} has {slots}{limit}", spec.model));
    }
    // The engine rounds a context up to 256 tokens: more than desired is no gap.
    if let Some(wanted) = desired.ctx_size.filter(|wanted| tokens < *wanted) {
        gaps.push(format!("policy requires {wanted} tokens of context, {} has {tokens}", spec.model));
    }
    gaps
}
