//! Device names in a model's table that match no device of this host: warned once, and reported as unmet until the device
//! appears.
//!
//! They are no configuration error: the settings are read before any driver is, and a device that is gone today may be back
//! tomorrow.

use auxot_gpu::Sample;
use tracing::warn;

/// The devices that the operator names for one model.
#[derive(Debug, Default)]
pub(crate) struct UnknownDevices {
    names: Vec<String>,
    /// The unknown ones, in one sentence.
    warning: Option<String>,
}

impl UnknownDevices {
    /// Replaces the names by those of the present settings.
    pub(crate) fn name(&mut self, names: &[String]) {
        self.names.clear();
        self.names.extend_from_slice(names);
    }

    /// Compares the names with a sample, and warns when the result differs from the one before.
    pub(crate) fn check(&mut self, model: &str, sample: &Sample) {
        if self.names.is_empty() && self.warning.is_none() {
            return;
        }
        let now = unknown_devices(model, &self.names, sample);
        if now != self.warning
            && let Some(unknown) = &now
        {
            warn!(unknown, "the settings name a device that is not here");
        }
        self.warning = now;
    }

    /// The sentence for the report.
    pub(crate) fn unmet(&self) -> Option<&String> {
        self.warning.as_ref()
    }
}

/// The device names of a model's table that match no device, in one sentence; `None` where all match.
#[must_use]
pub fn unknown_devices(model: &str, names: &[String], sample: &Sample) -> Option<String> {
    let unknown_devices: Vec<&str> = sample.unknown_devices(names).collect();
    let devices = sample.devices.iter().filter(|device| !device.is_host());
    let here = devices.map(|device| format!("{} ({})", device.index, device.id));
    let here = here.chain(["host".to_owned()]).collect::<Vec<_>>().join(", ");
    let unknown_devices = Some(unknown_devices.join(", ")).filter(|unknown_devices| !unknown_devices.is_empty())?;
    Some(format!("`devices` lets {model} lie on device {unknown_devices}, which is not here; there is {here}"))
}
