//! The devices of this host and their memory: how much there is, and which processes hold it.
//!
//! # Theory of operation
//!
//! [`Sampler::start`] starts a thread that reads all devices at an interval, and at once when a [`Refresh`] requests
//! it. Each reading is one [`Sample`] on a watch channel. The thread is the only place that calls drivers, because such
//! a call may block for seconds and must never do so on the thread that carries tokens.
//!
//! Where the numbers come from: NVIDIA's management library, opened while the program runs and kept
//! open (it makes no GPU context, so a sample costs no device memory); for AMD the files of the
//! amdgpu driver below `/sys` and `/proc`; for the host the system's memory, or what the limits
//! of the control groups leave of it; for Apple's GPUs, whose memory is the host's, the same numbers.
//! Without any GPU the one device of a sample is the host.
//!
//! Changes are logged once each: a device that is found, lost or back, and other processes that hold much more or much
//! less of one than before.
//!
//! Three rules hold for every reading:
//!
//! * **Unknown is not zero.** What could not be read is `None`.
//! * **A device does not vanish.** Once seen, it stays in every sample; when it cannot be found any more, it is marked
//!   lost. Devices keep their order, so an index always names the same card.
//! * **Faults stay apart.** A lost device, or a driver that fails, takes nothing from the readings of the others.
//!
//! ```
//! let sample = auxot_gpu::sample_once(&auxot_gpu::Config::default());
//! for device in &sample.devices {
//!     // Unknown is not zero.
//!     match device.free {
//!         Some(free) => println!("{}: {free} bytes free", device.name),
//!         None => println!("{}: free memory unknown", device.name),
//!     }
//! }
//! assert!(!sample.devices.is_empty());
//! ```

#[cfg(target_os = "linux")]
mod amd;
#[cfg(target_os = "linux")]
mod cgroup;
mod config;
mod device;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod fake_driver;
#[cfg(target_os = "linux")]
mod fdinfo;
mod host;
mod inventory;
#[cfg(target_os = "linux")]
mod nvml;
mod other_processes;
mod process;
mod refresh;
mod sampler;
mod unified;

#[cfg(target_os = "linux")]
pub use cgroup::{MemoryLimit, TaskLimit};
pub use config::{Config, device_list};
pub use device::{Device, DeviceSelector, HOST, Kind, ProcessUse, Rank, Sample, is_meant};
pub use process::host_use;
pub use refresh::Refresh;
pub use sampler::{Sampler, sample_once};

/// What the memory limits of this program's control groups leave; `None` without a limit.
#[cfg(target_os = "linux")]
#[must_use]
pub fn memory_limit(config: &Config) -> Option<MemoryLimit> {
    cgroup::limit(&config.sysfs_root, &config.proc_root)
}

/// What the limits on tasks of this program's control groups leave; `None` without a limit.
#[cfg(target_os = "linux")]
#[must_use]
pub fn task_limit(config: &Config) -> Option<TaskLimit> {
    cgroup::task_limit(&config.sysfs_root, &config.proc_root)
}

/// Why NVIDIA's library cannot be used; `None` where it can, or where this host has none and none is configured.
#[cfg(target_os = "linux")]
#[must_use]
pub fn driver_fault(config: &Config) -> Option<String> {
    nvml::fault(config.nvml_path.as_deref())
}
