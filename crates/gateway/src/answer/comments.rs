//! Comments on a load, for a client that wants a stream and has no slot yet.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Time between two comments: no client or proxy takes the connection for dead.
const INTERVAL: Duration = Duration::from_secs(2);

/// The comments of one request.
pub(crate) struct Comments(State);

enum State {
    /// There are none: the client wants no stream, or has had its slot in time.
    None,
    /// The first one is due then, with the head of the answer.
    First(Instant, Box<dyn Fn() -> String + Send>),
    /// The head was sent.
    Begun(Instant, Box<dyn Fn() -> String + Send>),
}

impl Comments {
    /// `progress` says in a few words how far the load is.
    pub(crate) fn new(progress: Option<Box<dyn Fn() -> String + Send>>, early_head: Duration) -> Self {
        Self(progress.map_or(State::None, |progress| State::First(Instant::now() + early_head, progress)))
    }

    /// There is a slot: the engine's answer comes at once, with its own head where none was sent.
    pub(crate) fn leased(&mut self) {
        if matches!(self.0, State::First(..)) {
            self.0 = State::None;
        }
    }

    /// Whether the head was sent.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.0, State::Begun(..))
    }

    /// Whether the head is to be sent before this comment.
    pub(crate) fn begin(&mut self) -> bool {
        match std::mem::replace(&mut self.0, State::None) {
            State::First(_, progress) => {
                self.0 = State::Begun(Instant::now() + INTERVAL, progress);
                true
            }
            other => {
                self.0 = other;
                false
            }
        }
    }

    /// The next comment, when it is due. Cancel safe.
    pub(crate) async fn next(&mut self) -> String {
        let (due, progress) = match &mut self.0 {
            State::None => return std::future::pending().await,
            State::First(due, progress) | State::Begun(due, progress) => (due, progress),
        };
        sleep_until(*due).await;
        *due = Instant::now() + INTERVAL;
        format!(": {}\n\n", progress())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_one_comes_with_the_head_and_more_until_the_end() {
        let begun = Instant::now();
        let mut comments = Comments::new(Some(Box::new(|| "m loads".to_owned())), Duration::from_secs(1));
        assert_eq!((comments.next().await.as_str(), begun.elapsed()), (": m loads\n\n", Duration::from_secs(1)));
        assert!(!comments.has_begun() && comments.begin() && comments.has_begun() && !comments.begin());
        comments.leased();
        assert_eq!((comments.next().await.as_str(), begun.elapsed()), (": m loads\n\n", Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_a_stream_or_with_a_slot_in_time_gets_none() {
        let mut none = Comments::new(None, Duration::ZERO);
        let mut in_time = Comments::new(Some(Box::new(String::new)), Duration::from_secs(1));
        in_time.leased();
        for comments in [&mut none, &mut in_time] {
            let waited = tokio::time::timeout(Duration::from_secs(60), comments.next()).await;
            assert!(waited.is_err() && !comments.has_begun());
        }
    }
}
