//! The body of an answer: text of the gateway, bytes of an engine, or comments while a model loads and then one of the two.

mod engine_body;
mod frame_buffer;
mod waiting;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

pub(crate) use engine_body::{EngineBody, RunningRequest, Stop};
pub(crate) use waiting::Waiting;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Text of the gateway; `None` once it was given.
    Text(Option<Bytes>),
    /// An engine's answer.
    Engine(Box<EngineBody>),
    /// The model loads.
    Waiting(Box<Waiting>),
}

/// The answer is cut: hyper closes the connection without its end, so that no client takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer is cut short")]
pub(crate) struct Cut;

impl AnswerBody {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            match &mut *self {
                Self::Text(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
                Self::Engine(engine) => {
                    return engine.poll_bytes(context).map(|next| next.map(|bytes| bytes.map(Frame::data)));
                }
                Self::Waiting(waiting) => match waiting.poll_next(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(waiting::Next::Comment(text)) => return Poll::Ready(Some(Ok(Frame::data(text)))),
                    Poll::Ready(waiting::Next::Answer(engine)) => *self = Self::Engine(engine),
                    Poll::Ready(waiting::Next::LastEvent(event)) => *self = Self::Text(Some(event)),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Engine(engine) => engine.is_over(),
            Self::Waiting(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Engine(_) | Self::Waiting(_) => SizeHint::default(),
        }
    }
}
