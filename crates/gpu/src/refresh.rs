//! The handle that requests a sample of the devices at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Requests a sample now. Cheap to clone, and to keep: it does not keep a [`crate::Sampler`] alive, and has no effect
/// once that is gone.
#[derive(Debug, Clone)]
pub struct Refresh(SyncSender<()>);

impl Refresh {
    /// A handle, and the requests of it and its clones: the end for a sampler, or for a test.
    #[must_use]
    pub fn channel() -> (Self, Receiver<()>) {
        // Room for one: a request while another waits is the same request.
        let (sender, requests) = sync_channel(1);
        (Self(sender), requests)
    }

    /// Requests a sample: one whose `taken` is later than this call will come. Never blocks.
    pub fn request(&self) {
        // Full means that a requested sample has not begun, so that it answers this call as well; closed, that the
        // sampler is gone.
        let _ = self.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_questions_are_one_look_and_none_blocks() {
        let (refresh, asked) = Refresh::channel();
        let other = refresh.clone();
        (0..100).for_each(|_| refresh.request());
        other.request();
        assert_eq!((asked.try_recv().is_ok(), asked.try_recv().is_ok()), (true, false));
        other.request();
        assert!(asked.try_recv().is_ok());
        drop(asked);
        other.request();
    }
}
