//! AMD cards, from the files of the amdgpu driver.

mod kfd;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::device::{Device, Kind, ProcessUse};
use crate::fdinfo::{self, Held};
use crate::process::linux::descendants;
use kfd::Kfd;

const VENDOR: &str = "0x1002";

/// Reads all cards, in the order of their PCI addresses.
pub(crate) fn sample(config: &Config) -> Vec<Device> {
    let cards = cards(&config.sysfs_root);
    if cards.is_empty() {
        return Vec::new();
    }
    let held: Vec<(u32, BTreeMap<String, Held>)> =
        descendants(&config.proc_root).into_iter().map(|pid| (pid, fdinfo::held(&config.proc_root, pid))).collect();
    let kfd = Kfd::read(&config.sysfs_root);
    cards.iter().map(|(address, card)| read(address, card, &held, &kfd)).collect()
}

/// The cards by PCI address, each with the folder of its files.
fn cards(sysfs_root: &Path) -> BTreeMap<String, PathBuf> {
    let Ok(entries) = fs::read_dir(sysfs_root.join("class/drm")) else { return BTreeMap::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // `card0` is a card, `card0-DP-1` a plug on it.
    let names = names.filter(|name| name.strip_prefix("card").is_some_and(|n| n.parse::<u32>().is_ok()));
    names
        .filter_map(|name| {
            let card = sysfs_root.join("class/drm").join(name).join("device");
            let uevent = text(&card, "uevent")?;
            let address = uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME="))?;
            let ours = text(&card, "vendor")?.trim() == VENDOR && card.join("mem_info_vram_total").exists();
            ours.then(|| (address.to_string(), card))
        })
        .collect()
}

fn read(address: &str, card: &Path, held: &[(u32, BTreeMap<String, Held>)], kfd: &Kfd) -> Device {
    let name = text(card, "product_name").map(|name| name.trim().to_string()).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("AMD GPU {}", text(card, "device").unwrap_or_default().trim()));
    let mut device = Device::unread(Kind::Amd, address.to_string(), name);
    device.total = number(card, "mem_info_vram_total");
    device.used = number(card, "mem_info_vram_used");
    let shared = is_shared(card);
    if shared {
        let sum = |a: Option<u64>, b: Option<u64>| a?.checked_add(b?);
        device.total = sum(device.total, number(card, "mem_info_gtt_total"));
        device.used = sum(device.used, number(card, "mem_info_gtt_used"));
    }
    device.free = device.total.zip(device.used).and_then(|(total, used)| total.checked_sub(used));
    device.utilisation = number(card, "gpu_busy_percent").and_then(|percent| u32::try_from(percent).ok());
    device.temperature = temperature(card);
    // The files are there but the card behind them does not answer.
    device.lost = device.total.is_none() && device.used.is_none();
    let ours = held.iter().filter_map(|(pid, devices)| {
        let held = devices.get(address)?;
        let gtt = if shared { held.gtt } else { None };
        let bytes = held.vram.map(|vram| vram.saturating_add(gtt.unwrap_or(0)));
        Some(ProcessUse::on_device(*pid, bytes))
    });
    device.processes = ours.collect();
    let render = render_node(card);
    device.selector = kfd::selector(kfd, render, card);
    for process in render.map(|render| kfd.processes(render)).unwrap_or_default() {
        // Both ways count the same memory.
        match device.processes.iter_mut().find(|known| known.pid == process.pid) {
            Some(known) => known.bytes = known.bytes.filter(|bytes| *bytes > 0).or(process.bytes),
            None => device.processes.push(process),
        }
    }
    device
}

/// The first sensor of the card's monitor, in thousandths of a degree.
fn temperature(card: &Path) -> Option<u32> {
    let monitors = fs::read_dir(card.join("hwmon")).ok()?;
    let value = monitors.filter_map(Result::ok).find_map(|monitor| number(&monitor.path(), "temp1_input"))?;
    u32::try_from(value / 1000).ok()
}

/// Whether it is part of a processor: then its own memory is a small piece cut off the host's, and
/// what it can reach of the rest counts too. Only cards have memory chips with a known vendor.
fn is_shared(card: &Path) -> bool {
    let larger = number(card, "mem_info_gtt_total") > number(card, "mem_info_vram_total");
    larger && !card.join("mem_info_vram_vendor").exists()
}

/// The number of the card's node in `/dev/dri`.
fn render_node(card: &Path) -> Option<u64> {
    let names = fs::read_dir(card.join("drm")).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("renderD")?.parse().ok()).next()
}

fn text(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    text(folder, file)?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
