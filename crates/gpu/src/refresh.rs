//! The handle with which anybody asks for a look at the devices at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Asks for a look now. Cheap to clone, and to keep: it does not keep a [`crate::Sampler`] alive, and is never answered
/// once that is gone.
#[derive(Debug, Clone)]
pub struct Refresh(SyncSender<()>);

impl Refresh {
    /// A handle and what is asked through it and its clones: a sampler's end, or that of a test that plays one.
    #[must_use]
    pub fn channel() -> (Self, Receiver<()>) {
        // One place: a look that is asked for while another waits is the same look.
        let (ask, asked) = sync_channel(1);
        (Self(ask), asked)
    }

    /// Asks for a look now: a sample whose `taken` is later than this call will come. Never blocks.
    pub fn ask(&self) {
        // Full means that a look is asked for and has not begun, so that it is ours as well; closed, that there is
        // nobody to ask.
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
        (0..100).for_each(|_| refresh.ask());
        other.ask();
        assert_eq!((asked.try_recv().is_ok(), asked.try_recv().is_ok()), (true, false));
        other.ask();
        assert!(asked.try_recv().is_ok());
        drop(asked);
        other.ask();
    }
}
