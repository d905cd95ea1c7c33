//! What the router wishes for, against what this host runs: pure comparison, one sentence for each gap.

use auxot_instance::{Ready, Spec};

/// The router's policy, as far as the fleet is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Name and quantisation; empty when the router does not care.
    pub model: String,
    /// Tokens per slot; `None` is the model's own.
    pub ctx_size: Option<u32>,
    /// Slots; `None` is the operator's.
    pub slots: Option<u32>,
}

/// Slots and context of one model, as the operator, else the router, else the model itself wants them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizing {
    /// Slots the operator asked for.
    pub slots: Option<u32>,
    /// Tokens per slot the operator asked for.
    pub ctx_size: Option<u32>,
}

/// Slots where nobody asks for a number.
const DEFAULT_SLOTS: u32 = 4;
/// Context per slot where nobody asks for a number: a model trained for 128k tokens would fill the host.
const DEFAULT_CTX: u32 = 8192;

/// The operator's word, then the router's, then the model's training length up to a bound.
pub(crate) fn size(operator: Sizing, wish: Option<&Wish>, trained: Option<u32>) -> (u32, u32) {
    let slots = operator.slots.or_else(|| wish.and_then(|wish| wish.slots)).unwrap_or(DEFAULT_SLOTS).max(1);
    let asked = operator.ctx_size.or_else(|| wish.and_then(|wish| wish.ctx_size)).filter(|tokens| *tokens > 0);
    let tokens = asked.unwrap_or(DEFAULT_CTX);
    (slots, trained.filter(|trained| *trained > 0).map_or(tokens, |trained| tokens.min(trained)))
}

/// What of the wish a running or planned engine does not honour.
pub(crate) fn gaps(wish: &Wish, spec: &Spec, ready: Option<&Ready>) -> Vec<String> {
    let slots = ready.map_or(spec.slots, |ready| ready.props.total_slots);
    let tokens = ready.map(|ready| ready.props.n_ctx).or(spec.ctx_per_slot);
    let mut gaps = Vec::new();
    if let Some(wanted) = wish.slots.filter(|wanted| *wanted != slots) {
        gaps.push(format!("policy wants {wanted} slots, {} has {slots}", spec.model));
    }
    // The engine rounds a context up to 256 tokens: more than wished for is no gap.
    if let (Some(wanted), Some(tokens)) = (wish.ctx_size.filter(|wanted| *wanted > 0), tokens)
        && tokens < wanted
    {
        gaps.push(format!("policy wants {wanted} tokens of context, {} has {tokens}", spec.model));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_wins_then_the_router_then_the_model() {
        let wish = Wish { model: "m".into(), ctx_size: Some(32_768), slots: Some(2) };
        let nobody = Sizing::default();
        assert_eq!(size(nobody, None, None), (4, 8192));
        assert_eq!(size(nobody, None, Some(2048)), (4, 2048));
        assert_eq!(size(nobody, Some(&wish), Some(131_072)), (2, 32_768));
        assert_eq!(size(Sizing { slots: Some(1), ctx_size: Some(4096) }, Some(&wish), Some(131_072)), (1, 4096));
        assert_eq!(size(nobody, Some(&Wish { ctx_size: Some(0), slots: Some(0), ..wish }), None), (1, 8192));
    }
}
