//! Which quantisation of a model is the best for this host: the largest that fits into free memory.

use auxot_catalog::{Catalog, MeasurementHistory, Model};
use auxot_gpu::Sample;
use auxot_hub::{Hub, Listing, Variant};
use auxot_placement::bytes_text;
use auxot_settings::Settings;

use super::super::fit::{HostState, check_fit};
use super::super::remote::{HeaderError, headers};
use crate::arguments::FitRequest;
use auxot_console::grouped;

/// Unquantised formats: twice the bytes of `Q8_0`, half its speed, and hardly better.
const UNQUANTISED: [&str; 5] = ["f32", "f16", "bf16", "fp32", "fp16"];

/// The chosen variant, and why.
pub(super) struct Choice<'l> {
    pub(super) variant: &'l Variant,
    pub(super) reason: String,
}

/// The largest variant that fits as the worker would load it; `None` where none does.
pub(super) async fn best<'l>(
    settings: &Settings,
    hub: &Hub,
    listing: &'l Listing,
    sample: &Sample,
) -> Result<Option<Choice<'l>>, HeaderError> {
    let mut too_large: Option<String> = None;
    for variant in candidates(&listing.variants) {
        // A header is fetched only where the weights alone may fit.
        if variant.bytes() > most(sample) {
            too_large = Some(format!("{} has {}", variant.label(), bytes_text(variant.bytes())));
            continue;
        }
        let remote = headers(hub, listing, variant).await?;
        let model = remote.model().ok_or_else(|| "is no model".to_owned());
        match model.and_then(|model| fit_text(settings, remote.catalog(), model, sample)) {
            Ok(size) => {
                let larger = too_large.map_or_else(String::new, |larger| format!("; {larger}"));
                let reason = format!("{} fits, {size}{larger}", variant.label());
                return Ok(Some(Choice { variant, reason }));
            }
            Err(refusal) => too_large = Some(format!("{} {refusal}", variant.label())),
        }
    }
    Ok(None)
}

/// The variants in the order in which they are tried: quantised ones first, each kind from the largest to the smallest.
fn candidates(variants: &[Variant]) -> Vec<&Variant> {
    let is_quantised = |variant: &Variant| {
        let quant = variant.quant.map(|quant| quant.to_string());
        !quant.is_some_and(|quant| UNQUANTISED.contains(&quant.as_str()))
    };
    let mut all: Vec<&Variant> = variants.iter().collect();
    all.sort_by_key(|variant| (!is_quantised(variant), std::cmp::Reverse(variant.bytes())));
    all
}

/// All free bytes of this host; without a bound where some are unknown.
fn most(sample: &Sample) -> u64 {
    let free = |device: &auxot_gpu::Device| device.free;
    let all = sample.devices.iter().map(free).chain([free(&sample.host)]);
    all.into_iter().try_fold(0_u64, |sum, free| Some(sum.saturating_add(free?))).unwrap_or(u64::MAX)
}

/// The size in which a model fits: that of the settings, else one slot, as a load makes it smaller; or why it does not.
pub(in super::super) fn fit_text(
    settings: &Settings,
    catalog: &Catalog,
    model: &Model,
    sample: &Sample,
) -> Result<String, String> {
    let fits = |slots| fits_in(settings, (catalog, model), sample, slots);
    fits(None).or_else(|_| fits(Some(1)))
}

fn fits_in(
    settings: &Settings,
    (catalog, model): (&Catalog, &Model),
    sample: &Sample,
    slots: Option<u32>,
) -> Result<String, String> {
    let state = crate::places::state_dir(settings);
    let history = MeasurementHistory::open(&auxot_fleet::measurements_file(&state));
    let host = HostState { sample, identity: None, history: &history };
    let own = settings.fleet.of(model, |name| catalog.resolve(name).ok());
    let request = FitRequest { name: model.name.clone(), ctx: None, slots, kv_type: None };
    let report = check_fit(settings, &own, model, &request, &host).map_err(|unknown| unknown.to_string())?;
    let slots = report.parameters.slots;
    let of = if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") };
    match &report.outcome {
        Ok(_) => Ok(format!("{of} of {} tokens", grouped(report.parameters.ctx.into()))),
        Err(refusal) => Err(refusal.to_string()),
    }
}
