//! The answer to `GET /slots`.

use serde::Deserialize;

/// One slot of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its number, from zero.
    pub id: u32,
    /// Its context, in tokens.
    pub n_ctx: u32,
    /// Whether it has a request.
    pub is_processing: bool,
    /// Number of its request (or of the last one); unknown before the first use.
    pub task: Option<u64>,
    /// Prompt tokens of its request (or of the last one); unknown before the first use.
    pub prompt_tokens: Option<u64>,
    /// Prompt tokens that have been processed.
    pub processed: Option<u64>,
    /// Tokens generated for that request so far; unknown before the first use.
    pub decoded: Option<u64>,
}

impl Slot {
    /// Parses the body of the answer.
    pub(crate) fn parse_all(body: &[u8]) -> Option<Vec<Self>> {
        let wire: Vec<SlotMessage> = serde_json::from_slice(body).ok()?;
        let slots = wire.into_iter().map(|slot| Self {
            id: slot.id,
            n_ctx: slot.n_ctx,
            is_processing: slot.is_processing,
            task: slot.id_task,
            prompt_tokens: slot.n_prompt_tokens,
            processed: slot.n_prompt_tokens_processed,
            decoded: slot.next_token.and_then(|next| next.into_iter().next()).and_then(|next| next.n_decoded),
        });
        Some(slots.collect())
    }
}

#[derive(Deserialize)]
struct SlotMessage {
    id: u32,
    n_ctx: u32,
    is_processing: bool,
    id_task: Option<u64>,
    n_prompt_tokens: Option<u64>,
    n_prompt_tokens_processed: Option<u64>,
    next_token: Option<Vec<Next>>,
}

#[derive(Deserialize)]
struct Next {
    n_decoded: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_and_used_slots_are_read() {
        let body = br#"[{"id":0,"n_ctx":1024,"speculative":false,"is_processing":false},
            {"id":1,"n_ctx":1024,"is_processing":true,"id_task":148,"n_prompt_tokens":25,"n_prompt_tokens_processed":12,"params":{"seed":1},
             "next_token":[{"has_next_token":true,"n_remain":-1,"n_decoded":7}]}]"#;
        let slots = Slot::parse_all(body).unwrap();
        assert_eq!((slots[0].id, slots[0].n_ctx, slots[0].is_processing, slots[0].decoded), (0, 1024, false, None));
        assert_eq!((slots[1].task, slots[1].processed), (Some(148), Some(12)));
        assert_eq!((slots[1].is_processing, slots[1].prompt_tokens, slots[1].decoded), (true, Some(25), Some(7)));
        assert_eq!(Slot::parse_all(b"{}"), None);
    }
}
