//! An answer whose head was sent while its model loads: comments, which every client of events ignores, and then the
//! engine's answer, or an event with the error.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Interval, interval_at};

use super::EngineBody;

/// Time between two comments: no client or proxy takes the connection for dead.
const COMMENT_INTERVAL: Duration = Duration::from_secs(2);

/// The engine's answer, or the last event of the answer.
type Opening = Pin<Box<dyn Future<Output = Result<EngineBody, Bytes>> + Send>>;

/// An answer whose model loads.
pub(crate) struct Waiting {
    opening: Opening,
    due: Interval,
    progress: Box<dyn Fn() -> String + Send>,
}

/// What comes next.
pub(crate) enum Next {
    Comment(Bytes),
    Answer(Box<EngineBody>),
    LastEvent(Bytes),
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Waiting {
    /// `progress` says in a few words how far the load is.
    pub(crate) fn new(opening: Opening, progress: Box<dyn Fn() -> String + Send>) -> Self {
        // The first one comes with the head.
        Self { opening, due: interval_at(Instant::now(), COMMENT_INTERVAL), progress }
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Poll::Ready(opened) = self.opening.as_mut().poll(context) {
            return Poll::Ready(match opened {
                Ok(answer) => Next::Answer(Box::new(answer)),
                Err(event) => Next::LastEvent(event),
            });
        }
        ready!(self.due.poll_tick(context));
        Poll::Ready(Next::Comment(Bytes::from(format!(": {}\n\n", (self.progress)()))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn comments_come_until_there_is_an_answer() {
        let opening = async {
            tokio::time::sleep(2 * COMMENT_INTERVAL + Duration::from_millis(1)).await;
            Err(Bytes::from_static(b"data: {}\n\n"))
        };
        let mut waiting = Waiting::new(Box::pin(opening), Box::new(|| "m loads".to_owned()));
        for _ in 0..3 {
            let Next::Comment(text) = poll_fn(|context| waiting.poll_next(context)).await else { panic!("too early") };
            assert_eq!(text, ": m loads\n\n");
        }
        assert!(matches!(poll_fn(|context| waiting.poll_next(context)).await, Next::LastEvent(_)));
    }
}
