//! The host's own memory as a device.

use sysinfo::System;

use crate::config::Config;
use crate::device::{Device, Sample};

/// Reads the host's memory.
pub(crate) struct Host {
    /// None where the operating system is one that sysinfo does not know.
    system: Option<System>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { system: System::new().ok() }
    }

    pub(crate) fn sample(&mut self, config: &Config) -> Device {
        let mut device = Sample::unread().host;
        if let Some(system) = &mut self.system {
            system.refresh_memory();
            // sysinfo gives zero for a reading that failed.
            device.total = Some(system.total_memory()).filter(|total| *total > 0);
            device.free = device.total.map(|total| free(total, system));
        }
        narrow(&mut device, config);
        device.used = device.total.zip(device.free).map(|(total, free)| total.saturating_sub(free));
        device
    }
}

/// What can still be taken. The figure for macOS has the memory of running programs among what is available, because it
/// could be compressed; so there it is what neither programs nor the system hold.
fn free(total: u64, system: &System) -> u64 {
    if cfg!(target_os = "macos") { total.saturating_sub(system.used_memory()) } else { system.available_memory() }
}

/// Applies control group limits, and adds what children hold.
#[cfg(target_os = "linux")]
fn narrow(device: &mut Device, config: &Config) {
    use crate::process::linux::{descendants, host_use};
    if let Some(limit) = crate::cgroup::limit(&config.sysfs_root, &config.proc_root) {
        device.total = device.total.map(|total| total.min(limit.total));
        device.free = device.free.map(|free| free.min(limit.free));
    }
    device.processes = descendants(&config.proc_root).into_iter().map(|pid| host_use(&config.proc_root, pid)).collect();
}

/// Adds what children hold.
#[cfg(not(target_os = "linux"))]
fn narrow(device: &mut Device, _: &Config) {
    device.processes = crate::process::held_by_children(std::process::id());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Kind;

    #[test]
    fn the_host_has_memory() {
        let device = Host::new().sample(&Config::default());
        let (total, free, used) = (device.total.unwrap(), device.free.unwrap(), device.used.unwrap());
        assert!(total > 64 << 20 && free <= total && used <= total, "{device:?}");
        assert_eq!((device.id.as_str(), device.kind, device.lost), ("host", Kind::Host, false));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn children_are_listed_with_the_files_that_they_map() {
        use std::fs;
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("self/task/1/children", "7 8 9 ");
        put("7/status", "Name:\tllama-server\nVmLck:\t0 kB\nVmRSS:\t5000 kB\nRssAnon:\t900 kB\nRssFile:\t4000 kB\n");
        put("8/status", "Name:\tllama-server\nVmLck:\t3000 kB\nVmRSS:\t5000 kB\nRssFile:\t4000 kB\n");
        put("9/status", "Name:\tllama-server\nState:\tZ (zombie)\n");
        let config = Config { proc_root: root.path().to_owned(), ..Config::default() };
        let listed = Host::new().sample(&config).processes;
        let listed: Vec<_> = listed.iter().map(|held| (held.pid, held.bytes, held.mapped)).collect();
        let kib = |kib: u64| Some(kib << 10);
        assert_eq!(listed, [(7, kib(5000), kib(4000)), (8, kib(5000), kib(1000)), (9, None, None)]);
    }
}
