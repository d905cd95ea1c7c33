//! The most text that one slot of a model can hold, known before the model is loaded.

use auxot_catalog::Model;

/// The most text that one slot can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimit {
    /// Bytes of text, whatever its content.
    pub bytes: u64,
    /// Tokens of its context.
    pub ctx: u32,
}

impl TextLimit {
    /// The limit for a context of this many tokens; `None` where the tokenizer sets no bound.
    pub(crate) fn of(model: &Model, ctx: u32) -> Option<Self> {
        let bytes = model.header.longest_token()?.saturating_mul(ctx.into());
        (ctx > 0).then_some(Self { bytes, ctx })
    }
}
