//! The text of `fit`: the memory as a table, a bar for each device, and the largest sizes.

use auxot_gpu::Device;
use auxot_placement::{Placement, Share, Split, bytes_text};

use super::fit::FitReport;
use auxot_console::{Console, Paint, Part, bar, grouped};

/// A wider bar shows no more.
const MAX_BAR: usize = 60;
/// A narrower bar shows nothing.
const MIN_BAR: usize = 10;

pub(super) fn text(report: &FitReport<'_>, console: &Console) -> String {
    let mut text = format!("{}\n{}\n\n", console.paint(Paint::Strong, &report.model.name), asked(report));
    text.push_str(&sum(report, console));
    text.push('\n');
    text.push_str(&bars(report, console));
    text.push('\n');
    text.push_str(&conclusion(report, console));
    text
}

fn asked(report: &FitReport<'_>) -> String {
    let parameters = &report.parameters;
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

/// The parts of the memory requirements, on devices and in host memory.
fn sum(report: &FitReport<'_>, console: &Console) -> String {
    let requirements = &report.requirements;
    let tokens = u64::from(report.parameters.slots) * u64::from(report.parameters.ctx);
    let per_token = requirements.cache() / tokens.max(1);
    let mut rows = vec![
        ("weights", requirements.weights, format!("{} layers", requirements.layers.len())),
        ("cache", requirements.cache(), format!("{} per token", bytes_text(per_token))),
        ("compute", requirements.compute, "for a batch, on each device".to_owned()),
        ("logits", requirements.logits, "in host memory".to_owned()),
        ("process", requirements.process + requirements.slots, "in host memory".to_owned()),
    ];
    if requirements.projector > 0 {
        rows.insert(3, ("projector", requirements.projector, "vision or audio, on one device".to_owned()));
    }
    let mut text = String::new();
    for (name, bytes, note) in rows {
        text.push_str(&format!("  {name:<14}{:>10}   {}\n", bytes_text(bytes), console.paint(Paint::Faint, &note)));
    }
    if let Ok(placed) = &report.outcome {
        text.push_str(&format!("  {}\n", "─".repeat(24)));
        let on_devices: u64 = placed.shares.iter().map(|share| share.bytes).sum();
        if !placed.shares.is_empty() {
            let note = format!("with {} of the driver", bytes_text(drivers(report, placed, on_devices)));
            let bytes = bytes_text(on_devices);
            text.push_str(&format!("  {:<14}{bytes:>10}   {}\n", "on devices", console.paint(Paint::Faint, &note)));
        }
        text.push_str(&format!("  {:<14}{:>10}\n", "in host memory", bytes_text(placed.host)));
        if let Some(build) = &report.measured_with {
            let note = format!("  measured with an earlier engine, build {build}");
            text.push_str(&format!("{}\n", console.paint(Paint::Faint, &note)));
        }
    }
    text
}

/// Memory that is neither weights nor cache nor the engine's compute buffers.
fn drivers(report: &FitReport<'_>, placed: &Placement, on_devices: u64) -> u64 {
    let layers: u64 = placed.shares.iter().map(|share| share.weights + share.cache).sum();
    let requirements = &report.requirements;
    let row = if placed.split == Split::Layers { requirements.inputs * 3 } else { 0 };
    let work = (requirements.compute + row) * placed.shares.len() as u64 + requirements.projector;
    on_devices.saturating_sub(layers).saturating_sub(work)
}

/// One row of the bar chart.
struct BarRow {
    label: String,
    parts: Vec<Part>,
    total: Option<u64>,
    numbers: String,
}

fn bars(report: &FitReport<'_>, console: &Console) -> String {
    let placed = report.outcome.as_ref().ok();
    let share = |id: &str| placed?.shares.iter().find(|share| share.device == id);
    let devices = report.devices.iter().enumerate();
    let mut lines: Vec<BarRow> =
        devices.map(|(at, device)| device_line(&format!("{at}  {}", device.name), device, share(&device.id))).collect();
    lines.push(host_line(&report.host, placed, report));
    let label = lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0);
    let numbers = lines.iter().map(|line| line.numbers.chars().count()).max().unwrap_or(0);
    let width = console.columns().saturating_sub(label + numbers + 8).clamp(MIN_BAR, MAX_BAR);
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

fn device_line(label: &str, device: &Device, share: Option<&Share>) -> BarRow {
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
    BarRow { label: label.to_owned(), parts, total: known.map(|(total, _)| total), numbers }
}

fn host_line(host: &Device, placed: Option<&Placement>, report: &FitReport<'_>) -> BarRow {
    // Layers that stay in host memory are weights and cache there.
    let share = placed.map(|placed| {
        let kept = placed.layers - placed.offloaded;
        let cache = report.requirements.layers.iter().take(kept).map(|layer| layer.cache).sum();
        let weights = if placed.offloaded == 0 {
            report.requirements.weights
        } else {
            report.requirements.of_layers(0..kept).saturating_sub(cache) + report.requirements.embedding
        };
        let (device, selector) = (host.id.clone(), host.selector.clone());
        Share { device, selector, layers: 0..kept, bytes: placed.host, weights, cache }
    });
    device_line("host memory", host, share.as_ref())
}

fn conclusion(report: &FitReport<'_>, console: &Console) -> String {
    let mut text = match &report.outcome {
        Ok(placed) => format!("{}: {}\n", console.paint(Paint::Good, "fits"), how(placed, report)),
        Err(placement_error) => format!("{}: {placement_error}\n", console.paint(Paint::Bad, "does not fit")),
    };
    if let Some(unknown_devices) = &report.unknown_devices.1 {
        text.push_str(&format!("{unknown_devices}\n"));
    }
    let context =
        report.longest.map_or_else(|| "none".to_owned(), |tokens| format!("{} tokens", grouped(tokens.into())));
    let most = report.most.map_or_else(|| "none".to_owned(), slots);
    let (with_slots, with_ctx) = (slots(report.parameters.slots), grouped(report.parameters.ctx.into()));
    let rows = [(format!("longest context, {with_slots}"), context), (format!("most slots, {with_ctx} tokens"), most)];
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        text.push_str(&format!("{name:<width$}  {value}\n"));
    }
    text
}

fn how(placed: &Placement, report: &FitReport<'_>) -> String {
    let index = |share: &Share| report.devices.iter().position(|device| device.id == share.device).unwrap_or_default();
    let devices: Vec<String> = placed.shares.iter().map(|share| index(share).to_string()).collect();
    let devices = devices.join(" and ");
    let layers: Vec<String> = placed.shares.iter().map(|share| share.layers.len().to_string()).collect();
    match placed.split {
        Split::Whole => format!("all of it on device {devices}"),
        Split::Layers => format!("on devices {devices}, {} layers", layers.join(" + ")),
        Split::Tensor => format!("on devices {devices}, part of every layer on each"),
        Split::Partial => {
            format!("{} of {} layers on device {devices}, the others in host memory", placed.offloaded, placed.layers)
        }
        Split::Host => "in host memory".to_owned(),
        Split::Engine => "in host memory, as far as is known".to_owned(),
    }
}
