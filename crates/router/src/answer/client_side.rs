//! The client's side of an answer: what its connection takes of it.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{AnswerState, EngineHead, JobAnswer, Output, WholeAnswer};
use crate::failure::Failure;

/// How an answer begins.
#[derive(Debug)]
pub(crate) enum Begun {
    /// With the head of the engine's own.
    Engine(EngineHead),
    /// As a chat: with text, or whole.
    Chat,
}

/// What a streaming client gets next.
#[derive(Debug)]
pub(crate) enum StreamStep {
    /// The head of the engine's answer, where the client has got comments already.
    LateHead(EngineHead),
    Bytes(Bytes),
    Failed(Failure),
    End,
}

impl JobAnswer {
    /// How the answer begins, or why there is none.
    pub(crate) fn poll_begun(&self, context: &mut Context<'_>) -> Poll<Result<Begun, Failure>> {
        let mut state = self.state();
        match &mut state.output {
            Output::Engine(output) => {
                if let Some(head) = output.take_head() {
                    state.head_sent = true;
                    return Poll::Ready(Ok(Begun::Engine(head)));
                }
            }
            Output::Stream(stream) if stream.chunks.unread() > 0 => return Poll::Ready(Ok(Begun::Chat)),
            Output::Stream(_) | Output::Whole(_) => {}
        }
        if state.ended {
            return Poll::Ready(match (state.failure.take(), &state.output) {
                (Some(failure), _) => Err(failure),
                (None, Output::Engine(_)) => Err(Failure::Broken),
                (None, Output::Stream(_) | Output::Whole(_)) => Ok(Begun::Chat),
            });
        }
        state.wait(context);
        Poll::Pending
    }

    /// The position that the client has reached, when the worker should hear of it.
    pub(crate) fn due_report(&self) -> Option<u64> {
        match &mut self.state().output {
            Output::Engine(output) => output.due_report(),
            Output::Stream(_) | Output::Whole(_) => None,
        }
    }

    /// Whether the client has a part of the engine's own answer, which gets no byte of the router's.
    pub(crate) fn is_engines(&self) -> bool {
        matches!(&self.state().output, Output::Engine(output) if output.has_begun())
    }

    /// From now on failures are reported inside the stream.
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
            state.wake_writer();
            return Poll::Ready(StreamStep::Bytes(bytes));
        }
        if let Output::Engine(output) = &mut state.output {
            if let Some(head) = output.take_head() {
                return Poll::Ready(StreamStep::LateHead(head));
            }
            if let Some(bytes) = output.take() {
                state.share.shrink(bytes.len());
                state.wake_writer();
                return Poll::Ready(StreamStep::Bytes(bytes));
            }
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
            (None, Output::Stream(_) | Output::Engine(_)) => Ok(WholeAnswer::default()),
        })
    }
}

impl AnswerState {
    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}
