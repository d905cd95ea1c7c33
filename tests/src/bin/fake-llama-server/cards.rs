//! The simulated devices that an engine sees, and the memory that it uses on them until it exits (`--cards FOLDER`).

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::engine::Engine;

// The fake driver's own source, so that both read the same format.
#[allow(dead_code, unreachable_pub, missing_docs, reason = "the driver needs more of it")]
#[path = "../../../../crates/gpu/tests/fake_nvml/cards.rs"]
mod made_up;

/// The switches for an engine's memory on cards.
#[derive(Debug, Clone, Default)]
pub(crate) struct CardSwitches {
    /// `--cards FOLDER`: the cards; without it there are none.
    pub folder: Option<PathBuf>,
    /// `--card-mib N[,N…]`: the memory used on each card that gets a part, in their order. By default: the model file's
    /// size and the context's, in proportion to the card's part of the model.
    pub mib: Vec<u64>,
    /// `--token-bytes N`: the memory of each token of the whole context.
    pub token_bytes: u64,
    /// `--release PATH`: the memory is released not at the exit, but when this file exists.
    pub release: Option<PathBuf>,
}

/// Reserves the memory of this engine; the error is the engine's line for a device without enough.
pub(crate) fn take(engine: &Engine) -> Result<(), Vec<String>> {
    let switches = &engine.switches.cards;
    let Some(folder) = &switches.folder else { return Ok(()) };
    let cannot = |error: std::io::Error| vec![format!("cannot take memory in {}: {error}", folder.display())];
    // Two engines must not be given the same memory.
    let lock = File::create(folder.join("lock")).map_err(cannot)?;
    lock.lock().map_err(cannot)?;
    let visible = match named(folder, &engine.arguments.devices) {
        named if !named.is_empty() => named,
        _ => visible(folder, std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()),
    };
    let parts = engine.arguments.offload.parts(visible.len()).map_err(|line| vec![line])?;
    for (at, (card, bytes)) in visible.iter().zip(wanted(engine, &parts)).enumerate() {
        let held: u64 = made_up::held(folder, &card.id).iter().map(|held| held.bytes).sum();
        if bytes > card.total.saturating_sub(card.used + held) {
            return Err(out_of_memory(at, bytes));
        }
        if bytes > 0 {
            note(&folder.join(&card.id), bytes, switches.release.as_deref()).map_err(cannot)?;
        }
    }
    Ok(())
}

/// Whether a card with memory of this engine is lost.
pub(crate) fn lost(engine: &Engine) -> bool {
    let Some(folder) = &engine.switches.cards.folder else { return false };
    let mine = |card: &made_up::Card| folder.join(&card.id).join(std::process::id().to_string()).exists();
    all(folder).iter().any(|card| card.lost && mine(card))
}

/// The engine's line for a device without room for a buffer.
pub(crate) fn out_of_memory(device: usize, bytes: u64) -> Vec<String> {
    let mib = bytes as f64 / f64::from(1 << 20);
    vec![
        format!(
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating {mib:.2} MiB on device {device}: cudaMalloc failed: out of memory"
        ),
        format!("alloc_tensor_range: failed to allocate CUDA{device} buffer of size {bytes}"),
        format!("llama_model_load: error loading model: unable to allocate CUDA{device} buffer"),
    ]
}

fn all(folder: &Path) -> Vec<made_up::Card> {
    let state = std::fs::read_to_string(made_up::state(folder)).unwrap_or_default();
    made_up::read(&state).unwrap_or_default()
}

/// The lines of `--list-devices`, if they differ from those of an engine that was built for every card: separated
/// by `|`, such as `Vulkan0: NVIDIA card (24000 MiB, 24000 MiB free)`. Of this prefix, since engines are not shown ours.
const LISTED: &str = "GGML_FAKE_DEVICES";
const NATIVE: &str = "CUDA0: NVIDIA card (24000 MiB, 24000 MiB free)|ROCm0: AMD card (24000 MiB, 24000 MiB free)";

/// What `--list-devices` prints.
pub(crate) fn list() -> String {
    let listed = std::env::var(LISTED).unwrap_or_else(|_| NATIVE.to_owned());
    let line = |line: &str| format!("  {line}\n");
    let lines: String = listed.split('|').filter(|line| !line.is_empty()).map(line).collect();
    let none = if lines.is_empty() { "  (none)\n" } else { "" };
    format!("Available devices:\n{lines}{none}")
}

/// The cards of devices that are not CUDA's, by their names in the list; a name is the card of that size.
fn named(folder: &Path, names: &[String]) -> Vec<made_up::Card> {
    let listed = std::env::var(LISTED).unwrap_or_default();
    let mib = |name: &String| {
        let (_, rest) =
            listed.split('|').find_map(|line| line.split_once(": ").filter(|(listed, _)| listed == name))?;
        rest.rsplit_once(" (")?.1.split(' ').next()?.parse::<u64>().ok()
    };
    let cards = all(folder);
    let card = |mib: u64| cards.iter().find(|card| card.total == mib << 20).cloned();
    names.iter().filter_map(mib).filter_map(card).collect()
}

/// The driver's numbering for a process: the cards of the variable, up to the first unknown one.
fn visible(folder: &Path, named: Option<&str>) -> Vec<made_up::Card> {
    let cards = all(folder);
    let Some(named) = named else { return cards.into_iter().filter(|card| !card.lost).collect() };
    let find = |name: &str| {
        let at =
            name.parse().ok().or_else(|| cards.iter().position(|card| !name.is_empty() && card.id.starts_with(name)));
        at.and_then(|at: usize| cards.get(at)).filter(|card| !card.lost).cloned()
    };
    named.split(',').map_while(|name| find(name.trim())).collect()
}

/// Bytes for each card with such a part of the model.
fn wanted(engine: &Engine, parts: &[f64]) -> Vec<u64> {
    let switches = &engine.switches.cards;
    let file = std::fs::metadata(&engine.arguments.model).map_or(0, |meta| meta.len());
    let context = u64::from(engine.ctx_per_slot()) * u64::from(engine.arguments.slots) * switches.token_bytes;
    let mut said = switches.mib.iter();
    let of = |part: &f64| match (*part > 0.0).then(|| said.next()) {
        None => 0,
        Some(Some(mib)) => mib << 20,
        Some(None) => ((file + context) as f64 * part) as u64,
    };
    parts.iter().map(of).collect()
}

fn note(folder: &Path, bytes: u64, release: Option<&Path>) -> std::io::Result<()> {
    let until = release.map(|path| format!(" {}", path.display())).unwrap_or_default();
    std::fs::create_dir_all(folder)?;
    // Written whole, for concurrent readers. A number that is no process is ignored.
    let draft = folder.join(format!("{}.draft", std::process::id()));
    std::fs::write(&draft, format!("{bytes}{until}"))?;
    std::fs::rename(&draft, folder.join(std::process::id().to_string()))
}
