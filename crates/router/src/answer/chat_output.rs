//! The answer to a chat on its way to a client: chunks of a stream, or the whole.

use auxot_protocol::Complete;

use crate::chunks::{Channel, Chunks};
use crate::transcript::{AnswerDiffers, Transcript};

/// The answer to a client that streams.
#[derive(Debug)]
pub(super) struct StreamOutput {
    pub(super) chunks: Chunks,
    pub(super) answer: Transcript,
    pub(super) reasoning: Transcript,
    /// The job runs for the first time: each piece of text carries its own `logprobs`. Those of a later run come with
    /// its end.
    pub(super) first_run: bool,
}

/// An answer for a client that does not stream.
#[derive(Debug, Default)]
pub(crate) struct WholeAnswer {
    pub(crate) answer: String,
    pub(crate) reasoning: String,
    pub(crate) complete: Complete<'static>,
    /// Name of the model that answered, where the worker reports one.
    pub(crate) model: Option<String>,
}

impl StreamOutput {
    pub(super) fn push(&mut self, channel: Channel, text: &str) {
        let new_text = match channel {
            Channel::Answer => self.answer.feed(text),
            Channel::Reasoning => self.reasoning.feed(text),
        };
        self.chunks.text(channel, new_text);
    }

    pub(super) fn complete(&mut self, complete: &Complete<'_>) -> Result<(), AnswerDiffers> {
        let reasoning = complete.reasoning_content.as_deref().unwrap_or_default();
        let tail = self.reasoning.complete(reasoning)?;
        self.chunks.text(Channel::Reasoning, tail);
        let tail = self.answer.complete(&complete.full_response)?;
        self.chunks.text(Channel::Answer, tail);
        self.chunks.finish(complete);
        Ok(())
    }
}
