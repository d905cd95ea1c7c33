//! Names of devices in a model's table that mean none here: told once, and as unmet for as long as that is so.
//!
//! They cannot be a fault of the settings: those are read before any driver is, and a card that is gone today is back
//! tomorrow.

use auxot_gpu::Sample;
use tracing::warn;

/// The devices that the operator names for one model.
#[derive(Debug, Default)]
pub(crate) struct UnknownDevices {
    names: Vec<String>,
    /// Those that mean nothing, in one sentence.
    told: Option<String>,
}

impl UnknownDevices {
    /// Takes in what the model's table says by now.
    pub(crate) fn name(&mut self, names: &[String]) {
        self.names.clear();
        self.names.extend_from_slice(names);
    }

    /// Takes in a reading of the devices, and warns where it shows another picture than the one before.
    pub(crate) fn look(&mut self, model: &str, sample: &Sample) {
        if self.names.is_empty() && self.told.is_none() {
            return;
        }
        let now = unknown_devices(model, &self.names, sample);
        if now != self.told
            && let Some(stray) = &now
        {
            warn!(stray, "a device that the settings name is not here");
        }
        self.told = now;
    }

    /// What cannot be had.
    pub(crate) fn unmet(&self) -> Option<&String> {
        self.told.as_ref()
    }
}

/// Those of the devices in a model's table that mean none here, in one sentence; `None` where all do.
#[must_use]
pub fn unknown_devices(model: &str, names: &[String], sample: &Sample) -> Option<String> {
    let unknown_devices: Vec<&str> = sample.unknown_devices(names).collect();
    let devices = sample.devices.iter().filter(|device| !device.is_host());
    let here = devices.map(|device| format!("{} ({})", device.index, device.id));
    let here = here.chain(["host".to_owned()]).collect::<Vec<_>>().join(", ");
    let unknown_devices = Some(unknown_devices.join(", ")).filter(|unknown_devices| !unknown_devices.is_empty())?;
    Some(format!("`devices` lets {model} lie on device {unknown_devices}, which is not here; there is {here}"))
}
