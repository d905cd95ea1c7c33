//! How much text a model can hold, known before anything is loaded for it.

use auxot_catalog::Model;

/// The most that one slot can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimit {
    /// Bytes of text, whatever they say.
    pub bytes: u64,
    /// The tokens of its context.
    pub ctx: u32,
}

impl TextLimit {
    /// The most text for a context of so many tokens; nothing where the tokenizer sets no bound.
    pub(crate) fn of(model: &Model, ctx: u32) -> Option<Self> {
        let bytes = model.header.longest_token()?.saturating_mul(ctx.into());
        (ctx > 0).then_some(Self { bytes, ctx })
    }
}
