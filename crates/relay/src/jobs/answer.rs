//! The engine's answer as it grows: chunks in, transcript and terminal message out.

use std::borrow::Cow;

use auxot_llama::{Assembler, Chunk, Markers, Piece, PromptProgress, Timings, TokenCounts, Usage, is_done};
use auxot_protocol::{Complete, FunctionCall, ToRouter, Token, ToolCall};
use serde_json::value::RawValue;

use crate::config::Config;
use crate::jobs::logprobs::Logprobs;
use crate::jobs::outcome::Outcome;
use crate::jobs::output::JobOutput;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::sink::JobMessage;
use crate::jobs::transcript::{Channel, Transcript};

/// The most bytes of an answer: no context window holds so much text.
const MAX_TEXT: usize = 64 << 20;

/// The engine's finish reason for an answer that reached its limit.
const CUT: &str = "length";

/// All that the engine has sent for one job.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    transcript: Transcript,
    calls: Assembler,
    has_calls: bool,
    /// Parses reasoning and tool calls in the text, when the engine may have left them there.
    markers: Option<Markers>,
    marked_calls: Vec<auxot_llama::ToolCall>,
    /// With reasoning switched off, the chain of thought is stored here and sent only when there is no other text.
    withheld: Option<String>,
    finish_reason: Option<String>,
    logprobs: Logprobs,
    timings: Option<Timings>,
    usage: Option<Usage>,
    progress: Option<PromptProgress>,
    done: bool,
    tokens: u64,
}

impl Answer {
    /// An empty answer. `show_reasoning` is false for jobs with effort `none`.
    ///
    /// With reasoning switched off the measured engine leaves `<think>` in the text, so the markers are parsed then, and for
    /// every job when `router.text_markers` is on.
    fn new(show_reasoning: bool, read_markers: bool, tools: Option<&RawValue>) -> Self {
        Self {
            withheld: (!show_reasoning).then(String::new),
            markers: (read_markers || !show_reasoning).then(|| Markers::new(tools)),
            ..Self::default()
        }
    }

    /// Adds the data of one event.
    pub(crate) fn push_event(&mut self, data: &[u8]) -> Result<(), Outcome> {
        if is_done(data) {
            self.done = true;
            return Ok(());
        }
        let chunk = Chunk::parse(data).map_err(|error| Outcome::Unreadable(error.to_string()))?;
        if let Some(error) = chunk.error {
            return Err(Outcome::EngineFailed(error));
        }
        if let Some(text) = &chunk.reasoning {
            self.tokens += 1;
            self.push_reasoning(text);
        }
        if let Some(text) = &chunk.content {
            self.tokens += 1;
            match &mut self.markers {
                Some(markers) if !markers.passes(text) => {
                    let pieces = markers.feed(text);
                    self.take_pieces(pieces);
                }
                _ => self.push_visible(text),
            }
        }
        for delta in &chunk.tool_calls {
            self.has_calls = true;
            self.calls.push(delta);
        }
        if let Some(reason) = chunk.finish_reason {
            self.finish_reason = Some(reason.into_owned());
        }
        if let Some(logprobs) = chunk.logprobs {
            self.logprobs.take(logprobs)?;
        }
        self.logprobs.assign_to_text(self.transcript.len());
        self.timings = chunk.timings.or(self.timings);
        self.usage = chunk.usage.or(self.usage);
        if chunk.prompt_progress.is_some() {
            self.progress = chunk.prompt_progress;
        }
        if self.transcript.len() > MAX_TEXT {
            return Err(Outcome::Unreadable(format!("the answer is longer than {MAX_TEXT} bytes")));
        }
        Ok(())
    }

    /// The engine's stream has ended; an error when it was cut.
    pub(crate) fn close(&mut self) -> Result<(), Outcome> {
        if !self.done && self.finish_reason.is_none() {
            return Err(Outcome::EngineGone { after_text: self.has_begun() });
        }
        if let Some(markers) = self.markers.take() {
            self.take_pieces(markers.finish());
        }
        if let Some(withheld) = self.withheld.take()
            && self.transcript.len() == 0
            && !self.has_calls
        {
            self.transcript.push(Channel::Visible, withheld.trim());
        }
        Ok(())
    }

    fn push_visible(&mut self, text: &str) {
        // Reasoning that was switched off leaves blank lines in its place.
        let begins = self.withheld.is_some() && self.transcript.len() == 0;
        self.transcript.push(Channel::Visible, if begins { text.trim_start() } else { text });
    }

    fn push_reasoning(&mut self, text: &str) {
        match &mut self.withheld {
            Some(withheld) => withheld.push_str(text),
            None => self.transcript.push(Channel::Reasoning, text),
        }
    }

    fn take_pieces(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Visible(text) => self.push_visible(&text),
                Piece::Reasoning(text) => self.push_reasoning(&text),
                Piece::Call(call) => {
                    self.has_calls = true;
                    self.marked_calls.push(call);
                }
            }
        }
    }

    /// Whether the engine has sent the end of its stream.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.has_calls
    }

    /// The newest prompt progress that was not taken yet.
    pub(crate) fn take_progress(&mut self) -> Option<PromptProgress> {
        self.progress.take()
    }

    /// The `complete` message. Tool calls whose arguments are not a JSON object are never sent.
    fn completed<'a>(&'a mut self, job_id: &'a str) -> Result<Complete<'a>, Outcome> {
        let tool_calls = self.take_calls()?;
        let (timings, usage) = (self.timings.as_ref(), self.usage.as_ref());
        let tokens = JobOutput::tokens(self);
        let reasoning = self.transcript.all(Channel::Reasoning);
        Ok(Complete {
            job_id: Cow::Borrowed(job_id),
            full_response: self.transcript.all(Channel::Visible),
            reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
            duration_ms: timings.map(|timings| (timings.prompt_ms + timings.predicted_ms) as u64),
            cache_tokens: tokens.cached,
            input_tokens: tokens.processed,
            output_tokens: timings.map(|timings| timings.predicted_n).or(usage.map(|usage| usage.completion)),
            reasoning_tokens: Some(self.transcript.reasoning_pieces()).filter(|pieces| *pieces > 0),
            tool_calls,
            finish_reason: self.finish_reason.as_deref().map(Cow::Borrowed),
            logprobs: self.logprobs.all(),
            length: None,
        })
    }

    /// The tool calls, from the engine's events and from the text.
    fn take_calls(&mut self) -> Result<Vec<ToolCall>, Outcome> {
        if !self.has_calls {
            return Ok(Vec::new());
        }
        let calls = std::mem::take(&mut self.calls);
        let mut calls = if self.finish_reason.as_deref() == Some(CUT) {
            // The answer has the length that the caller asked for; its complete tool calls are sent.
            calls.finish_cut()
        } else {
            calls.finish().map_err(|bad| Outcome::BadToolCall { tool: bad.name })?
        };
        calls.append(&mut self.marked_calls);
        let call = |call: auxot_llama::ToolCall| ToolCall {
            id: call.id,
            kind: call.kind,
            function: FunctionCall { name: call.name, arguments: call.arguments },
        };
        Ok(calls.into_iter().map(call).collect())
    }
}

impl JobOutput for Answer {
    const IS_WHOLE_AT_END: bool = true;

    fn blank(parsed: &ParsedJob, config: &Config) -> Self {
        let job = &parsed.job;
        let hides_reasoning = job.reasoning_effort.as_deref().is_some_and(|effort| effort.eq_ignore_ascii_case("none"));
        Self::new(!hides_reasoning, config.text_markers, job.tools.as_deref())
    }

    fn end(&self) -> usize {
        self.transcript.len()
    }

    fn message(&self, job_id: &str, from: usize) -> Option<(JobMessage, usize)> {
        let (channel, range) = self.transcript.after(from)?;
        let range = self.logprobs.fit(range);
        let upto = range.end;
        let token = Token {
            job_id: job_id.into(),
            logprobs: self.logprobs.of(&range),
            token: self.transcript.slice(range).into(),
            reasoning: channel == Channel::Reasoning,
        };
        Some((JobMessage::Text(ToRouter::Token(token).to_frame().into()), upto))
    }

    fn complete(&mut self, job_id: &str) -> Result<String, Outcome> {
        let complete = self.completed(job_id)?;
        Ok(ToRouter::Complete(Box::new(complete)).to_frame())
    }

    fn has_begun(&self) -> bool {
        self.transcript.len() > 0 || self.has_calls || self.withheld.as_ref().is_some_and(|text| !text.is_empty())
    }

    /// The engine's count, or the number of pieces received.
    fn tokens(&self) -> TokenCounts {
        let (timings, usage) = (self.timings.as_ref(), self.usage.as_ref());
        let reported = timings.map(|timings| timings.predicted_n).or(usage.map(|usage| usage.completion));
        let cached = timings.and_then(|timings| timings.cache_n);
        let cached = cached.or_else(|| usage.and_then(|usage| usage.cached(timings)));
        let whole_prompt = || usage.map(|usage| usage.prompt.saturating_sub(cached.unwrap_or_default()));
        let processed = timings.map(|timings| timings.prompt_n).or_else(whole_prompt);
        TokenCounts { generated: Some(reported.unwrap_or(self.tokens)), processed, cached }
    }
}

#[cfg(test)]
mod tests;
