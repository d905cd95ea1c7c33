//! What ROCm's part of the kernel knows of the cards: the processes that compute on them, and the id that selects one.
//!
//! The runtime walks the nodes below `/sys/class/kfd/kfd/topology/nodes` by their numbers and leaves out those that do
//! not compute and those that a container may not use. The places in what remains are the indices that
//! `ROCR_VISIBLE_DEVICES` takes, beside `GPU-` and the 16 hex digits of a node's `unique_id`. An id that two nodes
//! share, as the parts of one card may, is refused there; and old cards and those within processors have none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{number, text};
use crate::device::{DeviceSelector, ProcessUse};

/// The nodes that compute, in the runtime's order.
pub(super) struct Kfd {
    root: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    /// The number of the node in `/dev/dri`, by which a card is known here and there.
    render: u64,
    gpu: u64,
    unique: u64,
}

impl Kfd {
    pub(super) fn read(sysfs_root: &Path) -> Self {
        let root = sysfs_root.join("class/kfd/kfd");
        let numbers = fs::read_dir(root.join("topology/nodes")).into_iter().flatten();
        let mut numbers: Vec<u32> = numbers.filter_map(|node| node.ok()?.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        let nodes = numbers.iter().filter_map(|number| node(&root.join(format!("topology/nodes/{number}")))).collect();
        Self { root, nodes }
    }

    /// By which word the runtime knows the card with this render node.
    pub(super) fn word(&self, render: u64) -> Option<Arc<str>> {
        let at = self.nodes.iter().position(|node| node.render == render)?;
        let unique = self.nodes[at].unique;
        let alone = self.nodes.iter().filter(|node| node.unique == unique).count() == 1;
        Some(if unique > 0 && alone { word(unique) } else { at.to_string().into() })
    }

    /// All processes that compute on it, children of this program or not.
    pub(super) fn processes(&self, render: u64) -> Vec<ProcessUse> {
        let Some(node) = self.nodes.iter().find(|node| node.render == render) else { return Vec::new() };
        let Ok(processes) = fs::read_dir(self.root.join("proc")) else { return Vec::new() };
        let processes = processes.filter_map(|process| {
            let pid = process.ok()?.file_name().to_str()?.parse().ok()?;
            let bytes = number(&self.root.join("proc").join(format!("{pid}")), &format!("vram_{}", node.gpu))?;
            Some(ProcessUse::on_device(pid, Some(bytes)))
        });
        let mut processes: Vec<ProcessUse> = processes.filter(|process| process.bytes != Some(0)).collect();
        processes.sort_by_key(|process| process.pid);
        processes
    }
}

fn node(folder: &Path) -> Option<Node> {
    // Not to be read where a container may not use it.
    let gpu = number(folder, "gpu_id").filter(|gpu| *gpu > 0)?;
    let properties = text(folder, "properties")?;
    let property = |name: &str| {
        let value = properties.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse::<u64>().ok()
    };
    property("simd_count").filter(|count| *count > 0)?;
    let unique = property("unique_id").unwrap_or(0);
    Some(Node { render: property("drm_render_minor")?, gpu, unique })
}

fn word(unique: u64) -> Arc<str> {
    format!("GPU-{unique:016x}").into()
}

/// How a card is selected. Where ROCm's part of the kernel cannot be read the card itself may have its id.
pub(super) fn selector(kfd: &Kfd, render: Option<u64>, card: &Path) -> DeviceSelector {
    let own = || {
        let unique = u64::from_str_radix(text(card, "unique_id")?.trim(), 16).ok()?;
        (kfd.nodes.is_empty() && unique > 0).then(|| word(unique))
    };
    render.and_then(|render| kfd.word(render)).or_else(own).map_or(DeviceSelector::None, DeviceSelector::Rocr)
}
