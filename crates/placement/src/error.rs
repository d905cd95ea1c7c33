//! Why there is no place for a model: a type with the numbers in it, and its text.

use super::stop::Stop;

/// Why there is no place for a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// It is larger than what is free.
    #[error("needs {}, free {}{}", bytes_text(*.needs), on(*.free, *.devices), advice(.stop.as_ref()))]
    DoesNotFit {
        /// Bytes it needs, on one device.
        needs: u64,
        /// Bytes that may be taken, on all devices together; of host memory where there is no device.
        free: u64,
        /// How many devices that is; 0 is host memory.
        devices: usize,
        /// Models that would make room.
        stop: Option<Stop>,
    },
    /// There is room on the devices, but not for what stays in host memory.
    #[error("needs {} of host memory, free {}", bytes_text(*.needs), bytes_text(*.free))]
    HostTooSmall {
        /// Bytes of host memory it needs.
        needs: u64,
        /// Bytes that may be taken.
        free: u64,
    },
    /// None of the devices that it may use exists.
    #[error("none of the devices that it may use is present")]
    NoDevice,
    /// It does not fit where memory is known, and memory elsewhere is unknown.
    #[error("the memory of {device} cannot be read")]
    MemoryUnknown {
        /// The first such device, or `host`.
        device: String,
    },
}

fn on(free: u64, devices: usize) -> String {
    let bytes = bytes_text(free);
    match devices {
        0 => format!("{bytes} of host memory"),
        1 => format!("{bytes} on 1 device"),
        _ => format!("{bytes} on {devices} devices"),
    }
}

fn advice(stop: Option<&Stop>) -> String {
    let Some(stop) = stop else { return String::new() };
    format!(", stopping {} would free {}", stop.models.join(" and "), bytes_text(stop.frees))
}

/// Bytes as a person reads them: `41.2 GiB`, `560 MiB`. The only text for sizes in output, log and errors; `bytesize` reads
/// those of the settings. Its own text has a decimal at every number (`560.0 MiB`), and 1024.0 of a unit below the next one.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024 of a unit is 1 of the next.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 100.0 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}
