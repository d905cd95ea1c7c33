//! What a placement took the last time, asked of what the catalog remembers.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use auxot_catalog::{Ask, Circumstances, Identity};

use super::ground::HOST;
use super::{Placement, Split};

/// Bytes for each share of a placement, or of the host's memory where it has none, where they are known.
type Question = dyn Fn(&Placement) -> Option<Vec<u64>> + Send + Sync;

/// A question that can be kept and asked again: what did this placement take the last time?
#[derive(Clone)]
pub struct Remembered(Arc<Question>);

impl Remembered {
    /// Asks so.
    pub fn new(ask: impl Fn(&Placement) -> Option<Vec<u64>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Asks it.
    #[must_use]
    pub fn of(&self, placement: &Placement) -> Option<Vec<u64>> {
        (self.0)(placement)
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembered")
    }
}

impl Placement {
    /// What must be the same for a measurement of this placement to hold again; the order of the devices is that of the
    /// shares, or the host alone where there are none.
    #[must_use]
    pub fn circumstances(&self, file: &Path, identity: Identity, ask: &Ask, build: &str) -> Circumstances {
        let mut devices: Vec<String> = self.shares.iter().map(|share| share.device.clone()).collect();
        if devices.is_empty() {
            devices.push(HOST.to_owned());
        }
        let parts: Vec<String> = self
            .shares
            .iter()
            .map(|share| match self.split {
                // The parts follow from what was free; a GiB more or less is another placement.
                Split::Tensor => format!("{} GiB", (share.weights + share.cache) >> 30),
                Split::Whole | Split::Layers | Split::Partial | Split::Host | Split::Engine => {
                    share.layers.len().to_string()
                }
            })
            .collect();
        let asked = format!("{ask}, {} of {} layers: {}", self.offloaded, self.layers, parts.join(" + "));
        let (file, build) = (file.to_path_buf(), build.to_owned());
        Circumstances { file, identity, asked, build, devices }
    }
}
