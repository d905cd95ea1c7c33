//! `auxot-worker fit MODEL`: whether and how a model fits, and the largest context and number of slots.

use std::sync::Arc;

use auxot_catalog::{Identity, MeasurementHistory, MemoryRequirements, Model, RequirementsUnknown, RunParameters};
use auxot_fleet::{MAX_SLOTS, ModelConfig, unknown_devices, with_layers};
use auxot_gpu::{Device, Sample};
use auxot_placement::{Capacity, LayerRequirements, Placement, PlacementError, Rules, Subject, plan};
use auxot_settings::Settings;
use serde_json::{Value, json};

use super::models::pretty;
use crate::arguments::FitRequest;

/// A context is rounded up to a multiple of this.
const CTX_STEP: u32 = 256;
/// Longest context where the header has none.
const MAX_CONTEXT: u32 = 1 << 20;

/// The result of `fit`.
#[derive(Debug)]
pub(super) struct FitReport<'a> {
    pub(super) model: &'a Model,
    pub(super) parameters: RunParameters,
    pub(super) requirements: Arc<MemoryRequirements>,
    /// The usable devices in the planner's order, without the host.
    pub(super) devices: Vec<Device>,
    pub(super) host: Device,
    pub(super) rules: Rules,
    pub(super) outcome: Result<Placement, PlacementError>,
    /// The engine build with which such a load was measured there; the measured bytes are used.
    pub(super) measured_with: Option<String>,
    /// Devices in the model's table that this host does not have, and the warning about them.
    pub(super) unknown_devices: (Vec<String>, Option<String>),
    /// The longest context that fits with the same number of slots.
    pub(super) longest: Option<u32>,
    /// The most slots that fit with the same context.
    pub(super) most: Option<u32>,
}

/// The state of the host that the result depends on.
#[derive(Debug)]
pub(super) struct HostState<'a> {
    /// The devices.
    pub(super) sample: &'a Sample,
    /// The state of the model's file.
    pub(super) identity: Option<Identity>,
    /// Measured memory of earlier loads.
    pub(super) history: &'a MeasurementHistory,
}

/// The size that applies where the command line gives none.
pub(super) fn usual_parameters(settings: &Settings, own: &ModelConfig, model: &Model) -> RunParameters {
    auxot_fleet::parameters(&settings.engine, own, None, model)
}

/// Plans a model on the devices as they are now.
pub(super) fn check_fit<'a>(
    settings: &Settings,
    own: &ModelConfig,
    model: &'a Model,
    request: &FitRequest,
    host_state: &HostState<'_>,
) -> Result<FitReport<'a>, RequirementsUnknown> {
    let HostState { sample, identity, history } = host_state;
    let usual = usual_parameters(settings, own, model);
    let kv_type = request.kv_type.unwrap_or(usual.keys);
    let parameters_of = |slots, ctx| RunParameters { keys: kv_type, values: kv_type, ..usual.resized(slots, ctx) };
    // As the worker limits them: the trained context, and the slots of an engine.
    let wanted =
        ModelConfig { slots: request.slots.or(own.slots), ctx_size: request.ctx.or(own.ctx_size), ..own.clone() };
    let sized = usual_parameters(settings, &wanted, model);
    let parameters = parameters_of(sized.slots, sized.ctx);
    let capacity = Capacity::of(sample, |_| 0);
    let mut rules = with_layers(&settings.placement.rules(!capacity.devices.is_empty()), settings.engine.gpu_layers);
    if let Some(layers) = own.gpu_layers {
        rules = with_layers(&rules, layers);
    }
    let mut capacity = capacity.limited(0, &rules);
    if !own.devices.is_empty() {
        (capacity, rules) = capacity.only(&own.devices, rules);
    }
    let arguments = [&settings.engine.extra_args[..], &own.args].concat();
    let subject = |parameters: &RunParameters| {
        let (file, arguments, build) = (model.file.clone(), arguments.clone(), String::new());
        Some(Subject { file, identity: (*identity)?, parameters: *parameters, arguments, build })
    };
    let remembered = |parameters: &RunParameters, placed: &Placement| {
        let (took, build) = history.recall_of_any_build(&subject(parameters)?.at(placed))?;
        Some((took.to_vec(), build.to_owned()))
    };
    let place = |parameters: &RunParameters, requirements: &Arc<MemoryRequirements>| {
        let known = |placed: &Placement| remembered(parameters, placed).map(|(took, _)| took);
        plan(&LayerRequirements::of(requirements), &capacity, &rules, Some(&known))
    };
    let fits = |parameters: &RunParameters| {
        model.requirements(parameters).is_ok_and(|requirements| place(parameters, &Arc::new(requirements)).is_ok())
    };
    let requirements = Arc::new(model.requirements(&parameters)?);
    let outcome = place(&parameters, &requirements);
    let measured_with =
        outcome.as_ref().ok().and_then(|placed| remembered(&parameters, placed)).map(|(_, build)| build);
    let trained = model.ctx_train.filter(|trained| *trained >= CTX_STEP).unwrap_or(MAX_CONTEXT);
    let blocks = largest(trained / CTX_STEP, |blocks| fits(&parameters_of(parameters.slots, blocks * CTX_STEP)));
    let most = largest(MAX_SLOTS, |slots| fits(&parameters_of(slots, parameters.ctx)));
    let devices = sample.devices.iter().filter(|device| device.kind != auxot_gpu::Kind::Host).cloned().collect();
    let (host, longest) = (sample.host.clone(), blocks.map(|blocks| blocks * CTX_STEP));
    let names = sample.unknown_devices(&own.devices).map(str::to_owned).collect();
    let unknown_devices = (names, unknown_devices(&model.name, &own.devices, sample));
    Ok(FitReport {
        model,
        parameters,
        requirements,
        devices,
        host,
        rules,
        outcome,
        measured_with,
        unknown_devices,
        longest,
        most,
    })
}

/// The largest number from 1 to `limit` that fits, provided that every smaller one fits.
fn largest(limit: u32, fits: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut good, mut bad) = (0, limit + 1);
    while bad - good > 1 {
        let middle = u32::midpoint(good, bad);
        if fits(middle) { good = middle } else { bad = middle }
    }
    (good > 0).then_some(good)
}

impl FitReport<'_> {
    /// The result as JSON. Keys stay; more may be added.
    pub(super) fn json(&self) -> String {
        let share_of = |id: &str| self.outcome.as_ref().ok()?.shares.iter().find(|share| share.device == id);
        let devices: Vec<Value> = self
            .devices
            .iter()
            .map(|device| {
                let share = share_of(&device.id);
                json!({
                    "id": device.id,
                    "name": device.name,
                    "kind": device.kind.to_string(),
                    "total": device.total,
                    "free": device.free,
                    "lost": device.lost,
                    "takes": share.map_or(0, |share| share.bytes),
                    "weights": share.map_or(0, |share| share.weights),
                    "cache": share.map_or(0, |share| share.cache),
                    "layers": share.map(|share| [share.layers.start, share.layers.end]),
                })
            })
            .collect();
        let placement = self.outcome.as_ref().ok().map(|placed| {
            json!({
                "split": format!("{:?}", placed.split).to_lowercase(),
                "offloaded": placed.offloaded,
                "layers": placed.layers,
                "host": placed.host,
                "arguments": placed.arguments(),
            })
        });
        pretty(&json!({
            "model": self.model.name,
            "slots": self.parameters.slots,
            "ctx": self.parameters.ctx,
            "kv_type": self.parameters.keys.name(),
            "need": {
                "weights": self.requirements.weights,
                "cache": self.requirements.cache(),
                "compute": self.requirements.compute,
                "logits": self.requirements.logits,
                "projector": self.requirements.projector,
                "process": self.requirements.process + self.requirements.slots,
                "one_device": self.requirements.on_one_device(),
            },
            "fits": self.outcome.is_ok(),
            "measured_with": self.measured_with,
            "placement": placement,
            "refusal": self.outcome.as_ref().err().map(ToString::to_string),
            "largest": {"ctx": self.longest, "slots": self.most},
            "unknown_devices": self.unknown_devices.0,
            // The old name of `unknown_devices`; the next release drops it.
            "strays": self.unknown_devices.0,
            "reserve": self.rules.reserve,
            "devices": devices,
            "host": {"total": self.host.total, "free": self.host.free},
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_fits_is_found() {
        for limit in 0..20 {
            for bound in 0..25 {
                let expected = (bound.min(limit) > 0).then_some(bound.min(limit));
                assert_eq!(largest(limit, |number| number <= bound), expected, "{limit} {bound}");
            }
        }
    }
}
