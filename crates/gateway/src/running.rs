//! A request that an engine answers.

use std::future::poll_fn;
use std::pin::Pin;

use auxot_fleet::{Awaiting, Lease};
use auxot_llama::{AnswerHead, Forward};

use crate::failure::Failure;

/// A request that an engine answers.
pub(crate) struct RunningRequest {
    pub(crate) forward: Forward,
    pub(crate) awaits: Awaiting,
    pub(crate) stop: Pin<Box<dyn Future<Output = Stop> + Send>>,
    /// The last field: the slot is free once the connection is closed.
    pub(crate) lease: Lease,
}

/// Why an answer is stopped from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The engine is being stopped, or has exited.
    Engine,
    /// The request is to end, whatever its engine does.
    Request(RequestStop),
}

/// Why a request is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestStop {
    /// The worker ends.
    Shutdown,
    /// The client's key is revoked.
    KeyRevoked,
}

impl From<RequestStop> for Failure {
    fn from(stop: RequestStop) -> Self {
        match stop {
            RequestStop::Shutdown => Self::Stopping,
            RequestStop::KeyRevoked => Self::KeyRevoked,
        }
    }
}

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct BegunAnswer {
    pub(crate) head: AnswerHead,
    pub(crate) body: AnswerBody,
}

/// The body of an answer that has begun.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// The engine is at it.
    Running(RunningRequest),
    /// It is complete: joined from a stream, or a refusal; the slot is free.
    Whole(Vec<u8>),
}

impl std::fmt::Debug for RunningRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningRequest").field("model", &self.lease.model()).finish_non_exhaustive()
    }
}

impl RunningRequest {
    /// The text of a short answer, at most `limit` bytes of it.
    pub(crate) async fn text(mut self, limit: usize) -> Vec<u8> {
        let (mut text, mut part) = (Vec::new(), vec![0; 8 << 10]);
        while text.len() < limit
            && let Ok(read @ 1..) = poll_fn(|context| self.forward.poll_body(context, &mut part)).await
        {
            text.extend_from_slice(&part[..read.min(limit - text.len())]);
        }
        text
    }
}
