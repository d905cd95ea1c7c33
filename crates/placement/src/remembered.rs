//! What a placement took the last time, from the remembered measurements.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use auxot_catalog::{Identity, MeasurementKey, RunParameters};

use super::{Placement, Split};
use auxot_gpu::HOST;

/// Bytes for each share of a placement, or of the host's memory where it has none, where they are known.
type Question = dyn Fn(&Placement) -> Option<Vec<u64>> + Send + Sync;

/// A lookup that can be kept: what did this placement take the last time?
#[derive(Clone)]
pub struct Remembered(Arc<Question>);

impl Remembered {
    /// A lookup by this function.
    pub fn new(parameters: impl Fn(&Placement) -> Option<Vec<u64>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(parameters))
    }

    /// Looks a placement up.
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

/// What is loaded, and by what engine: all that a measurement depends on besides the place.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The file, or the first of its shards.
    pub file: PathBuf,
    /// The state of that file.
    pub identity: Identity,
    /// Its size.
    pub parameters: RunParameters,
    /// The operator's additional arguments for the engine.
    pub arguments: Vec<String>,
    /// The engine's build.
    pub build: String,
}

impl Subject {
    /// The key of a measurement in this place; the order of the devices is that of the shares, or the host alone where
    /// there are none.
    #[must_use]
    pub fn at(&self, placement: &Placement) -> MeasurementKey {
        let mut devices: Vec<String> = placement.shares.iter().map(|share| share.device.clone()).collect();
        if devices.is_empty() {
            devices.push(HOST.to_owned());
        }
        let parts: Vec<String> = placement
            .shares
            .iter()
            .map(|share| match placement.split {
                // The parts follow from what was free; a GiB more or less gives another placement.
                Split::Tensor => format!("{} GiB", (share.weights + share.cache) >> 30),
                Split::Whole | Split::Layers | Split::Partial | Split::Host | Split::Engine => {
                    share.layers.len().to_string()
                }
            })
            .collect();
        let (parameters, offloaded, layers) = (&self.parameters, placement.offloaded, placement.layers);
        let mut asked = format!("{parameters}, {offloaded} of {layers} layers: {}", parts.join(" + "));
        if !self.arguments.is_empty() {
            asked.push_str(&format!(", {}", self.arguments.join(" ")));
        }
        let (file, build) = (self.file.clone(), self.build.clone());
        MeasurementKey { file, identity: self.identity, asked, build, devices }
    }
}
