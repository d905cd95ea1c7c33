//! The answer of one job: the link writes it, the client's connection reads it.
//!
//! No operation waits. A writer appends and wakes the reader; a reader takes what is there. Both hold the lock for one
//! copy of one piece of text.

mod chat_output;
mod client_side;
mod engine_output;
mod provided;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use auxot_protocol::{AnswerData, AnswerHead, Complete, Json};
use tokio::time::Instant as Clock;

use crate::chunks::{Channel, Chunks};
use crate::failure::Failure;
use crate::transcript::{AnswerDiffers, Transcript};
use auxot_access::{Budget, BudgetShare};
use chat_output::StreamOutput;
pub(crate) use chat_output::WholeAnswer;
pub(crate) use client_side::{Begun, StreamStep};
pub(crate) use engine_output::EngineHead;
use engine_output::{EngineOutput, Mismatch};

/// While all clients together have too much unread text, a client with no more than this keeps its job.
const FAIR_UNREAD: usize = 64 * 1024;

/// The bytes of a token: four in English, fewer in most other text.
const BYTES_OF_TOKEN: u64 = 4;

/// Bounds for text that clients have not read yet.
#[derive(Debug, Clone)]
pub(crate) struct UnreadLimits {
    /// Bytes for one client.
    pub(crate) each: usize,
    /// Bytes for all clients together.
    pub(crate) all: Arc<Budget>,
}

/// The answer of one job, shared by its link and its client.
#[derive(Debug)]
pub(crate) struct JobAnswer {
    state: Mutex<AnswerState>,
    max_unread: usize,
}

#[derive(Debug)]
struct AnswerState {
    output: Output,
    /// The other form of a chat's answer; the worker that gets the job decides between the two.
    other: Option<Output>,
    /// A provider has or had the job.
    dispatched: bool,
    /// The provider beside the workers that has the job.
    provider: Option<Arc<str>>,
    /// The client has the HTTP head: a failure can now be reported only inside the stream.
    head_sent: bool,
    ended: bool,
    /// The failure, where it can still be reported by an HTTP status.
    failure: Option<Failure>,
    first_text: Option<Instant>,
    /// Bytes of text so far.
    text_bytes: u64,
    /// Time of the last message about the job.
    last_activity: Clock,
    reader: Option<Waker>,
    /// A provider that waits until the client has taken something.
    writer: Option<Waker>,
    /// Part of the budget for unread text of all clients.
    share: BudgetShare,
}

/// Where the text goes.
#[derive(Debug)]
enum Output {
    Stream(Box<StreamOutput>),
    Whole(Box<WholeAnswer>),
    /// The engine's own answer.
    Engine(Box<EngineOutput>),
}

/// The unread text exceeds its bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooSlow;

impl JobAnswer {
    /// An answer to a chat, for a client that streams.
    pub(crate) fn stream(chunks: Chunks, unread: UnreadLimits) -> Self {
        let stream =
            StreamOutput { chunks, answer: Transcript::default(), reasoning: Transcript::default(), first_run: true };
        Self::new(Output::Stream(Box::new(stream)), Some(Output::Engine(Box::default())), unread)
    }

    /// An answer to a chat, for a client that waits for the end.
    pub(crate) fn whole(unread: UnreadLimits) -> Self {
        Self::new(Output::Whole(Box::default()), Some(Output::Engine(Box::default())), unread)
    }

    /// An answer for a client that gets the engine's own.
    pub(crate) fn engine(unread: UnreadLimits) -> Self {
        Self::new(Output::Engine(Box::default()), None, unread)
    }

    fn new(output: Output, other: Option<Output>, unread: UnreadLimits) -> Self {
        let state = AnswerState {
            output,
            other,
            dispatched: false,
            provider: None,
            head_sent: false,
            ended: false,
            failure: None,
            first_text: None,
            text_bytes: 0,
            last_activity: Clock::now(),
            reader: None,
            writer: None,
            share: BudgetShare::of(unread.all),
        };
        Self { state: Mutex::new(state), max_unread: unread.each }
    }

    fn state(&self) -> MutexGuard<'_, AnswerState> {
        // A panic between two pushes loses at most one piece of text; the end of the job is still reported.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job goes to a worker for the `attempt`th time; `reported_model` is the name of the model there. Returns whether
    /// the worker gets the whole request: where it can, unless the client has a part of the other form already.
    pub(crate) fn dispatched(&self, attempt: u32, reported_model: &str, takes_whole: bool) -> bool {
        let mut state = self.state();
        state.dispatched = true;
        state.provider = None;
        state.last_activity = Clock::now();
        state.choose(takes_whole);
        let is_whole = takes_whole && matches!(state.output, Output::Engine(_));
        match &mut state.output {
            Output::Stream(stream) => {
                stream.first_run = attempt == 1;
                if attempt > 1 {
                    stream.answer.begin_again();
                    stream.reasoning.begin_again();
                }
                stream.chunks.set_model(reported_model);
            }
            Output::Whole(whole) => {
                if attempt > 1 {
                    **whole = WholeAnswer::default();
                }
                whole.model = Some(reported_model.to_owned());
                if attempt > 1 {
                    state.share.clear();
                }
            }
            // The head shows whether the answer is another one. A chat in place of what the client has a part of is none.
            Output::Engine(_) => {}
        }
        is_whole
    }

    /// The worker still runs the job.
    pub(crate) fn touch(&self) {
        self.state().last_activity = Clock::now();
    }

    /// Time of the last message about the job; the time of the request until a worker has the job.
    pub(crate) fn last_activity(&self) -> Clock {
        self.state().last_activity
    }

    /// Appends text with its `logprobs`.
    pub(crate) fn text(&self, channel: Channel, text: &str, logprobs: Option<&Json>) -> Result<(), TooSlow> {
        let mut state = self.state();
        if state.ended || text.is_empty() {
            return Ok(());
        }
        state.last_activity = Clock::now();
        if state.first_text.is_none() {
            state.first_text = Some(state.last_activity.into_std());
        }
        state.text_bytes = state.text_bytes.saturating_add(text.len() as u64);
        let length = text.len() + logprobs.map_or(0, |logprobs| logprobs.0.get().len());
        let over_budget = !state.share.grow(length);
        let (unread, reader) = match &mut state.output {
            Output::Stream(stream) => {
                stream.push(channel, text);
                if let Some(logprobs) = logprobs.filter(|_| stream.first_run) {
                    stream.chunks.logprobs(logprobs);
                }
                (stream.chunks.unread(), state.reader.take())
            }
            Output::Whole(whole) => {
                match channel {
                    Channel::Answer => whole.answer.push_str(text),
                    Channel::Reasoning => whole.reasoning.push_str(text),
                }
                // No wake-up: this reader waits for the end.
                (whole.answer.len() + whole.reasoning.len(), None)
            }
            // A worker that sends text in place of the engine's answer is at fault; its end shows that.
            Output::Engine(_) => (0, None),
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if unread > self.max_unread || (over_budget && unread > FAIR_UNREAD) { Err(TooSlow) } else { Ok(()) }
    }

    /// Takes the head of the engine's answer.
    pub(crate) fn head(&self, head: AnswerHead<'_>) -> Result<(), Failure> {
        self.engine_output(|output, _| output.begin(head))
    }

    /// Takes bytes of the engine's answer.
    pub(crate) fn data(&self, data: AnswerData) -> Result<(), Failure> {
        self.engine_output(|output, share| {
            let fresh = output.push(data)?;
            // Each answer is bounded by its window; all together by the budget.
            if share.grow(fresh) { Ok(()) } else { Err(Mismatch::Broken) }
        })
    }

    fn engine_output(
        &self,
        change: impl FnOnce(&mut EngineOutput, &mut BudgetShare) -> Result<(), Mismatch>,
    ) -> Result<(), Failure> {
        let mut state = self.state();
        if state.ended {
            return Ok(());
        }
        state.last_activity = Clock::now();
        let now = state.last_activity.into_std();
        state.first_text.get_or_insert(now);
        let AnswerState { output, share, .. } = &mut *state;
        let Output::Engine(output) = output else { return Ok(()) };
        let changed = change(output, share);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        changed.map_err(|mismatch| match mismatch {
            Mismatch::OtherAnswer => Failure::Changed,
            Mismatch::Broken => Failure::Broken,
        })
    }

    /// The bytes received of the engine's answer; `None` for a chat.
    pub(crate) fn received(&self) -> Option<u64> {
        match &self.state().output {
            Output::Engine(output) => Some(output.received()),
            Output::Stream(_) | Output::Whole(_) => None,
        }
    }

    /// About how many tokens have come, where they are not counted: those of text by its bytes, those of a stream of events
    /// by its events. Those of another answer are not known before its end.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let state = self.state();
        match &state.output {
            Output::Engine(output) => output.estimated_events(),
            Output::Stream(_) | Output::Whole(_) => state.text_bytes / BYTES_OF_TOKEN,
        }
    }

    /// Ends the answer well, unless text of another answer has been sent already.
    pub(crate) fn complete(&self, complete: Complete<'static>) -> Result<(), Failure> {
        let mut state = self.state();
        if state.ended {
            return Ok(());
        }
        let outcome = match &mut state.output {
            Output::Stream(stream) => stream.complete(&complete).map_err(|AnswerDiffers| Failure::Changed),
            Output::Whole(whole) => {
                // A non-empty `full_response` replaces the streamed text: the worker trims and repairs it.
                if !complete.full_response.is_empty() {
                    whole.answer = complete.full_response.clone().into_owned();
                }
                if let Some(reasoning) = complete.reasoning_content.as_deref().filter(|text| !text.is_empty()) {
                    whole.reasoning = reasoning.to_owned();
                }
                whole.complete = complete;
                Ok(())
            }
            Output::Engine(output) if output.is_whole(complete.length) => Ok(()),
            Output::Engine(_) => Err(Failure::Broken),
        };
        match outcome {
            Ok(()) => state.end(None),
            Err(failure) => state.end(Some(failure.clone())).and(Err(failure)),
        }
    }

    /// Ends the answer with a failure.
    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.state();
        if !state.ended {
            let _ = state.end(Some(failure));
        }
    }

    /// Time of the first text.
    pub(crate) fn first_text(&self) -> Option<Instant> {
        self.state().first_text
    }

    /// Whether a provider has or had the job.
    pub(crate) fn was_dispatched(&self) -> bool {
        self.state().dispatched
    }
}

impl AnswerState {
    /// Chooses the form of the answer, where it can have both and the client has nothing of it.
    fn choose(&mut self, engine: bool) {
        let is_begun = match &self.output {
            Output::Stream(stream) => stream.chunks.has_begun(),
            Output::Whole(_) => false,
            Output::Engine(output) => output.has_begun(),
        };
        if is_begun || matches!(self.output, Output::Engine(_)) == engine {
            return;
        }
        if let Some(other) = self.other.take() {
            self.share.clear();
            let unused = std::mem::replace(&mut self.output, other);
            // What another worker has sent of an engine's answer is of no use.
            self.other = Some(if engine { unused } else { Output::Engine(Box::default()) });
        }
    }

    /// Ends the answer and wakes the client. Always `Ok`, so that it can end an expression.
    fn end(&mut self, failure: Option<Failure>) -> Result<(), Failure> {
        self.ended = true;
        if let Some(failure) = failure {
            match &mut self.output {
                Output::Stream(stream) if self.head_sent || stream.chunks.has_begun() => stream.chunks.fail(&failure),
                Output::Stream(_) | Output::Whole(_) | Output::Engine(_) => self.failure = Some(failure),
            }
        }
        for waiting in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waiting.wake();
        }
        Ok(())
    }

    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(context.waker()),
            None => self.reader = Some(context.waker().clone()),
        }
    }
}
