//! Leftovers: descriptors of a worker, processes of a test's folder, files of a runtime folder.
//!
//! Each of these disappears a moment after the fault ends, without an event: they are polled.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::processes;

/// The worker's own socket, for the operator's commands.
const CONTROL_SOCKET: &str = "control.sock";

/// The polling interval. Reading all processes costs a millisecond.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a process holds open, by kind: `socket`, `pipe`, `anon_inode:[eventpoll]`, or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors(BTreeMap<String, usize>);

impl Descriptors {
    /// Those of one process, at this moment.
    pub fn of(pid: u32) -> Descriptors {
        let mut kinds = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            // One that was closed in between is not there.
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy();
            let kind = match target.split_once(":[") {
                Some((kind @ ("socket" | "pipe"), _)) => kind,
                _ => &target,
            };
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        Descriptors(kinds)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// Kinds of which there are more than before.
    fn beyond(&self, before: &Descriptors) -> Option<String> {
        let more = |(kind, count): (&String, &usize)| {
            let had = before.0.get(kind).copied().unwrap_or_default();
            (*count > had).then(|| format!("{kind}: {had} before, {count} now"))
        };
        let list: Vec<String> = self.0.iter().filter_map(more).collect();
        (self.count() > before.count()).then(|| list.join(", "))
    }
}

impl fmt::Display for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.count(), self.0)
    }
}

/// Waits until a process holds no more than before.
///
/// # Errors
/// At the deadline it still holds more; the text names the descriptors.
pub async fn descriptors(pid: u32, before: &Descriptors, deadline: Duration) -> Result<(), String> {
    let leaked = settled(deadline, || Descriptors::of(pid).beyond(before)).await;
    leaked.map_err(|leaked| format!("leaked descriptors: {leaked}"))
}

/// Waits until only `wanted` are left of all processes whose command line names the folder.
///
/// # Errors
/// At the deadline there are others; the text has their numbers.
pub async fn processes(folder: &Path, wanted: &[u32], deadline: Duration) -> Result<(), String> {
    let needle = folder.display().to_string();
    let left = settled(deadline, || {
        let mut left = processes::of_command_line(&needle);
        left.retain(|pid| !wanted.contains(pid));
        (!left.is_empty()).then(|| format!("{left:?}"))
    });
    left.await.map_err(|left| format!("orphan processes: {left}"))
}

/// Waits until a runtime folder holds its lock and the folders of so many living workers, and in each of these the one
/// socket and the one record of a worker with one engine.
///
/// # Errors
/// At the deadline it holds something else; the text lists its content.
pub async fn runtime_folder(folder: &Path, workers: usize, deadline: Duration) -> Result<(), String> {
    let left = settled(deadline, || {
        let found = listing(folder);
        let homes: Vec<&String> = found.iter().filter(|name| name.starts_with("w-")).collect();
        let others = found.iter().filter(|name| *name != "lock" && !name.starts_with("w-")).count();
        let odd = homes.iter().any(|home| {
            let mut files = listing(&folder.join(home));
            files.retain(|name| name != CONTROL_SOCKET);
            let with = |ending: &str| files.iter().filter(|name| name.ends_with(ending)).count();
            // Beside the empty configuration and the engines' working directory.
            (with(".sock"), with(".json"), files.len()) != (1, 1, 4)
        });
        let tidy = others == 0 && homes.len() == workers && !odd;
        (!tidy).then(|| {
            format!("{found:?}, {:?}", homes.iter().map(|home| listing(&folder.join(home))).collect::<Vec<_>>())
        })
    });
    left.await.map_err(|left| format!("the runtime folder of {workers} workers holds {left}"))
}

/// Whether a file of a worker's runtime folder is the socket of an engine; the worker has one too, for the operator.
pub fn is_engine_socket(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "sock") && !file.ends_with(CONTROL_SOCKET)
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Polls until there is no complaint; the error is the last one.
async fn settled(deadline: Duration, mut complaint: impl FnMut() -> Option<String>) -> Result<(), String> {
    let mut tick = tokio::time::interval(LOOK_AGAIN);
    let until = tokio::time::Instant::now() + deadline;
    loop {
        tick.tick().await;
        match complaint() {
            None => return Ok(()),
            Some(last) if tokio::time::Instant::now() >= until => return Err(last),
            Some(_) => {}
        }
    }
}
