//! One job's answer between the link that writes it and the client that reads it.
//!
//! Nothing here waits: a writer adds and wakes, a reader takes what is there. Both hold the lock for one
//! copy of one piece of text.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use auxot_protocol::{Complete, Json};
use bytes::Bytes;
use tokio::time::Instant as Clock;

use crate::budget::{Budget, BudgetShare};
use crate::chunks::{Channel, Chunks};
use crate::failure::Failure;
use crate::transcript::{AnswerDiffers, Transcript};

/// While all clients together leave too much unread, one that leaves no more than this is not to blame.
const FAIR_UNREAD: usize = 64 * 1024;

/// How much text may wait for clients that do not read.
#[derive(Debug, Clone)]
pub(crate) struct UnreadLimits {
    /// For one client.
    pub(crate) each: usize,
    /// For all of them.
    pub(crate) all: Arc<Budget>,
}

/// The shared answer of one job.
#[derive(Debug)]
pub(crate) struct JobAnswer {
    state: Mutex<AnswerState>,
    max_unread: usize,
}

#[derive(Debug)]
struct AnswerState {
    output: Output,
    /// Some worker was dispatched the job.
    dispatched: bool,
    /// The client has our HTTP head: a failure must now be told inside the stream.
    head_sent: bool,
    ended: bool,
    /// Why it ended, where the client can still be told by a status.
    failure: Option<Failure>,
    first_text: Option<Instant>,
    /// When its worker was last last_activity of.
    last_activity: Clock,
    reader: Option<Waker>,
    /// Of the bound over the unread text of all clients.
    share: BudgetShare,
}

/// Where the text goes.
#[derive(Debug)]
enum Output {
    Stream(Box<StreamOutput>),
    Whole(Box<WholeAnswer>),
}

#[derive(Debug)]
struct StreamOutput {
    chunks: Chunks,
    answer: Transcript,
    reasoning: Transcript,
    /// It is the job's first run: each piece of text has its own `logprobs`. Those of a later run come with its end.
    first_run: bool,
}

/// An answer for a client that does not stream.
#[derive(Debug, Default)]
pub(crate) struct WholeAnswer {
    pub(crate) answer: String,
    pub(crate) reasoning: String,
    pub(crate) complete: Complete<'static>,
    /// The model that answered, where its worker names it.
    pub(crate) model: Option<String>,
}

/// What a streaming client gets next.
#[derive(Debug)]
pub(crate) enum StreamStep {
    Bytes(Bytes),
    Failed(Failure),
    End,
}

/// More unread text than allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooSlow;

impl JobAnswer {
    /// For a streaming client.
    pub(crate) fn stream(chunks: Chunks, unread: UnreadLimits) -> Self {
        let stream =
            StreamOutput { chunks, answer: Transcript::default(), reasoning: Transcript::default(), first_run: true };
        Self::new(Output::Stream(Box::new(stream)), unread)
    }

    /// For a client that waits for the end.
    pub(crate) fn whole(unread: UnreadLimits) -> Self {
        Self::new(Output::Whole(Box::default()), unread)
    }

    fn new(output: Output, unread: UnreadLimits) -> Self {
        let state = AnswerState {
            output,
            dispatched: false,
            head_sent: false,
            ended: false,
            failure: None,
            first_text: None,
            last_activity: Clock::now(),
            reader: None,
            share: BudgetShare::of(unread.all),
        };
        Self { state: Mutex::new(state), max_unread: unread.each }
    }

    fn state(&self) -> MutexGuard<'_, AnswerState> {
        // A panic between two pushes leaves at worst a piece of text short; the job's end is still told.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker was dispatched the job, for the `attempt`th time; `reported_model` is the model's name there.
    pub(crate) fn dispatched(&self, attempt: u32, reported_model: &str) {
        let mut state = self.state();
        state.dispatched = true;
        state.last_activity = Clock::now();
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
        }
    }

    /// Its worker goes on with it.
    pub(crate) fn touch(&self) {
        self.state().last_activity = Clock::now();
    }

    /// When its worker was last last_activity of; before it was dispatched to one, when it came.
    pub(crate) fn last_activity(&self) -> Clock {
        self.state().last_activity
    }

    /// Adds text, with the `logprobs` of it.
    pub(crate) fn text(&self, channel: Channel, text: &str, logprobs: Option<&Json>) -> Result<(), TooSlow> {
        let mut state = self.state();
        if state.ended || text.is_empty() {
            return Ok(());
        }
        state.last_activity = Clock::now();
        if state.first_text.is_none() {
            state.first_text = Some(state.last_activity.into_std());
        }
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
                // Nobody is woken: this reader waits for the end.
                (whole.answer.len() + whole.reasoning.len(), None)
            }
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if unread > self.max_unread || (over_budget && unread > FAIR_UNREAD) { Err(TooSlow) } else { Ok(()) }
    }

    /// The good end, unless text of another answer was sent already.
    pub(crate) fn complete(&self, complete: Complete<'static>) -> Result<(), Failure> {
        let mut state = self.state();
        if state.ended {
            return Ok(());
        }
        let outcome = match &mut state.output {
            Output::Stream(stream) => stream.complete(&complete).map_err(|AnswerDiffers| Failure::Changed),
            Output::Whole(whole) => {
                // The whole text counts where there is one: it has been trimmed and repaired by the worker.
                if !complete.full_response.is_empty() {
                    whole.answer = complete.full_response.clone().into_owned();
                }
                if let Some(reasoning) = complete.reasoning_content.as_deref().filter(|text| !text.is_empty()) {
                    whole.reasoning = reasoning.to_owned();
                }
                whole.complete = complete;
                Ok(())
            }
        };
        match outcome {
            Ok(()) => state.end(None),
            Err(failure) => state.end(Some(failure.clone())).and(Err(failure)),
        }
    }

    /// The bad end.
    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.state();
        if !state.ended {
            let _ = state.end(Some(failure));
        }
    }

    /// When the first text came.
    pub(crate) fn first_text(&self) -> Option<Instant> {
        self.state().first_text
    }

    /// Whether a worker has or had the job.
    pub(crate) fn was_dispatched(&self) -> bool {
        self.state().dispatched
    }

    /// From now on failures are told inside the stream.
    pub(crate) fn mark_head_sent(&self) {
        self.state().head_sent = true;
    }

    /// The next bytes for a streaming client.
    pub(crate) fn poll_step(&self, context: &mut Context<'_>) -> Poll<StreamStep> {
        let mut state = self.state();
        if let Output::Stream(stream) = &mut state.output
            && stream.chunks.unread() > 0
        {
            let bytes = stream.chunks.take();
            state.share.clear();
            state.head_sent = true;
            return Poll::Ready(StreamStep::Bytes(bytes));
        }
        if state.ended {
            return Poll::Ready(state.failure.take().map_or(StreamStep::End, StreamStep::Failed));
        }
        state.wait(context);
        Poll::Pending
    }

    /// The whole answer for a client that does not stream.
    pub(crate) fn poll_whole(&self, context: &mut Context<'_>) -> Poll<Result<WholeAnswer, Failure>> {
        let mut state = self.state();
        if !state.ended {
            state.wait(context);
            return Poll::Pending;
        }
        Poll::Ready(match (state.failure.take(), &mut state.output) {
            (Some(failure), _) => Err(failure),
            (None, Output::Whole(whole)) => Ok(std::mem::take(whole)),
            (None, Output::Stream(_)) => Ok(WholeAnswer::default()),
        })
    }
}

impl AnswerState {
    /// Ends the answer and wakes the client; always `Ok`, so that it can close an expression.
    fn end(&mut self, failure: Option<Failure>) -> Result<(), Failure> {
        self.ended = true;
        if let Some(failure) = failure {
            match &mut self.output {
                Output::Stream(stream) if self.head_sent || stream.chunks.has_begun() => stream.chunks.fail(&failure),
                Output::Stream(_) | Output::Whole(_) => self.failure = Some(failure),
            }
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
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

impl StreamOutput {
    fn push(&mut self, channel: Channel, text: &str) {
        let new_text = match channel {
            Channel::Answer => self.answer.feed(text),
            Channel::Reasoning => self.reasoning.feed(text),
        };
        self.chunks.text(channel, new_text);
    }

    fn complete(&mut self, complete: &Complete<'_>) -> Result<(), AnswerDiffers> {
        let reasoning = complete.reasoning_content.as_deref().unwrap_or_default();
        let tail = self.reasoning.complete(reasoning)?;
        self.chunks.text(Channel::Reasoning, tail);
        let tail = self.answer.complete(&complete.full_response)?;
        self.chunks.text(Channel::Answer, tail);
        self.chunks.finish(complete);
        Ok(())
    }
}
