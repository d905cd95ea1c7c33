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

use crate::budget::{Budget, Share};
use crate::chunks::{Channel, Chunks};
use crate::failure::Failure;
use crate::transcript::{Changed, Transcript};

/// While all clients together leave too much unread, one that leaves no more than this is not to blame.
const FAIR_UNREAD: usize = 64 * 1024;

/// How much text may wait for clients that do not read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    /// For one client.
    pub(crate) each: usize,
    /// For all of them.
    pub(crate) all: Arc<Budget>,
}

/// The shared answer of one job.
#[derive(Debug)]
pub(crate) struct Answer {
    state: Mutex<State>,
    max_unread: usize,
}

#[derive(Debug)]
struct State {
    sheet: Sheet,
    /// Some worker was given the job.
    given: bool,
    /// The client has our HTTP head: a failure must now be told inside the stream.
    opened: bool,
    ended: bool,
    /// Why it ended, where the client can still be told by a status.
    failure: Option<Failure>,
    first_text: Option<Instant>,
    /// When its worker was last heard of.
    heard: Clock,
    reader: Option<Waker>,
    /// Of the bound over the unread text of all clients.
    share: Share,
}

/// Where the text goes.
#[derive(Debug)]
enum Sheet {
    Stream(Box<Stream>),
    Whole(Box<Whole>),
}

#[derive(Debug)]
struct Stream {
    chunks: Chunks,
    answer: Transcript,
    reasoning: Transcript,
    /// It is the job's first run: each piece of text has its own `logprobs`. Those of a later run come with its end.
    first_run: bool,
}

/// An answer for a client that does not stream.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) answer: String,
    pub(crate) reasoning: String,
    pub(crate) complete: Complete<'static>,
    /// The model that answered, where its worker names it.
    pub(crate) model: Option<String>,
}

/// What a streaming client gets next.
#[derive(Debug)]
pub(crate) enum Step {
    Bytes(Bytes),
    Failed(Failure),
    End,
}

/// More unread text than allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooSlow;

impl Answer {
    /// For a streaming client.
    pub(crate) fn stream(chunks: Chunks, unread: Unread) -> Self {
        let stream =
            Stream { chunks, answer: Transcript::default(), reasoning: Transcript::default(), first_run: true };
        Self::new(Sheet::Stream(Box::new(stream)), unread)
    }

    /// For a client that waits for the end.
    pub(crate) fn whole(unread: Unread) -> Self {
        Self::new(Sheet::Whole(Box::default()), unread)
    }

    fn new(sheet: Sheet, unread: Unread) -> Self {
        let state = State {
            sheet,
            given: false,
            opened: false,
            ended: false,
            failure: None,
            first_text: None,
            heard: Clock::now(),
            reader: None,
            share: Share::of(unread.all),
        };
        Self { state: Mutex::new(state), max_unread: unread.each }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between two pushes leaves at worst a piece of text short; the job's end is still told.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker was given the job, for the `attempt`th time; `called` is the model's name there.
    pub(crate) fn given(&self, attempt: u32, called: &str) {
        let mut state = self.state();
        state.given = true;
        state.heard = Clock::now();
        match &mut state.sheet {
            Sheet::Stream(stream) => {
                stream.first_run = attempt == 1;
                if attempt > 1 {
                    stream.answer.begin_again();
                    stream.reasoning.begin_again();
                }
                stream.chunks.call(called);
            }
            Sheet::Whole(whole) => {
                if attempt > 1 {
                    **whole = Whole::default();
                }
                whole.model = Some(called.to_owned());
                if attempt > 1 {
                    state.share.clear();
                }
            }
        }
    }

    /// Its worker goes on with it.
    pub(crate) fn lives(&self) {
        self.state().heard = Clock::now();
    }

    /// When its worker was last heard of; before it was given to one, when it came.
    pub(crate) fn heard(&self) -> Clock {
        self.state().heard
    }

    /// Adds text, with the `logprobs` of it.
    pub(crate) fn text(&self, channel: Channel, text: &str, logprobs: Option<&Json>) -> Result<(), TooSlow> {
        let mut state = self.state();
        if state.ended || text.is_empty() {
            return Ok(());
        }
        state.heard = Clock::now();
        if state.first_text.is_none() {
            state.first_text = Some(state.heard.into_std());
        }
        let length = text.len() + logprobs.map_or(0, |logprobs| logprobs.0.get().len());
        let crowded = !state.share.grow(length);
        let (unread, reader) = match &mut state.sheet {
            Sheet::Stream(stream) => {
                stream.push(channel, text);
                if let Some(logprobs) = logprobs.filter(|_| stream.first_run) {
                    stream.chunks.logprobs(logprobs);
                }
                (stream.chunks.unread(), state.reader.take())
            }
            Sheet::Whole(whole) => {
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
        if unread > self.max_unread || (crowded && unread > FAIR_UNREAD) { Err(TooSlow) } else { Ok(()) }
    }

    /// The good end, unless text of another answer was sent already.
    pub(crate) fn complete(&self, complete: Complete<'static>) -> Result<(), Failure> {
        let mut state = self.state();
        if state.ended {
            return Ok(());
        }
        let outcome = match &mut state.sheet {
            Sheet::Stream(stream) => stream.complete(&complete).map_err(|Changed| Failure::Changed),
            Sheet::Whole(whole) => {
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
    pub(crate) fn was_given(&self) -> bool {
        self.state().given
    }

    /// From now on failures are told inside the stream.
    pub(crate) fn open(&self) {
        self.state().opened = true;
    }

    /// The next bytes for a streaming client.
    pub(crate) fn poll_step(&self, context: &mut Context<'_>) -> Poll<Step> {
        let mut state = self.state();
        if let Sheet::Stream(stream) = &mut state.sheet
            && stream.chunks.unread() > 0
        {
            let bytes = stream.chunks.take();
            state.share.clear();
            state.opened = true;
            return Poll::Ready(Step::Bytes(bytes));
        }
        if state.ended {
            return Poll::Ready(state.failure.take().map_or(Step::End, Step::Failed));
        }
        state.wait(context);
        Poll::Pending
    }

    /// The whole answer for a client that does not stream.
    pub(crate) fn poll_whole(&self, context: &mut Context<'_>) -> Poll<Result<Whole, Failure>> {
        let mut state = self.state();
        if !state.ended {
            state.wait(context);
            return Poll::Pending;
        }
        Poll::Ready(match (state.failure.take(), &mut state.sheet) {
            (Some(failure), _) => Err(failure),
            (None, Sheet::Whole(whole)) => Ok(std::mem::take(whole)),
            (None, Sheet::Stream(_)) => Ok(Whole::default()),
        })
    }
}

impl State {
    /// Ends the answer and wakes the client; always `Ok`, so that it can close an expression.
    fn end(&mut self, failure: Option<Failure>) -> Result<(), Failure> {
        self.ended = true;
        if let Some(failure) = failure {
            match &mut self.sheet {
                Sheet::Stream(stream) if self.opened || stream.chunks.has_begun() => stream.chunks.fail(&failure),
                Sheet::Stream(_) | Sheet::Whole(_) => self.failure = Some(failure),
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

impl Stream {
    fn push(&mut self, channel: Channel, text: &str) {
        let fresh = match channel {
            Channel::Answer => self.answer.feed(text),
            Channel::Reasoning => self.reasoning.feed(text),
        };
        self.chunks.text(channel, fresh);
    }

    fn complete(&mut self, complete: &Complete<'_>) -> Result<(), Changed> {
        let reasoning = complete.reasoning_content.as_deref().unwrap_or_default();
        let tail = self.reasoning.complete(reasoning)?;
        self.chunks.text(Channel::Reasoning, tail);
        let tail = self.answer.complete(&complete.full_response)?;
        self.chunks.text(Channel::Answer, tail);
        self.chunks.finish(complete);
        Ok(())
    }
}
