//! The router's desired model and size, compared with what this host runs: pure functions, one sentence for each gap.

use auxot_catalog::{Model, RunParameters};
use auxot_engine::{Ready, Spec};

use crate::config::ModelConfig;

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

/// The operator's slots and context for one model; what is unset comes from the router, then from the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizing {
    /// Slots set by the operator.
    pub slots: Option<u32>,
    /// Tokens per slot set by the operator.
    pub ctx_size: Option<u32>,
}

/// Slots where no setting and no policy gives a number.
const DEFAULT_SLOTS: u32 = 4;
/// Context per slot where no setting and no policy gives a number: a model trained for 128k tokens would fill the host.
const DEFAULT_CTX: u32 = 8192;

/// The engine's own limit. A policy beyond it is reported as a gap, and no model is unloaded to try it.
pub const MAX_SLOTS: u32 = 256;

/// The parameters of one model's engine: the model's own settings first, then the settings for all models, then the router's
/// policy, then the model's header.
#[must_use]
pub fn parameters(
    engine: &auxot_engine::Config,
    own: &ModelConfig,
    desired: Option<&DesiredModel>,
    model: &Model,
) -> RunParameters {
    let operator = Sizing { slots: own.slots.or(engine.slots), ctx_size: own.ctx_size.or(engine.ctx_size) };
    let (slots, ctx) = size(operator, desired, model.ctx_train);
    let kv_type = own.kv_type.unwrap_or_default();
    let usual = RunParameters { keys: kv_type, values: kv_type, ..model.run_parameters(slots, ctx) };
    RunParameters { checkpoints: engine.ctx_checkpoints, ..usual }
}

/// The operator's numbers first, then the router's, then the model's training length up to a bound.
pub(crate) fn size(operator: Sizing, desired: Option<&DesiredModel>, trained: Option<u32>) -> (u32, u32) {
    let by_router = desired.and_then(|desired| desired.slots).filter(|slots| *slots <= MAX_SLOTS);
    let slots = operator.slots.or(by_router).unwrap_or(DEFAULT_SLOTS).clamp(1, MAX_SLOTS);
    let tokens_per_slot =
        operator.ctx_size.or_else(|| desired.and_then(|desired| desired.ctx_size)).filter(|tokens| *tokens > 0);
    let tokens = tokens_per_slot.unwrap_or(DEFAULT_CTX);
    (slots, trained.filter(|trained| *trained > 0).map_or(tokens, |trained| tokens.min(trained)))
}

/// The engine rounds a context up to whole blocks of this many tokens.
const CTX_BLOCK: u32 = 256;

/// The difference between the planned numbers and those the engine runs with. Extra arguments override ours, and the engine
/// parses some of them in its own way (`-c 32k` is 256 tokens).
pub(crate) fn deviation(spec: &Spec, ready: &Ready) -> Option<String> {
    let (slots, tokens, model) = (ready.props.total_slots, ready.props.n_ctx, &spec.model);
    let planned = spec.ctx_per_slot;
    let rounded = planned.checked_next_multiple_of(CTX_BLOCK).unwrap_or(planned);
    (slots != spec.slots || !(planned..=rounded).contains(&tokens)).then(|| {
        let (wanted, actual) = (spec.slots, format!("{slots} of {tokens}"));
        format!("{model} was planned with {wanted} slots of {planned} tokens, its engine runs {actual}: check the extra arguments")
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_overrides_the_router_and_the_router_overrides_the_model() {
        let desired = DesiredModel { model: "m".into(), ctx_size: Some(32_768), slots: Some(2) };
        let unset = Sizing::default();
        assert_eq!(size(unset, None, None), (4, 8192));
        assert_eq!(size(unset, None, Some(2048)), (4, 2048));
        assert_eq!(size(unset, Some(&desired), Some(131_072)), (2, 32_768));
        assert_eq!(size(Sizing { slots: Some(1), ctx_size: Some(4096) }, Some(&desired), Some(131_072)), (1, 4096));
        assert_eq!(size(unset, Some(&DesiredModel { ctx_size: Some(0), slots: Some(0), ..desired }), None), (1, 8192));
    }

    #[test]
    fn slots_beyond_the_engine_limit_are_ignored() {
        let unset = Sizing::default();
        for slots in [MAX_SLOTS + 1, 100_000_000, u32::MAX] {
            let desired = DesiredModel { model: "m".into(), ctx_size: Some(u32::MAX), slots: Some(slots) };
            assert_eq!(size(unset, Some(&desired), Some(4096)), (4, 4096));
            let operator = Sizing { slots: Some(slots), ctx_size: None };
            assert_eq!(size(operator, Some(&desired), Some(4096)).0, MAX_SLOTS);
        }
    }
}
