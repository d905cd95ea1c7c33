//! An answer of a provider beside the workers.

use std::sync::Arc;
use std::task::{Context, Poll};

use auxot_protocol::ANSWER_WINDOW;
use tokio::time::Instant as Clock;

use super::{EngineOutput, JobAnswer, Output, WholeAnswer};

/// A provider waits while the client has more unread bytes than this.
const MOST_UNREAD: usize = ANSWER_WINDOW as usize / 2;

impl JobAnswer {
    /// The job goes to a provider beside the workers, whose answer is a whole one or text of a chat.
    pub(crate) fn provided(&self, provider: &Arc<str>, model: &str, is_whole: bool) {
        let mut state = self.state();
        state.dispatched = true;
        state.provider = Some(provider.clone());
        state.last_activity = Clock::now();
        state.choose(is_whole);
        state.share.clear();
        // The client has nothing of what another provider has sent.
        match &mut state.output {
            Output::Stream(stream) => stream.chunks.set_model(model),
            Output::Whole(whole) => **whole = WholeAnswer { model: Some(model.to_owned()), ..WholeAnswer::default() },
            Output::Engine(output) => **output = EngineOutput::default(),
        }
    }

    /// The provider beside the workers that has the job.
    pub(crate) fn provider(&self) -> Option<Arc<str>> {
        self.state().provider.clone()
    }

    /// Whether the client has or will get a part of this answer, so that no other provider can answer.
    pub(crate) fn is_committed(&self) -> bool {
        let state = self.state();
        state.head_sent
            || match &state.output {
                Output::Stream(stream) => stream.chunks.has_begun(),
                Output::Whole(_) => false,
                Output::Engine(output) => output.has_begun(),
            }
    }

    /// Waits until the client has few unread bytes, or the answer has ended.
    pub(crate) async fn has_room(&self) {
        std::future::poll_fn(|context| self.poll_room(context)).await;
    }

    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let unread = match &state.output {
            Output::Stream(stream) => stream.chunks.unread(),
            Output::Whole(_) => 0,
            Output::Engine(output) => output.unread(),
        };
        if state.ended || unread <= MOST_UNREAD {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }
}
