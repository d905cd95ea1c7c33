//! Device samples: a stream of readings, and a way to request one at once.

use std::fmt;
use std::sync::Arc;

use auxot_gpu::Sample;
use tokio::sync::watch;

/// The samples of the devices.
#[derive(Clone)]
pub struct Devices {
    pub(crate) samples: watch::Receiver<Arc<Sample>>,
    refresh: Arc<dyn Fn() + Send + Sync>,
}

impl Devices {
    /// `samples` should hold a first reading. `refresh` requests a sample and does not wait for it: a sample that began after
    /// the call arrives on the channel.
    #[must_use]
    pub fn new(samples: watch::Receiver<Arc<Sample>>, refresh: impl Fn() + Send + Sync + 'static) -> Self {
        Self { samples, refresh: Arc::new(refresh) }
    }

    /// The newest sample.
    pub(crate) fn now(&self) -> Arc<Sample> {
        self.samples.borrow().clone()
    }

    /// Whether another sample will come.
    pub(crate) fn are_read(&self) -> bool {
        self.samples.has_changed().is_ok()
    }

    /// Requests a sample.
    pub(crate) fn refresh(&self) {
        (self.refresh)();
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").field("samples", &self.samples).finish_non_exhaustive()
    }
}
