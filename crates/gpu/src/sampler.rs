//! The thread that reads the devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::Config;
use crate::device::{Device, Sample};
use crate::host::Host;
use crate::inventory::{Inventory, allowed, wants_host};
use crate::other_processes::{Change, OtherProcesses, knows_ours};
use crate::refresh::Refresh;
use crate::unified;

/// The shortest interval.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end of the program waits for a driver that does not answer.
const STOP: Duration = Duration::from_secs(1);

/// Reads the devices until it is dropped. Dropping waits for a sample that is under way, for a second at most: a driver
/// call about a broken card may never return.
#[derive(Debug)]
pub struct Sampler {
    refresh: Refresh,
    /// Stops the thread. A closed request channel does not suffice: handles may outlive this.
    stop: Arc<AtomicBool>,
    /// Ends when the thread does.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts the thread. The receiver holds a sample without devices until the first reading has
    /// ended, so wait for a change before deciding anything.
    ///
    /// Should the system have no thread to give, that is logged, and the channel is closed: nothing will
    /// ever be known about the devices.
    #[must_use]
    pub fn start(config: Config) -> (Self, watch::Receiver<Arc<Sample>>) {
        let (samples, receiver) = watch::channel(Arc::new(Sample::unread()));
        let (refresh, requests) = Refresh::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (alive, ended) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name("gpu-sampler".to_string()).spawn(move || {
            let _alive = alive;
            run(Readers::new(config), &requests, &stopped, &samples);
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "cannot start the thread that reads the devices");
        }
        (Self { refresh, stop, ended, thread: thread.ok() }, receiver)
    }

    /// The handle that requests a sample at once.
    #[must_use]
    pub fn handle(&self) -> Refresh {
        self.refresh.clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.refresh.request();
        let Some(thread) = self.thread.take() else { return };
        if self.ended.recv_timeout(STOP) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a driver does not answer; leaving the thread that calls it");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the thread that reads the devices has panicked");
        }
    }
}

/// Takes one sample now, for a command that ends afterwards. Blocks for as long as the drivers take.
#[must_use]
pub fn sample_once(config: &Config) -> Sample {
    Readers::new(config.clone()).sample()
}

fn run(mut readers: Readers, requests: &Receiver<()>, stop: &AtomicBool, samples: &watch::Sender<Arc<Sample>>) {
    let interval = readers.config.sample_interval.max(SHORTEST_INTERVAL);
    while !stop.load(Ordering::SeqCst) {
        samples.send_replace(Arc::new(readers.sample()));
        match requests.recv_timeout(interval) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Everything that one sample reads.
struct Readers {
    config: Config,
    host: Host,
    #[cfg(target_os = "linux")]
    nvidia: crate::nvml::Nvidia,
    inventory: Inventory,
    other_processes: OtherProcesses,
    /// Said once that nothing the settings name is there.
    warned: bool,
}

impl Readers {
    fn new(config: Config) -> Self {
        Self {
            host: Host::new(),
            #[cfg(target_os = "linux")]
            nvidia: crate::nvml::Nvidia::new(config.nvml_path.clone()),
            inventory: Inventory::default(),
            other_processes: OtherProcesses::default(),
            warned: false,
            config,
        }
    }

    fn sample(&mut self) -> Sample {
        let taken = Instant::now();
        let host = self.host.sample(&self.config);
        let mut found = self.gpus(taken);
        // A constant and not an attribute, so that all of it is compiled everywhere. Apple's hosts with other
        // processors have other GPUs, which are not known.
        if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
            found.push(unified::device(&host, host.processes.clone()));
        }
        let gpus = self.inventory.settle(found);
        let all = gpus.len();
        let mut devices = allowed(gpus, &self.config.devices);
        let withheld = devices.len() < all;
        let wants_host = wants_host(&self.config.devices);
        if withheld && devices.is_empty() && !wants_host && !self.warned {
            tracing::warn!(devices = self.config.devices.join(", "), "no device has a name or index of the setting");
            self.warned = true;
        }
        self.log_other_processes(&devices, &host, taken);
        if devices.is_empty() || wants_host {
            devices.push(host.clone());
        }
        Sample { taken, devices, host, withheld }
    }

    fn log_other_processes(&mut self, devices: &[Device], host: &Device, now: Instant) {
        let ours: Vec<u32> = host.processes.iter().map(|child| child.pid).collect();
        // Without children other processes hold all that is held.
        let known = devices.iter().filter(|device| ours.is_empty() || knows_ours(device, &self.config.proc_root));
        for Change { id, from, to } in self.other_processes.changes(known, &ours, now) {
            tracing::info!(id, from, to, "other processes hold much more or much less of a device");
        }
    }

    #[cfg(target_os = "linux")]
    fn gpus(&mut self, now: Instant) -> Vec<Device> {
        let mut gpus = self.nvidia.sample(now);
        gpus.extend(crate::amd::sample(&self.config));
        gpus
    }

    #[cfg(not(target_os = "linux"))]
    fn gpus(&mut self, _: Instant) -> Vec<Device> {
        Vec::new()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
