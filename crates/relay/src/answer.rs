//! The engine's answer as it grows: chunks in, a transcript and the terminal message out.

use std::borrow::Cow;

use auxot_llama::{Assembler, Chunk, PromptProgress, Timings, is_done};
use auxot_protocol::{Complete, FunctionCall, ToolCall};

use crate::ending::Ending;
use crate::transcript::{Channel, Transcript};

/// An answer longer than this is a runaway: no context window holds so much text.
const MAX_TEXT: usize = 64 << 20;

/// Everything the engine has said in one job.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    transcript: Transcript,
    calls: Assembler,
    has_calls: bool,
    /// With reasoning switched off, stray chain of thought is kept here and shown only if nothing else was said.
    withheld: Option<String>,
    finish_reason: Option<String>,
    timings: Option<Timings>,
    progress: Option<PromptProgress>,
    done: bool,
    tokens: u64,
}

impl Answer {
    /// An answer that has not begun. `show_reasoning` is false for jobs with effort `none`.
    pub(crate) fn new(show_reasoning: bool) -> Self {
        Self { withheld: (!show_reasoning).then(String::new), ..Self::default() }
    }

    /// Takes in one event's data.
    pub(crate) fn hear(&mut self, data: &[u8]) -> Result<(), Ending> {
        if is_done(data) {
            self.done = true;
            return Ok(());
        }
        let chunk = Chunk::parse(data).map_err(|error| Ending::Unreadable(error.to_string()))?;
        if let Some(error) = chunk.error {
            return Err(Ending::EngineFailed(error));
        }
        if let Some(text) = &chunk.reasoning {
            self.tokens += 1;
            match &mut self.withheld {
                Some(withheld) => withheld.push_str(text),
                None => self.transcript.push(Channel::Reasoning, text),
            }
        }
        if let Some(text) = &chunk.content {
            self.tokens += 1;
            self.transcript.push(Channel::Visible, text);
        }
        for delta in &chunk.tool_calls {
            self.has_calls = true;
            self.calls.push(delta);
        }
        if let Some(reason) = chunk.finish_reason {
            self.finish_reason = Some(reason.into_owned());
        }
        if chunk.timings.is_some() {
            self.timings = chunk.timings;
        }
        if chunk.prompt_progress.is_some() {
            self.progress = chunk.prompt_progress;
        }
        if self.transcript.len() > MAX_TEXT {
            return Err(Ending::Unreadable(format!("the answer is longer than {MAX_TEXT} bytes")));
        }
        Ok(())
    }

    /// The engine's stream has ended; whether that was its own end or a cut.
    pub(crate) fn close(&mut self) -> Result<(), Ending> {
        if !self.done && self.finish_reason.is_none() {
            return Err(Ending::EngineGone { after_text: self.has_begun() });
        }
        if let Some(withheld) = self.withheld.take()
            && self.transcript.len() == 0
        {
            self.transcript.push(Channel::Visible, withheld.trim());
        }
        Ok(())
    }

    /// Whether anything has been said that a second attempt would say again.
    pub(crate) fn has_begun(&self) -> bool {
        self.transcript.len() > 0 || self.has_calls || self.withheld.as_ref().is_some_and(|text| !text.is_empty())
    }

    pub(crate) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.has_calls
    }

    /// The newest prompt progress not yet taken.
    pub(crate) fn take_progress(&mut self) -> Option<PromptProgress> {
        self.progress.take()
    }

    /// Tokens generated: the engine's own count, or the pieces heard so far.
    pub(crate) fn tokens(&self) -> u64 {
        self.timings.as_ref().map_or(self.tokens, |timings| timings.predicted_n)
    }

    /// The good end's message. Calls whose arguments are no JSON object never leave the worker.
    pub(crate) fn complete<'a>(&'a mut self, job_id: &'a str) -> Result<Complete<'a>, Ending> {
        let calls = std::mem::take(&mut self.calls);
        let calls = calls.finish().map_err(|bad| Ending::BadToolCall { tool: bad.name })?;
        let timings = self.timings.as_ref();
        let reasoning = self.transcript.all(Channel::Reasoning);
        Ok(Complete {
            job_id: Cow::Borrowed(job_id),
            full_response: self.transcript.all(Channel::Visible),
            reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
            duration_ms: timings.map(|timings| (timings.prompt_ms + timings.predicted_ms) as u64),
            cache_tokens: timings.map(|timings| timings.cache_n),
            input_tokens: timings.map(|timings| timings.prompt_n),
            output_tokens: timings.map(|timings| timings.predicted_n),
            reasoning_tokens: Some(self.transcript.reasoning_pieces()).filter(|pieces| *pieces > 0),
            tool_calls: calls
                .into_iter()
                .map(|call| ToolCall {
                    id: call.id,
                    kind: call.kind,
                    function: FunctionCall { name: call.name, arguments: call.arguments },
                })
                .collect(),
            finish_reason: self.finish_reason.as_deref().map(Cow::Borrowed),
        })
    }
}
