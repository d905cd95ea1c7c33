//! The files of one model: planned, downloaded several at once, placed together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::HubClient;
use crate::config::Config;
use crate::download::{Download, Item};
use crate::error::HubError;
use crate::event::{Event, Observer};
use crate::leftovers;
use crate::part::{BLOCK, Part, part_path};
use crate::record::Record;
use crate::space::need_space;
use crate::transfer::{Transfer, blocking};
use crate::verify::sum_of;

/// What becomes of one file.
enum State {
    /// It is in its place.
    InPlace,
    /// It is downloaded; so many bytes are here.
    Wanted { have: u64 },
}

/// Downloads all files, gives them their names, and returns their places in the order of the items.
pub(crate) async fn pull(
    client: &HubClient,
    config: &Config,
    download: &Download,
    observer: &Observer,
) -> Result<Vec<PathBuf>, HubError> {
    let targets: Vec<PathBuf> = download.items.iter().map(|item| download.folder.join(&item.path)).collect();
    let places: Vec<(Item, PathBuf)> = download.items.iter().cloned().zip(targets.iter().cloned()).collect();
    let states = {
        let places = places.clone();
        blocking(move || prepare(&places)).await?
    };
    let known = || download.items.iter().filter_map(|item| item.size);
    let have = download.items.iter().zip(&states).map(|(item, state)| match state {
        State::InPlace => item.size.unwrap_or_default(),
        State::Wanted { have } => *have,
    });
    let (bytes, have): (u64, u64) = (known().sum(), have.sum());
    observer(&Event::Planned { files: download.items.len(), bytes, have });
    if states.iter().any(|state| matches!(state, State::Wanted { .. })) {
        need_space(&download.folder, bytes.saturating_sub(have), config.keep_free)?;
    }
    download_all(client, config, download, &targets, states, observer).await?;
    let unchanged =
        blocking(move || places.iter().map(|(item, target)| place(item, target)).collect::<Result<Vec<_>, _>>());
    for ((item, target), unchanged) in download.items.iter().zip(&targets).zip(unchanged.await?) {
        observer(&Event::Placed { file: &item.name(), path: &target.to_string_lossy(), unchanged });
    }
    Ok(targets)
}

/// Makes the folders, removes old leftovers, and finds out what is here. Blocks.
fn prepare(places: &[(Item, PathBuf)]) -> Result<Vec<State>, HubError> {
    let mut folders: Vec<&Path> = places.iter().filter_map(|(_, target)| target.parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        std::fs::create_dir_all(folder).map_err(HubError::disk("create", folder))?;
        leftovers::sweep(folder);
    }
    places.iter().map(|(item, target)| state(item, target)).collect()
}

fn state(item: &Item, target: &Path) -> Result<State, HubError> {
    if is_in_place(item, target)? {
        return Ok(State::InPlace);
    }
    let have = std::fs::metadata(part_path(target)).map_or(0, |part| part.len());
    Ok(State::Wanted { have: item.size.map_or(0, |size| have.min(size)) })
}

/// Whether the file is here: by its record, or else by its content, which then gets a record. Blocks.
///
/// # Errors
/// When another file has its place.
fn is_in_place(item: &Item, target: &Path) -> Result<bool, HubError> {
    let Ok(metadata) = std::fs::metadata(target) else { return Ok(false) };
    if let Some(record) = Record::of(target) {
        let same = item.sha256.map_or(record.origin == item.origin, |sum| sum == record.sha256);
        return Ok(same && record.size == metadata.len());
    }
    let Some(expected) = item.sha256 else { return Err(HubError::Occupied(target.to_path_buf())) };
    if item.size.is_some_and(|size| size != metadata.len()) {
        return Err(HubError::Occupied(target.to_path_buf()));
    }
    let digest = sum_of(target, BLOCK).map_err(HubError::disk("read", target))?;
    if digest.sum() != expected {
        return Err(HubError::Occupied(target.to_path_buf()));
    }
    let (origin, size, borders) = (item.origin.clone(), digest.length(), digest.borders().clone());
    let record = Record { origin, size, sha256: expected, borders };
    record.write(target).map_err(HubError::disk("write the record of", target))?;
    Ok(true)
}

/// Downloads what is wanted, so many files at once. The first failure ends the others; their parts stay.
async fn download_all(
    client: &HubClient,
    config: &Config,
    download: &Download,
    targets: &[PathBuf],
    states: Vec<State>,
    observer: &Observer,
) -> Result<(), HubError> {
    let permits = Arc::new(Semaphore::new(config.files_at_once.max(1)));
    let mut tasks = JoinSet::new();
    for ((item, target), state) in download.items.iter().zip(targets).zip(states) {
        if let State::InPlace = state {
            continue;
        }
        let (target, permits) = (target.clone(), Arc::clone(&permits));
        let (client, config, observer) = (client.clone(), config.clone(), Arc::clone(observer));
        let transfer = Transfer { client, config, name: item.name(), item: item.clone(), observer };
        tasks.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await.ok();
            one(transfer, target).await
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|fault| HubError::Setup(fault.to_string()))??;
    }
    Ok(())
}

/// Downloads one file. Its part is unlocked once it is whole: two processes that download the same unit would otherwise
/// wait for each other's files.
async fn one(transfer: Transfer, target: PathBuf) -> Result<(), HubError> {
    let (item, name, observer) = (transfer.item.clone(), transfer.name.clone(), Arc::clone(&transfer.observer));
    let opened = blocking(move || {
        let part = Part::open(&target, &item, BLOCK, || observer(&Event::Waiting { file: &name }))?;
        if is_in_place(&item, &target)? {
            part.discard();
            return Ok(None);
        }
        Ok(Some(part))
    });
    if let Some(part) = opened.await? {
        transfer.run(part).await?;
    }
    Ok(())
}

/// Gives a whole file its name; whether it had it before. Blocks.
fn place(item: &Item, target: &Path) -> Result<bool, HubError> {
    if is_in_place(item, target)? {
        return Ok(true);
    }
    let part = Part::open(target, item, BLOCK, || ())?;
    if is_in_place(item, target)? {
        part.discard();
        return Ok(true);
    }
    if part.whole().is_none() {
        return Err(HubError::Taken { file: item.name() });
    }
    part.place(target)?;
    Ok(false)
}
