//! The engine's answer as it grows: chunks in, transcript and terminal message out.

use std::borrow::Cow;
use std::ops::Range;

use auxot_llama::{Assembler, Chunk, Markers, Piece, PromptProgress, Timings, Usage, is_done};
use auxot_protocol::{Complete, FunctionCall, Job, Json, ToolCall};
use serde_json::value::RawValue;

use crate::jobs::logprobs::Logprobs;
use crate::jobs::outcome::Outcome;
use crate::jobs::transcript::{Channel, Transcript};
use crate::report::PromptTokens;

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
    /// The empty answer to a job.
    pub(crate) fn blank(job: &Job, text_markers: bool) -> Self {
        let hides_reasoning = job.reasoning_effort.as_deref().is_some_and(|effort| effort.eq_ignore_ascii_case("none"));
        Self::new(!hides_reasoning, text_markers, job.tools.as_deref())
    }

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

    /// Whether there is output that a second attempt would repeat.
    pub(crate) fn has_begun(&self) -> bool {
        self.transcript.len() > 0 || self.has_calls || self.withheld.as_ref().is_some_and(|text| !text.is_empty())
    }

    /// Whether the engine has sent the end of its stream.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The part of a slice of the text that fits into one message with its `logprobs`.
    pub(crate) fn fit(&self, slice: Range<usize>) -> Range<usize> {
        self.logprobs.fit(slice)
    }

    /// The `logprobs` of a slice of the text.
    pub(crate) fn logprobs(&self, slice: &Range<usize>) -> Option<Json> {
        self.logprobs.of(slice)
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.has_calls
    }

    /// The newest prompt progress that was not taken yet.
    pub(crate) fn take_progress(&mut self) -> Option<PromptProgress> {
        self.progress.take()
    }

    /// Tokens generated: the engine's count, or the number of pieces received.
    pub(crate) fn tokens(&self) -> u64 {
        let reported = self.timings.map(|timings| timings.predicted_n).or(self.usage.map(|usage| usage.completion));
        reported.unwrap_or(self.tokens)
    }

    /// Tokens of the prompt, where the engine has counted them.
    pub(crate) fn prompt_tokens(&self) -> PromptTokens {
        let (timings, usage) = (self.timings.as_ref(), self.usage.as_ref());
        let cached = timings.and_then(|timings| timings.cache_n);
        let cached = cached.or_else(|| usage.and_then(|usage| usage.cached(timings)));
        let whole_prompt = || usage.map(|usage| usage.prompt.saturating_sub(cached.unwrap_or_default()));
        PromptTokens { processed: timings.map(|timings| timings.prompt_n).or_else(whole_prompt), cached }
    }

    /// The `complete` message. Tool calls whose arguments are not a JSON object are never sent.
    pub(crate) fn complete<'a>(&'a mut self, job_id: &'a str) -> Result<Complete<'a>, Outcome> {
        let tool_calls = self.take_calls()?;
        let (timings, usage) = (self.timings.as_ref(), self.usage.as_ref());
        let prompt = self.prompt_tokens();
        let reasoning = self.transcript.all(Channel::Reasoning);
        Ok(Complete {
            job_id: Cow::Borrowed(job_id),
            full_response: self.transcript.all(Channel::Visible),
            reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
            duration_ms: timings.map(|timings| (timings.prompt_ms + timings.predicted_ms) as u64),
            cache_tokens: prompt.cached,
            input_tokens: prompt.processed,
            output_tokens: timings.map(|timings| timings.predicted_n).or(usage.map(|usage| usage.completion)),
            reasoning_tokens: Some(self.transcript.reasoning_pieces()).filter(|pieces| *pieces > 0),
            tool_calls,
            finish_reason: self.finish_reason.as_deref().map(Cow::Borrowed),
            logprobs: self.logprobs.all(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn after_events(mut answer: Answer, events: &[&str]) -> Result<Answer, Outcome> {
        for event in events {
            answer.push_event(event.as_bytes())?;
        }
        answer.close()?;
        Ok(answer)
    }

    fn text(content: &str) -> String {
        serde_json::json!({"choices":[{"index":0,"delta":{"content":content}}]}).to_string()
    }

    fn plain() -> Answer {
        Answer::new(true, false, None)
    }

    #[test]
    fn a_stream_becomes_one_complete_message() {
        let events = [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
            &text("A "),
            &text("cat."),
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"timings":{"cache_n":3,"prompt_n":7,"prompt_ms":10.9,"predicted_n":4,"predicted_ms":20.9}}"#,
            "[DONE]",
        ];
        let mut answer = after_events(plain(), &events).unwrap();
        let complete = answer.complete("j").unwrap();
        assert_eq!((&*complete.full_response, complete.reasoning_content.as_deref()), ("A cat.", Some("hm")));
        assert_eq!((complete.cache_tokens, complete.input_tokens, complete.output_tokens), (Some(3), Some(7), Some(4)));
        assert_eq!((complete.duration_ms, complete.reasoning_tokens), (Some(31), Some(1)));
        assert_eq!(complete.finish_reason.as_deref(), Some("stop"));
    }

    #[test]
    fn an_engine_without_timings_is_counted_by_its_usage() {
        let last = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"timings":{"prompt_n":7,"prompt_ms":1.0,"predicted_n":4,"predicted_ms":2.0}}"#;
        let usage = |cached: &str| {
            format!(
                r#"{{"choices":[],"usage":{{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14{cached}}}}}"#
            )
        };
        let counts = |events: &[&str]| {
            let mut answer = after_events(plain(), events).unwrap();
            let complete = answer.complete("j").unwrap();
            (complete.cache_tokens, complete.input_tokens, complete.output_tokens)
        };
        let reported = usage(r#","prompt_tokens_details":{"cached_tokens":3}"#);
        assert_eq!(counts(&[last, "[DONE]"]), (None, Some(7), Some(4)), "unknown is not none");
        assert_eq!(counts(&[last, &usage(""), "[DONE]"]), (Some(3), Some(7), Some(4)));
        assert_eq!(counts(&[&text("A"), &reported, "[DONE]"]), (Some(3), Some(7), Some(4)), "without timings");
    }

    #[test]
    fn a_tool_call_that_was_cut_at_the_limit_is_a_success_that_reports_it() {
        let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":\"b"}}]}}]}"#;
        let cut = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
        let mut answer = after_events(plain(), &[&text("Let me"), call, cut, "[DONE]"]).unwrap();
        let complete = answer.complete("j").unwrap();
        assert_eq!((&*complete.full_response, complete.finish_reason.as_deref()), ("Let me", Some("length")));
        assert!(complete.tool_calls.is_empty());
    }

    #[test]
    fn an_end_without_a_reason_is_an_error() {
        assert!(matches!(after_events(plain(), &[&text("A")]), Err(Outcome::EngineGone { after_text: true })));
        assert!(matches!(after_events(plain(), &[]), Err(Outcome::EngineGone { after_text: false })));
        assert!(after_events(plain(), &["[DONE]"]).is_ok(), "an empty answer is one");
    }

    #[test]
    fn an_error_in_the_stream_ends_the_job() {
        let error = r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#;
        assert!(
            matches!(after_events(plain(), &[&text("A"), error]), Err(Outcome::EngineFailed(error)) if error.status == 500)
        );
    }

    #[test]
    fn unwanted_reasoning_is_dropped_in_every_place() {
        let quiet = || Answer::new(false, false, None);
        let thought = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"think"}}]}"#;
        let mut answer = after_events(quiet(), &[thought, &text("Hello"), "[DONE]"]).unwrap();
        assert_eq!(answer.complete("j").unwrap().full_response, "Hello");
        let mut answer =
            after_events(quiet(), &[&text("<thi"), &text("nk>hm</th"), &text("ink>Hel"), &text("lo"), "[DONE]"])
                .unwrap();
        let complete = answer.complete("j").unwrap();
        assert_eq!((&*complete.full_response, complete.reasoning_content), ("Hello", None));
        let mut answer = after_events(quiet(), &[&text("\n"), &text("\n Hel"), &text("\n\nlo"), "[DONE]"]).unwrap();
        assert_eq!(answer.complete("j").unwrap().full_response, "Hel\n\nlo", "no blank lines where it was");
        let mut answer = after_events(quiet(), &[thought, "[DONE]"]).unwrap();
        assert_eq!(answer.complete("j").unwrap().full_response, "think", "there is no other text");
    }

    #[test]
    fn markers_are_parsed_only_when_they_are_switched_on() {
        let text_with_markers =
            "<think>a</think>b<tool_call><function=f><parameter=x>1</parameter></function></tool_call>";
        for at in 0..=text_with_markers.len() {
            let events = [text(&text_with_markers[..at]), text(&text_with_markers[at..]), "[DONE]".to_owned()];
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            let mut answer = after_events(Answer::new(true, true, None), &events).unwrap();
            let complete = answer.complete("j").unwrap();
            assert_eq!(
                (&*complete.full_response, complete.reasoning_content.as_deref()),
                ("b", Some("a")),
                "cut at {at}"
            );
            assert_eq!(complete.tool_calls.len(), 1, "cut at {at}");
        }
        let mut answer = after_events(plain(), &[&text(text_with_markers), "[DONE]"]).unwrap();
        assert_eq!(answer.complete("j").unwrap().full_response, text_with_markers, "and not otherwise");
    }

    #[test]
    fn a_call_that_was_cut_at_the_limit_is_not_a_fault() {
        let call = |arguments: &str| {
            serde_json::json!({"choices":[{"index":0,"delta":{"tool_calls":[
                {"index":0,"id":"a","type":"function","function":{"name":"f","arguments":arguments}}]}}]})
            .to_string()
        };
        let cut = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
        let mut answer = after_events(plain(), &[&text("so"), &call("{\"a\": [1,"), cut, "[DONE]"]).unwrap();
        let complete = answer.complete("j").unwrap();
        assert_eq!((complete.tool_calls.len(), complete.finish_reason.as_deref()), (0, Some("length")));
        let mut answer = after_events(plain(), &[&call("{}"), cut, "[DONE]"]).unwrap();
        assert_eq!(answer.complete("j").unwrap().tool_calls.len(), 1, "a whole one stays");
    }

    #[test]
    fn each_piece_of_text_has_its_logprobs_and_the_end_has_all() {
        let event = |token: &str| {
            format!(
                r#"{{"choices":[{{"finish_reason":null,"index":0,"delta":{{"content":"{token}"}},"logprobs":{{"content":[{{"token":"{token}","logprob":-0.5}}]}}}}]}}"#
            )
        };
        let list = |tokens: &[&str]| {
            let entries: Vec<String> =
                tokens.iter().map(|token| format!(r#"{{"token":"{token}","logprob":-0.5}}"#)).collect();
            format!(r#"{{"content":[{}]}}"#, entries.join(","))
        };
        let mut answer =
            after_events(plain(), &[&event("a"), &event(""), &event("b"), &event("c"), &event(""), "[DONE]"]).unwrap();
        let of = |from, upto| answer.logprobs(&(from..upto)).map(|logprobs| logprobs.0.get().to_owned());
        assert_eq!((of(0, 1), of(1, 2)), (Some(list(&["a"])), Some(list(&["", "b"]))));
        assert_eq!(of(1, 3), Some(list(&["", "b", "c"])), "pieces that go together");
        assert_eq!((of(0, 0), of(3, 3)), (None, None));
        let logprobs = answer.complete("j").unwrap().logprobs.unwrap();
        assert_eq!(logprobs.0.get(), list(&["a", "", "b", "c", ""]));
        let mut without = after_events(plain(), &[&text("a"), "[DONE]"]).unwrap();
        assert_eq!((without.logprobs(&(0..1)), without.complete("j").unwrap().logprobs), (None, None));
    }

    #[test]
    fn a_call_whose_arguments_are_not_an_object_is_never_sent() {
        let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"[1]"}}]}}]}"#;
        let mut answer = after_events(plain(), &[call, "[DONE]"]).unwrap();
        assert!(matches!(answer.complete("j"), Err(Outcome::BadToolCall { tool }) if tool == "f"));
    }
}
