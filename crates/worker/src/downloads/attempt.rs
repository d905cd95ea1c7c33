//! One attempt to download a model: a thread with a runtime of its own, and what it reports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auxot_catalog::expand_home;
use auxot_fleet::{DownloadState, Report, Sample};
use auxot_hub::{Event, Observer};
use auxot_settings::Settings;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::commands::download_of_table;

/// The pause between two looks at the bytes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A running attempt. Dropping it ends the download; what has arrived is kept.
pub(super) struct Attempt {
    progress: Arc<Mutex<Progress>>,
    thread: JoinHandle<Result<PathBuf, String>>,
    /// The thread ends when this is dropped.
    _cancel: oneshot::Sender<()>,
}

impl Attempt {
    /// Starts to download the model that a name of the table means; `free` is the memory that it may have.
    pub(super) fn start(settings: Arc<Settings>, name: &str, free: Sample) -> Self {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let observed = Arc::clone(&progress);
        let (cancel, cancelled) = oneshot::channel();
        let name = name.to_owned();
        let thread = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("cannot start a download: {error}"))?;
            runtime.block_on(async {
                tokio::select! {
                    ended = download(&settings, &name, &free, observed) => ended,
                    _ = cancelled => Err("the download was ended".to_owned()),
                }
            })
        });
        Self { progress, thread, _cancel: cancel }
    }

    /// How far it is.
    pub(super) fn state(&self) -> DownloadState {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).state()
    }

    /// Whether all bytes are here.
    pub(super) fn has_all(&self) -> bool {
        matches!(self.state(), DownloadState::Receiving { bytes, total } if bytes == total)
    }

    /// Resolves with the model's first file, or with why there is none.
    pub(super) async fn end(mut self) -> Result<PathBuf, String> {
        loop {
            if let Some(result) = self.step().await {
                return result;
            }
        }
    }

    /// Resolves with `None` when it is time for a look at the state, and at the end with the model's first file or with why there is none.
    pub(super) async fn step(&mut self) -> Option<Result<PathBuf, String>> {
        tokio::select! {
            ended = &mut self.thread => {
                Some(ended.unwrap_or_else(|fault| Err(format!("the download has failed: {fault}"))))
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => None,
        }
    }
}

/// The memory of the devices as it is without this worker's models: any of them may be evicted for the new one.
pub(super) fn free_without_models(report: &Report) -> Sample {
    let mut sample = Sample::clone(&report.devices);
    let held = |id: &str| {
        let of_device = report.models.iter().flat_map(|view| &view.memory).filter(|(device, _)| device == id);
        of_device.map(|(_, bytes)| bytes).sum::<u64>()
    };
    for device in sample.devices.iter_mut().chain([&mut sample.host]) {
        let all = device.free.map(|free| free.saturating_add(held(&device.id)));
        device.free = all.map(|free| free.min(device.total.unwrap_or(u64::MAX)));
    }
    sample
}

async fn download(
    settings: &Settings,
    name: &str,
    free: &Sample,
    progress: Arc<Mutex<Progress>>,
) -> Result<PathBuf, String> {
    let folder = settings.catalog.models_dir.first().map(|folder| expand_home(folder));
    let folder = folder.ok_or("there is no models folder to download to: set catalog.models_dir")?;
    let observer: Observer = Arc::new(move |event| progress.lock().unwrap_or_else(PoisonError::into_inner).note(event));
    let files = download_of_table(settings, name, free, Path::new(&folder), &observer).await;
    let files = files.map_err(|error| error.to_string())?;
    files.into_iter().next_back().ok_or_else(|| "it has no files".to_owned())
}

/// The bytes of all files.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes of all files; `None` before their sizes are known.
    total: Option<u64>,
    /// Bytes that are here of files which have not begun.
    before: u64,
    files: HashMap<String, u64>,
}

impl Progress {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned { bytes, have, .. } => (self.total, self.before) = (Some(*bytes), *have),
            Event::Started { file, have, .. } => {
                self.files.insert((*file).to_owned(), *have);
                self.before = self.before.saturating_sub(*have);
            }
            Event::Received { file, bytes } => _ = self.files.insert((*file).to_owned(), *bytes),
            Event::Waiting { .. } | Event::Retrying { .. } | Event::Verified { .. } | Event::Placed { .. } => {}
        }
    }

    fn state(&self) -> DownloadState {
        let Some(total) = self.total else { return DownloadState::Resolving };
        let bytes = self.files.values().fold(self.before, |sum, bytes| sum.saturating_add(*bytes));
        DownloadState::Receiving { bytes: bytes.min(total), total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_all_files_are_counted_once() {
        let mut progress = Progress::default();
        let mut after = |event: Event<'_>| {
            progress.note(&event);
            progress.state()
        };
        let at = |bytes| DownloadState::Receiving { bytes, total: 100 };
        assert_eq!(after(Event::Waiting { file: "a" }), DownloadState::Resolving);
        assert_eq!(after(Event::Planned { files: 3, bytes: 100, have: 30 }), at(30));
        assert_eq!(after(Event::Started { file: "a", size: Some(50), have: 20 }), at(30));
        assert_eq!(after(Event::Received { file: "a", bytes: 40 }), at(50));
        assert_eq!(after(Event::Received { file: "b", bytes: 500 }), at(100), "more than was stated");
    }
}
