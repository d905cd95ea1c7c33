//! One device and what was read of it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// The id of the host's own memory among devices.
pub const HOST: &str = "host";

/// One reading of all devices.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When the reading began.
    pub taken: Instant,
    /// The devices, in an order that does not change; empty only before the first reading has ended.
    pub devices: Vec<Device>,
    /// The host's own memory, whether or not it is among `devices`.
    pub host: Device,
    /// There are other devices, which the operator has excluded.
    pub withheld: bool,
}

impl Sample {
    /// What is known before the first reading: nothing. Also the start of a test.
    #[must_use]
    pub fn unread() -> Self {
        let host = Device::unread(Kind::Host, HOST.to_owned(), "host memory".to_owned());
        Self { taken: Instant::now(), devices: Vec::new(), host, withheld: false }
    }

    /// Those of these names that mean no device here and not the host's memory; none before anything was read.
    pub fn unknown_devices<'a>(&self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let means = |name: &str, device: &Device| !device.is_host() && is_meant(name, device.index, &device.id);
        let here =
            move |name: &str| name.eq_ignore_ascii_case(HOST) || self.devices.iter().any(|device| means(name, device));
        let read = !self.devices.is_empty();
        names.iter().map(String::as_str).filter(move |name| read && !here(name))
    }
}

/// Memory that models can use: a GPU's, or the host's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Stable over restarts: NVIDIA's UUID, the PCI address of an AMD card, `metal` for Apple's, or `host`.
    pub id: String,
    /// Its number among all devices of this host, those that are lost or may not be used counted: settings name it by
    /// that.
    pub index: usize,
    /// Its place among those of its kind.
    pub rank: Rank,
    /// The product's name.
    pub name: String,
    /// The maker of the device, or the host.
    pub kind: Kind,
    /// How a process is restricted to it.
    pub selector: DeviceSelector,
    /// All memory, in bytes.
    pub total: Option<u64>,
    /// Memory that can still be taken, in bytes.
    pub free: Option<u64>,
    /// Memory in use, by any process, in bytes. It and `free` need not add up to `total`:
    /// drivers keep some for themselves.
    pub used: Option<u64>,
    /// The processes on it, as far as the driver says: on NVIDIA all, else at least the children of this one.
    pub processes: Vec<ProcessUse>,
    /// How warm it is, in degrees Celsius.
    pub temperature: Option<u32>,
    /// How much of the last moment it was at work, in percent.
    pub utilisation: Option<u32>,
    /// The driver cannot reach it any more.
    pub lost: bool,
}

/// A device's place among those of its kind that this host reaches now, those that may not be used counted: programs
/// that do not know its id, nor what may be used, count so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// So many come before it.
    pub at: usize,
    /// So many there are.
    pub of: usize,
}

/// Whether a setting's name of a device means the one of this index and id: the index itself, or the id's beginning in
/// any case. The host's memory is no device to this.
#[must_use]
pub fn is_meant(name: &str, index: usize, id: &str) -> bool {
    match name.parse::<usize>() {
        Ok(number) => number == index,
        Err(_) => id.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)),
    }
}

/// What one process holds on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessUse {
    /// The process, as the driver counts processes: in a container the number may differ from the one seen there.
    pub pid: u32,
    /// Bytes it holds, where the driver says.
    pub bytes: Option<u64>,
    /// Of the host's memory, the part of `bytes` that is pages of mapped files, in bytes: the weights of a model are
    /// mostly such. The kernel counts them among what is free, because it could read them again; the process needs them
    /// all the same. `None` where that is unknown, as on every device but the host.
    pub mapped: Option<u64>,
}

impl ProcessUse {
    /// What a driver reports of a process on its device.
    #[must_use]
    pub fn on_device(pid: u32, bytes: Option<u64>) -> Self {
        Self { pid, bytes, mapped: None }
    }
}

/// The maker of a device, or the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An NVIDIA card, or a slice of one.
    Nvidia,
    /// An AMD card.
    Amd,
    /// An Apple GPU, which shares the host's memory.
    Apple,
    /// The host's own memory.
    Host,
}

/// How an engine is restricted to a device: by a variable of its environment that lists the visible devices, or by an
/// argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceSelector {
    /// `CUDA_VISIBLE_DEVICES`, by the device's own id.
    Cuda,
    /// `ROCR_VISIBLE_DEVICES`, by this word: the PCI address that is the id of an AMD card means nothing there.
    Rocr(Arc<str>),
    /// `--device`, by the name that the engine itself has for it: where it reaches it in a way that heeds no variable.
    Named(Arc<str>),
    /// Not at all: there is no other of its kind, or its name is not known.
    None,
}

impl Kind {
    /// Whether its memory is the host's own, so that what is used of the one is used of the other.
    #[must_use]
    pub fn is_host_memory(self) -> bool {
        matches!(self, Self::Apple | Self::Host)
    }

    /// How devices of this kind are selected, as far as that does not depend on the device.
    #[must_use]
    pub fn selector(self) -> DeviceSelector {
        match self {
            Self::Nvidia => DeviceSelector::Cuda,
            Self::Amd | Self::Apple | Self::Host => DeviceSelector::None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Apple => "apple",
            Self::Host => "host",
        })
    }
}

impl Device {
    /// Whether it is the host's own memory.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.kind == Kind::Host
    }

    /// What all processes but `ours` hold, in bytes; `None` where that is unknown. What the driver keeps for itself
    /// counts as theirs, since it cannot be used.
    #[must_use]
    pub fn held_by_others(&self, ours: impl Fn(u32) -> bool) -> Option<u64> {
        let mine = self.processes.iter().filter(|process| ours(process.pid));
        let mine = mine.map(|process| process.bytes).try_fold(0_u64, |sum, bytes| Some(sum.saturating_add(bytes?)))?;
        Some(self.used?.saturating_sub(mine))
    }

    /// A device of which nothing was read yet.
    #[must_use]
    pub fn unread(kind: Kind, id: String, name: String) -> Self {
        Self {
            id,
            index: 0,
            rank: Rank { at: 0, of: 1 },
            name,
            kind,
            selector: kind.selector(),
            total: None,
            free: None,
            used: None,
            processes: Vec::new(),
            temperature: None,
            utilisation: None,
            lost: false,
        }
    }

    /// The same device when it cannot be reached.
    pub(crate) fn lost(kind: Kind, id: String, name: String) -> Self {
        Self { lost: true, ..Self::unread(kind, id, name) }
    }
}
