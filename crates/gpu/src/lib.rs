//! The devices of this host and their memory: how much, by whom used, when looked at.
//!
//! # Theory of operation
//!
//! [`Sampler::start`] begins a thread that looks at all devices at an interval, and at once whenever
//! somebody asks through a [`Refresh`]. Each look is one [`Sample`] on a watch channel. The thread is
//! the only place that talks to drivers, because a driver call may block for seconds and must
//! never do so on the thread that carries tokens.
//!
//! Where the numbers come from: NVIDIA's management library, opened while the program runs and kept
//! open (it makes no GPU context, so looking costs no device memory); for AMD the files of the
//! amdgpu driver below `/sys` and `/proc`; for the host the system's memory, or what the limits
//! of our control groups leave of it; for Apple's GPUs, which lie in that memory, the same numbers.
//! Without any GPU the one device of a sample is the host.
//!
//! What changes is told in the log, once each: a device found, lost or back, and others who come to
//! hold much more or much less of one.
//!
//! Three rules hold for every reading:
//!
//! * **Unknown is not zero.** What could not be read is `None`.
//! * **A device does not vanish.** Once seen, it stays in every sample; when it cannot be found any
//!   more, it is marked lost. Devices keep their order, so an index names the same card for ever.
//! * **Another's fault is not ours.** A lost device, or a driver that fails, takes nothing from the
//!   readings of the others.

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

pub use config::{Config, device_list};
pub use device::{Device, DeviceSelector, HOST, Kind, ProcessUse, Rank, Sample, is_meant};
pub use process::host_use;
pub use refresh::Refresh;
pub use sampler::{Sampler, look};
