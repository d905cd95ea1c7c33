//! The capabilities of this worker, as `hello` and `config` hold them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use auxot_fleet::{Fleet, ModelState as State, ModelView, Report, UnloadedModel};
use auxot_protocol::{AliasReport, Capabilities, DeviceReport, ModelReport, ModelState, extension};

use crate::report::{Telemetry, other_names};

/// The backend name by which a router recognises a GPU worker.
const BACKEND: &str = "llama.cpp";
/// The most models that no job has used yet in a report; a heartbeat must stay small.
const MOST_SLEEPERS: usize = 256;
/// The most aliases in a report.
const MOST_ALIASES: usize = 256;
/// The backend and model of a connection that only requests the policy.
const PENDING: &str = "pending";

/// The extensions of the protocol that this worker has.
const EXTENSIONS: [&str; 3] = [extension::PARAMETERS, extension::NOT_STARTED, extension::REQUESTS];

impl Telemetry {
    /// The capabilities now, with this connection's share of the slots.
    pub(crate) fn capabilities(&self, fleet: &Fleet, slots: impl FnOnce(u32) -> u32) -> Capabilities {
        let report = fleet.report();
        let primary = report.models.first();
        let takes = ModelView::takes_jobs;
        // A router replaces a missing number with its own default. So while the primary model loads and another model takes
        // jobs, the numbers are those that the primary model will have.
        let sized = primary.filter(|_| report.models.iter().any(takes));
        Capabilities {
            backend: BACKEND.to_owned(),
            model: primary.map(|model| model.model.base_name.clone()).unwrap_or_default(),
            ctx_size: sized.map_or(0, |model| model.ctx_size),
            vram_gb: vram_gib(&report),
            parameters: primary.and_then(|model| model.model.parameters).and_then(parameters),
            total_slots: sized.map(|model| slots(model.slots)),
            model_capabilities: primary.map(ModelView::capabilities).unwrap_or_default(),
            models: self.model_reports(&report, fleet),
            devices: devices(&report),
            unmet: report.unmet,
            aliases: aliases(fleet),
            names: other_names::reported(fleet.other_names(other_names::MOST_MODELS)),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
            draining: self.draining.load(Ordering::Relaxed),
        }
    }

    /// All models: those in use, the primary one first, then those that no job has used yet.
    pub(super) fn model_reports(&self, report: &Report, fleet: &Fleet) -> Vec<ModelReport> {
        let known = report.models.iter().map(|model| self.model_report(model));
        known.chain(fleet.unloaded_models(MOST_SLEEPERS).into_iter().map(sleeping)).collect()
    }

    fn model_report(&self, view: &ModelView) -> ModelReport {
        let figures = self.figures(&view.model.name);
        let takes = view.takes_jobs();
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        ModelReport {
            name: view.model.name.clone(),
            state: wire_form(&view.state),
            slots: takes.then_some(view.slots),
            slots_busy: view.slots_busy,
            queued: u32::try_from(view.waiting).unwrap_or(u32::MAX),
            ctx_size: takes.then_some(view.ctx_size),
            memory_bytes: view.memory_bytes(),
            latency_p50_ms: figures.latency_p50.map(millis),
            latency_p95_ms: figures.latency_p95.map(millis),
            ttft_p50_ms: figures.first_token_p50.map(millis),
            tokens_per_second: figures.tokens_per_second.map(|rate| (rate * 10.0).round() / 10.0),
            load_ms: view.load.and_then(|load| load.time).map(millis),
            load_evicts: view.load.and_then(|load| load.evicts),
            restarts: view.status.restarts,
            capabilities: view.capabilities(),
        }
    }
}

fn aliases(fleet: &Fleet) -> Vec<AliasReport> {
    fleet.aliases(MOST_ALIASES).into_iter().map(|(name, model)| AliasReport { name, model }).collect()
}

fn sleeping(sleeper: UnloadedModel) -> ModelReport {
    ModelReport {
        name: sleeper.name,
        state: ModelState::Stopped,
        slots: None,
        slots_busy: 0,
        queued: 0,
        ctx_size: None,
        memory_bytes: None,
        latency_p50_ms: None,
        latency_p95_ms: None,
        ttft_p50_ms: None,
        tokens_per_second: None,
        load_ms: None,
        load_evicts: None,
        restarts: 0,
        capabilities: sleeper.capabilities,
    }
}

/// The capabilities of a connection that only requests the policy.
pub(crate) fn pending() -> Capabilities {
    Capabilities { backend: PENDING.to_owned(), model: PENDING.to_owned(), ..Capabilities::default() }
}

/// The capabilities without the figures that change all the time; `config` is sent again when this part changes.
pub(crate) fn lasting(mut capabilities: Capabilities) -> Capabilities {
    for model in &mut capabilities.models {
        *model = ModelReport {
            slots_busy: 0,
            queued: 0,
            memory_bytes: None,
            latency_p50_ms: None,
            latency_p95_ms: None,
            ttft_p50_ms: None,
            tokens_per_second: None,
            load_ms: None,
            load_evicts: None,
            ..model.clone()
        };
    }
    capabilities.devices.clear();
    capabilities
}

/// The wire form of a model's state.
fn wire_form(state: &State) -> ModelState {
    match state {
        State::OnDisk => ModelState::Stopped,
        State::WaitingForRoom(_) | State::Reserved { .. } | State::Loading { .. } => ModelState::Starting,
        State::Ready(_) => ModelState::Ready,
        State::Draining { .. } => ModelState::Draining,
        State::Unloading { .. } => ModelState::Stopping,
        State::Backoff { .. } => ModelState::BackingOff,
        State::Failed => ModelState::Failed,
    }
}

pub(super) fn devices(report: &Report) -> Vec<DeviceReport> {
    let device = |device: &auxot_fleet::Device| DeviceReport {
        id: device.id.clone(),
        name: device.name.clone(),
        total_bytes: device.total,
        free_bytes: device.free,
        used_bytes: device.used,
    };
    report.usable_devices().map(device).collect()
}

/// Total device memory in GiB, without host memory; one unknown device makes the sum unknown.
fn vram_gib(report: &Report) -> Option<f64> {
    let devices = report.usable_devices().filter(|device| !device.is_host());
    let totals: Option<Vec<u64>> = devices.map(|device| device.total).collect();
    let total: u64 = totals.filter(|totals| !totals.is_empty())?.iter().sum();
    Some((total as f64 / f64::from(1 << 30) * 10.0).round() / 10.0)
}

/// `30B` or `751M`, truncated and not rounded, as in the upstream worker; `None` below a million.
fn parameters(count: u64) -> Option<String> {
    match count {
        1_000_000_000.. => Some(format!("{}B", count / 1_000_000_000)),
        1_000_000.. => Some(format!("{}M", count / 1_000_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_truncated_as_the_protocol_wants() {
        assert_eq!(parameters(751_632_384).as_deref(), Some("751M"));
        assert_eq!(parameters(30_532_122_624).as_deref(), Some("30B"));
        assert_eq!(parameters(32_768), None);
    }

    #[test]
    fn states_without_fields_have_the_words_of_the_wire() {
        use auxot_fleet::ModelState as State;
        let words = [State::OnDisk, State::Failed].map(|state| serde_json::to_value(wire_form(&state)).unwrap());
        assert_eq!(words, ["stopped", "failed"]);
    }

    #[test]
    fn figures_that_change_all_the_time_cause_no_config() {
        let model = |busy| ModelReport {
            name: "m".into(),
            state: ModelState::Ready,
            slots: Some(2),
            slots_busy: busy,
            queued: busy,
            ctx_size: Some(4096),
            memory_bytes: Some(u64::from(busy)),
            latency_p50_ms: Some(f64::from(busy)),
            latency_p95_ms: None,
            ttft_p50_ms: None,
            tokens_per_second: None,
            load_ms: Some(f64::from(busy)),
            load_evicts: Some(busy > 0),
            restarts: 0,
            capabilities: vec![],
        };
        let capabilities = |busy| Capabilities { models: vec![model(busy)], ..Capabilities::default() };
        assert_eq!(lasting(capabilities(0)), lasting(capabilities(2)));
        let mut stopped = capabilities(0);
        stopped.models[0].state = ModelState::Failed;
        assert_ne!(lasting(capabilities(0)), lasting(stopped));
    }
}
