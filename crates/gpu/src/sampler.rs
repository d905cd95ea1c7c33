//! The thread that looks at the devices.

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

/// More often than this nobody needs to look.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end of the program waits for a driver that does not answer.
const STOP: Duration = Duration::from_secs(1);

/// Looks at the devices until it is dropped. Dropping waits for a look that is under way, for a
/// second at most: a driver call about a broken card may never come back.
#[derive(Debug)]
pub struct Sampler {
    refresh: Refresh,
    /// Tells the thread to stop. That nobody can ask any more would not do: handles may outlive this.
    stop: Arc<AtomicBool>,
    /// Ends when the thread does.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts the thread. The receiver holds a sample without devices until the first look has
    /// ended, so wait for a change before deciding anything.
    ///
    /// Should the system have no thread to give, that is logged, and the channel is closed: nothing will
    /// ever be known about the devices.
    #[must_use]
    pub fn start(config: Config) -> (Self, watch::Receiver<Arc<Sample>>) {
        let (samples, receiver) = watch::channel(Arc::new(Sample::unread()));
        let (refresh, asked) = Refresh::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (alive, ended) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name("gpu-sampler".to_string()).spawn(move || {
            let _alive = alive;
            run(Looker::new(config), &asked, &stopped, &samples);
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "cannot start the thread that looks at the devices");
        }
        (Self { refresh, stop, ended, thread: thread.ok() }, receiver)
    }

    /// What asks for a look at once.
    #[must_use]
    pub fn handle(&self) -> Refresh {
        self.refresh.clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.refresh.ask();
        let Some(thread) = self.thread.take() else { return };
        if self.ended.recv_timeout(STOP) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a driver does not answer; leaving the thread that asked it");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the thread that looked at the devices had panicked");
        }
    }
}

/// Looks once, here and now: for a command that ends afterwards. Blocks for as long as the drivers take.
#[must_use]
pub fn look(config: &Config) -> Sample {
    Looker::new(config.clone()).look()
}

fn run(mut looker: Looker, asked: &Receiver<()>, stop: &AtomicBool, samples: &watch::Sender<Arc<Sample>>) {
    let interval = looker.config.sample_interval.max(SHORTEST_INTERVAL);
    while !stop.load(Ordering::SeqCst) {
        samples.send_replace(Arc::new(looker.look()));
        match asked.recv_timeout(interval) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Everything that is asked in one look.
struct Looker {
    config: Config,
    host: Host,
    #[cfg(target_os = "linux")]
    nvidia: crate::nvml::Nvidia,
    inventory: Inventory,
    other_processes: OtherProcesses,
    /// Said once that nothing the settings name is there.
    complained: bool,
}

impl Looker {
    fn new(config: Config) -> Self {
        Self {
            host: Host::new(),
            #[cfg(target_os = "linux")]
            nvidia: crate::nvml::Nvidia::new(config.nvml_path.clone()),
            inventory: Inventory::default(),
            other_processes: OtherProcesses::default(),
            complained: false,
            config,
        }
    }

    fn look(&mut self) -> Sample {
        let taken = Instant::now();
        let host = self.host.sample(&self.config);
        let mut found = self.gpus(taken);
        // A constant and not an attribute, so that all of it is compiled everywhere. With other processors Apple built
        // in other GPUs, of which nothing is known.
        if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
            found.push(unified::device(&host, host.processes.clone()));
        }
        let gpus = self.inventory.settle(found);
        let all = gpus.len();
        let mut devices = allowed(gpus, &self.config.devices);
        let withheld = devices.len() < all;
        let wants_host = wants_host(&self.config.devices);
        if withheld && devices.is_empty() && !wants_host && !self.complained {
            tracing::warn!(devices = self.config.devices.join(", "), "no device has a name or index of the setting");
            self.complained = true;
        }
        self.tell_of_strangers(&devices, &host, taken);
        if devices.is_empty() || wants_host {
            devices.push(host.clone());
        }
        Sample { taken, devices, host, withheld }
    }

    fn tell_of_strangers(&mut self, devices: &[Device], host: &Device, now: Instant) {
        let ours: Vec<u32> = host.processes.iter().map(|child| child.pid).collect();
        // Without children all that is held is held by others.
        let known = devices.iter().filter(|device| ours.is_empty() || knows_ours(device, &self.config.proc_root));
        for Change { id, from, to } in self.other_processes.changes(known, &ours, now) {
            tracing::info!(id, from, to, "others hold much more or much less of a device");
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
