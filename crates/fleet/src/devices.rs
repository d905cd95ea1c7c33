//! What the fleet hears of the devices: readings as they come, and one at once where a decision waits for it.

use std::fmt;
use std::sync::Arc;

use auxot_gpu::Sample;
use tokio::sync::watch;

/// The readings of the devices.
#[derive(Clone)]
pub struct Devices {
    pub(crate) samples: watch::Receiver<Arc<Sample>>,
    ask: Arc<dyn Fn() + Send + Sync>,
}

impl Devices {
    /// `samples` should have been read once. `ask` asks for a scan now and does not wait for it: a sample that was taken
    /// after the call comes on the channel.
    #[must_use]
    pub fn new(samples: watch::Receiver<Arc<Sample>>, ask: impl Fn() + Send + Sync + 'static) -> Self {
        Self { samples, ask: Arc::new(ask) }
    }

    /// The newest reading.
    pub(crate) fn now(&self) -> Arc<Sample> {
        self.samples.borrow().clone()
    }

    /// Whether another reading will come.
    pub(crate) fn are_read(&self) -> bool {
        self.samples.has_changed().is_ok()
    }

    /// Asks for a scan now.
    pub(crate) fn look(&self) {
        (self.ask)();
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").field("samples", &self.samples).finish_non_exhaustive()
    }
}
