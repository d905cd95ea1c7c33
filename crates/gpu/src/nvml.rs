//! NVIDIA cards, through NVIDIA's management library.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device as Handle, Nvml};

use crate::device::{Device, Kind, ProcessUse};

/// How long a library or card that failed is left alone: to open a broken driver is expensive, and recovery (a driver
/// update, a card that was reset) takes minutes.
const RETRY: Duration = Duration::from_secs(60);

/// The library, opened once and kept: to open and close it for each sample would wake sleeping cards.
pub(crate) struct Nvidia {
    library: Option<PathBuf>,
    nvml: Option<Nvml>,
    /// Not before this time is the library opened, or opened anew.
    retry: Option<Instant>,
    /// Ids and names by index, for a lost card that cannot be asked for its own.
    known: Vec<(String, String)>,
    /// What was last said about a library that cannot be opened.
    complaint: Option<String>,
}

impl Nvidia {
    pub(crate) fn new(library: Option<PathBuf>) -> Self {
        Self { library, nvml: None, retry: None, known: Vec::new(), complaint: None }
    }

    pub(crate) fn sample(&mut self, now: Instant) -> Vec<Device> {
        let due = self.retry.is_none_or(|retry| now >= retry);
        if due && (self.nvml.is_none() || self.retry.is_some()) {
            self.open();
            self.retry = None;
        }
        let Some(nvml) = &self.nvml else {
            self.retry.get_or_insert(now + RETRY);
            return Vec::new();
        };
        let count = match nvml.device_count() {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, "cannot ask the NVIDIA driver for its devices");
                self.nvml = None;
                self.retry = Some(now + RETRY);
                return Vec::new();
            }
        };
        let mut devices = Vec::new();
        for index in 0..count {
            match nvml.device_by_index(index).and_then(|card| read_card(&card)) {
                Ok(card) => {
                    if let [device] = &card[..] {
                        remember(&mut self.known, index, device);
                    }
                    devices.extend(card);
                }
                Err(error) => {
                    tracing::debug!(index, %error, "cannot read NVIDIA device");
                    devices.push(unreachable(&self.known, index, &error));
                }
            }
        }
        if devices.iter().any(|device| device.lost) {
            self.retry.get_or_insert(now + RETRY);
        }
        devices
    }

    fn open(&mut self) {
        // The old one first: a card that is back is only seen by a library that was opened afterwards.
        self.nvml = None;
        let opened = match &self.library {
            Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
            None => Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init(),
        };
        match opened {
            Ok(nvml) => {
                if self.known.is_empty() {
                    tracing::info!(driver = nvml.sys_driver_version().unwrap_or_default(), "NVIDIA driver found");
                }
                self.nvml = Some(nvml);
                self.complaint = None;
            }
            // The usual case of a host without such a card.
            Err(NvmlError::LibloadingError(_)) if self.library.is_none() => {}
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!(error = %complaint, library = self.library.as_ref().map(|path| path.display().to_string()), "cannot use the NVIDIA driver");
                    self.complaint = Some(complaint);
                }
            }
        }
    }
}

/// Why NVIDIA's library cannot be used; `None` where it can, or where this host has none and none is configured.
pub(crate) fn fault(library: Option<&Path>) -> Option<String> {
    let path = library.map_or(OsStr::new("libnvidia-ml.so.1"), Path::as_os_str);
    let counted = Nvml::builder().lib_path(path).init().and_then(|nvml| nvml.device_count());
    match counted {
        Ok(_) => None,
        Err(NvmlError::LibloadingError(_)) if library.is_none() => None,
        Err(error) => Some(error.to_string()),
    }
}

fn remember(known: &mut Vec<(String, String)>, index: u32, device: &Device) {
    let who = (device.id.clone(), device.name.clone());
    match known.get_mut(index as usize) {
        Some(known) => *known = who,
        None => known.push(who),
    }
}

fn unreachable(known: &[(String, String)], index: u32, error: &NvmlError) -> Device {
    let (id, name) = known.get(index as usize).cloned().unwrap_or_else(|| {
        let id = format!("nvidia-{index}");
        (id.clone(), id)
    });
    let lost = matches!(error, NvmlError::GpuLost);
    Device { lost, ..Device::unread(Kind::Nvidia, id, name) }
}

/// Reads one card: itself, or its slices where it is cut into slices.
fn read_card(card: &Handle<'_>) -> Result<Vec<Device>, NvmlError> {
    const SLICED: u32 = 1;
    if !card.mig_mode().is_ok_and(|mode| mode.current == SLICED) {
        return read(card).map(|device| vec![device]);
    }
    // The count is how many there could be; places without a slice answer "not found".
    let slices = (0..card.mig_device_count()?).filter_map(|index| card.mig_device_by_index(index).ok());
    slices.map(|slice| read(&slice)).collect()
}

fn read(card: &Handle<'_>) -> Result<Device, NvmlError> {
    // Without an id a reading could be taken for that of another card.
    let id = card.uuid()?;
    let name = card.name().unwrap_or_else(|_| id.clone());
    let mut device = Device::unread(Kind::Nvidia, id, name);
    match card.memory_info() {
        Ok(memory) => {
            device.total = Some(memory.total);
            device.free = Some(memory.free);
            device.used = Some(memory.used);
        }
        Err(NvmlError::GpuLost) => device.lost = true,
        Err(error) => tracing::debug!(id = device.id, %error, "cannot read device memory"),
    }
    if !device.lost {
        device.temperature = card.temperature(TemperatureSensor::Gpu).ok();
        device.utilisation = card.utilization_rates().ok().map(|rates| rates.gpu);
        // An engine on Vulkan may be listed among those that draw.
        let lists = [card.running_compute_processes(), card.running_graphics_processes()];
        for process in lists.into_iter().flatten().flatten() {
            add(&mut device.processes, &process);
        }
    }
    Ok(device)
}

/// A process in both lists has the same memory in both.
fn add(processes: &mut Vec<ProcessUse>, process: &ProcessInfo) {
    let bytes = match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    match processes.iter_mut().find(|known| known.pid == process.pid) {
        Some(known) => known.bytes = known.bytes.max(bytes),
        None => processes.push(ProcessUse::on_device(process.pid, bytes)),
    }
}

#[cfg(test)]
mod tests;
