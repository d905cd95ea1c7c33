//! What `fit` tells a person: the sum as a table, a bar for each device, how far one could go.

use auxot_gpu::Device;
use auxot_placement::{Placement, Share, Split, bytes_text};

use super::bar::{Part, bar};
use super::console::{Console, Paint};
use super::fit::Verdict;
use super::numbers::grouped;

/// A bar wider than this says no more.
const WIDEST_BAR: usize = 60;
/// A narrower one says nothing.
const NARROWEST_BAR: usize = 10;

pub(super) fn text(verdict: &Verdict<'_>, console: &Console) -> String {
    let mut text = format!("{}\n{}\n\n", console.paint(Paint::Strong, &verdict.model.name), asked(verdict));
    text.push_str(&sum(verdict, console));
    text.push('\n');
    text.push_str(&bars(verdict, console));
    text.push('\n');
    text.push_str(&conclusion(verdict, console));
    text
}

fn asked(verdict: &Verdict<'_>) -> String {
    let parameters = &verdict.parameters;
    let kind = if parameters.keys == auxot_catalog::KvType::F16 {
        String::new()
    } else {
        format!(", cache in {}", parameters.keys)
    };
    format!("{} of {} tokens{kind}", slots(parameters.slots), grouped(parameters.ctx.into()))
}

fn slots(count: u32) -> String {
    if count == 1 { "1 slot".to_owned() } else { format!("{count} slots") }
}

/// The parts of the need, as they lie: on devices, and in host memory.
fn sum(verdict: &Verdict<'_>, console: &Console) -> String {
    let requirements = &verdict.requirements;
    let tokens = u64::from(verdict.parameters.slots) * u64::from(verdict.parameters.ctx);
    let per_token = requirements.cache() / tokens.max(1);
    let mut rows = vec![
        ("weights", requirements.weights, format!("{} layers", requirements.layers.len())),
        ("cache", requirements.cache(), format!("{} a token", bytes_text(per_token))),
        ("compute", requirements.compute, "for a batch, on each device".to_owned()),
        ("logits", requirements.logits, "in host memory".to_owned()),
        ("process", requirements.process + requirements.slots, "in host memory".to_owned()),
    ];
    if requirements.projector > 0 {
        rows.insert(3, ("eyes and ears", requirements.projector, "on one device".to_owned()));
    }
    let mut text = String::new();
    for (name, bytes, note) in rows {
        text.push_str(&format!("  {name:<14}{:>10}   {}\n", bytes_text(bytes), console.paint(Paint::Faint, &note)));
    }
    if let Ok(placed) = &verdict.outcome {
        text.push_str(&format!("  {}\n", "─".repeat(24)));
        let on_devices: u64 = placed.shares.iter().map(|share| share.bytes).sum();
        if !placed.shares.is_empty() {
            let note = format!("with {} of the drivers' own", bytes_text(drivers(verdict, placed, on_devices)));
            let bytes = bytes_text(on_devices);
            text.push_str(&format!("  {:<14}{bytes:>10}   {}\n", "on devices", console.paint(Paint::Faint, &note)));
        }
        text.push_str(&format!("  {:<14}{:>10}\n", "in host memory", bytes_text(placed.host)));
        if let Some(build) = &verdict.measured_with {
            let note = format!("  as it was with the engine before, build {build}");
            text.push_str(&format!("{}\n", console.paint(Paint::Faint, &note)));
        }
    }
    text
}

/// What is neither weights nor cache nor work of the engine.
fn drivers(verdict: &Verdict<'_>, placed: &Placement, on_devices: u64) -> u64 {
    let layers: u64 = placed.shares.iter().map(|share| share.weights + share.cache).sum();
    let requirements = &verdict.requirements;
    let row = if placed.split == Split::Layers { requirements.inputs * 3 } else { 0 };
    let work = (requirements.compute + row) * placed.shares.len() as u64 + requirements.projector;
    on_devices.saturating_sub(layers).saturating_sub(work)
}

/// One line of the picture.
struct Line {
    label: String,
    parts: Vec<Part>,
    total: Option<u64>,
    numbers: String,
}

fn bars(verdict: &Verdict<'_>, console: &Console) -> String {
    let placed = verdict.outcome.as_ref().ok();
    let share = |id: &str| placed?.shares.iter().find(|share| share.device == id);
    let devices = verdict.devices.iter().enumerate();
    let mut lines: Vec<Line> =
        devices.map(|(at, device)| device_line(&format!("{at}  {}", device.name), device, share(&device.id))).collect();
    lines.push(host_line(&verdict.host, placed, verdict));
    let label = lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0);
    let numbers = lines.iter().map(|line| line.numbers.chars().count()).max().unwrap_or(0);
    let width = console.columns().saturating_sub(label + numbers + 8).clamp(NARROWEST_BAR, WIDEST_BAR);
    let mut text = String::new();
    for line in &lines {
        let picture = match line.total {
            Some(total) => bar(&line.parts, total, width, console),
            None => console.paint(Paint::Bad, &format!("{:<width$}", "unknown")),
        };
        text.push_str(&format!("  {:<label$}  {picture}  {}\n", line.label, line.numbers));
    }
    let legend = "░ in use   █ weights   ▓ cache   ▒ work and driver   · free";
    text.push_str(&format!("  {:<label$}  {}\n", "", console.paint(Paint::Faint, legend)));
    text
}

fn in_use(bytes: u64) -> Part {
    Part { bytes, sign: '░', paint: Paint::Faint }
}

fn new_parts(weights: u64, cache: u64, whole: u64) -> [Part; 3] {
    [
        Part { bytes: weights, sign: '█', paint: Paint::Good },
        Part { bytes: cache, sign: '▓', paint: Paint::Cache },
        Part { bytes: whole.saturating_sub(weights + cache), sign: '▒', paint: Paint::Work },
    ]
}

fn device_line(label: &str, device: &Device, share: Option<&Share>) -> Line {
    let known = device.total.zip(device.free);
    let mut parts = Vec::new();
    if let Some((total, free)) = known {
        parts.push(in_use(total.saturating_sub(free)));
        parts.extend(share.iter().flat_map(|share| new_parts(share.weights, share.cache, share.bytes)));
    }
    let numbers = match (known, share) {
        (Some((_, free)), Some(share)) => format!("{} of {} free", bytes_text(share.bytes), bytes_text(free)),
        (Some((_, free)), None) => format!("{} free", bytes_text(free)),
        (None, _) if device.lost => "the device is lost".to_owned(),
        (None, _) => "its memory cannot be read".to_owned(),
    };
    Line { label: label.to_owned(), parts, total: known.map(|(total, _)| total), numbers }
}

fn host_line(host: &Device, placed: Option<&Placement>, verdict: &Verdict<'_>) -> Line {
    // Of what lies in host memory, the layers that are not on devices are weights and cache.
    let share = placed.map(|placed| {
        let kept = placed.layers - placed.offloaded;
        let cache = verdict.requirements.layers.iter().take(kept).map(|layer| layer.cache).sum();
        let weights = if placed.offloaded == 0 {
            verdict.requirements.weights
        } else {
            verdict.requirements.of_layers(0..kept).saturating_sub(cache) + verdict.requirements.embedding
        };
        let (device, selector) = (host.id.clone(), host.selector.clone());
        Share { device, selector, layers: 0..kept, bytes: placed.host, weights, cache }
    });
    device_line("host memory", host, share.as_ref())
}

fn conclusion(verdict: &Verdict<'_>, console: &Console) -> String {
    let mut text = match &verdict.outcome {
        Ok(placed) => format!("{}: {}\n", console.paint(Paint::Good, "fits"), how(placed, verdict)),
        Err(placement_error) => format!("{}: {placement_error}\n", console.paint(Paint::Bad, "does not fit")),
    };
    if let Some(unknown_devices) = &verdict.unknown_devices.1 {
        text.push_str(&format!("{unknown_devices}\n"));
    }
    let context =
        verdict.longest.map_or_else(|| "none".to_owned(), |tokens| format!("{} tokens", grouped(tokens.into())));
    let most = verdict.most.map_or_else(|| "none".to_owned(), slots);
    let (with_slots, with_ctx) = (slots(verdict.parameters.slots), grouped(verdict.parameters.ctx.into()));
    let rows = [(format!("longest context, {with_slots}"), context), (format!("most slots, {with_ctx} tokens"), most)];
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        text.push_str(&format!("{name:<width$}  {value}\n"));
    }
    text
}

fn how(placed: &Placement, verdict: &Verdict<'_>) -> String {
    let index = |share: &Share| verdict.devices.iter().position(|device| device.id == share.device).unwrap_or_default();
    let devices: Vec<String> = placed.shares.iter().map(|share| index(share).to_string()).collect();
    let devices = devices.join(" and ");
    let layers: Vec<String> = placed.shares.iter().map(|share| share.layers.len().to_string()).collect();
    match placed.split {
        Split::Whole => format!("all of it on device {devices}"),
        Split::Layers => format!("on devices {devices}, {} layers", layers.join(" + ")),
        Split::Tensor => format!("on devices {devices}, a part of every layer on each"),
        Split::Partial => {
            format!("{} of {} layers on device {devices}, the others in host memory", placed.offloaded, placed.layers)
        }
        Split::Host => "in host memory".to_owned(),
        Split::Engine => "in host memory, as far as is known".to_owned(),
    }
}
