//! The model that the operator wants workers to run, and the policy that follows for one worker.

use auxot_protocol::{Capabilities, Policy};

/// The model that the operator wants; every part may be open.
///
/// An open part repeats what the worker announced, so that a worker with models of its own stays as it is: with nothing
/// set, its policy is its own model, context and slots, or no model (`model_name` empty) while it announces none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredModel {
    /// Name of the model.
    pub model: Option<String>,
    /// Its quantisation; `None` for any.
    pub quantization: Option<String>,
    /// Context in tokens per slot.
    pub ctx_size: Option<u32>,
    /// Jobs in parallel on one worker.
    pub max_parallel: Option<u32>,
}

impl DesiredModel {
    /// The model with its quantisation.
    pub(crate) fn full_name(&self) -> Option<String> {
        let model = self.model.as_ref()?;
        Some(self.quantization.as_ref().map_or_else(|| model.clone(), |quant| format!("{model}-{quant}")))
    }

    /// The policy for a worker that announced `capabilities`.
    pub(crate) fn policy(&self, capabilities: &Capabilities) -> Policy {
        let announced = announced_model(capabilities).unwrap_or_default();
        let model_name = self.model.clone().unwrap_or(announced);
        let desired_capabilities = match &self.model {
            Some(name) => capabilities_from_name(name),
            None => match announced_tasks(capabilities) {
                [] => capabilities_from_name(&model_name),
                tasks => tasks.to_vec(),
            },
        };
        Policy {
            model_name,
            quantization: self.quantization.clone().unwrap_or_default(),
            context_size: self.ctx_size.unwrap_or(capabilities.ctx_size),
            max_parallelism: self.max_parallel.or(capabilities.total_slots).unwrap_or(1).into(),
            capabilities: desired_capabilities,
            echoed: self.echoed(),
            ..Policy::default()
        }
    }
}

impl DesiredModel {
    /// The fields of a policy that are open here.
    fn echoed(&self) -> Vec<String> {
        let open = [
            (self.model.is_none(), Policy::MODEL_NAME),
            (self.ctx_size.is_none(), Policy::CONTEXT_SIZE),
            (self.max_parallel.is_none(), Policy::MAX_PARALLELISM),
            (self.model.is_none(), Policy::CAPABILITIES),
        ];
        open.into_iter().filter(|(is_open, _)| *is_open).map(|(_, name)| name.to_owned()).collect()
    }
}

/// The full name of a worker's primary model, when it has one.
fn announced_model(capabilities: &Capabilities) -> Option<String> {
    match capabilities.models.first() {
        Some(report) => Some(report.name.clone()),
        None if is_pending(capabilities) => None,
        None => Some(capabilities.model.clone()),
    }
}

/// The tasks of a worker's primary model, where the worker reports them.
fn announced_tasks(capabilities: &Capabilities) -> &[String] {
    match capabilities.models.first() {
        Some(report) if capabilities.model_capabilities.is_empty() => &report.capabilities,
        _ => &capabilities.model_capabilities,
    }
}

/// Whether a worker has no model yet.
pub(crate) fn is_pending(capabilities: &Capabilities) -> bool {
    capabilities.models.is_empty() && matches!(capabilities.model.as_str(), "" | "pending")
}

/// The capabilities of a model by its name, with the rules measured at the upstream router.
fn capabilities_from_name(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let mut found = Vec::new();
    for (capability, words) in [
        ("vision", &["vision", "multimodal", "vl-"][..]),
        ("code", &["code", "coder", "starcoder"][..]),
        ("embedding", &["embed"][..]),
        ("reasoning", &["deepseek-r1", "kimi", "qwq"][..]),
    ] {
        if has(words) {
            found.push(capability.to_owned());
        }
    }
    if found.is_empty() {
        found.push("chat".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_parts_repeat_what_the_worker_announces() {
        let worker = Capabilities {
            model: "gemma-3-4b-it".into(),
            ctx_size: 4096,
            total_slots: Some(3),
            model_capabilities: vec!["chat".into(), "vision".into()],
            ..Capabilities::default()
        };
        let policy = DesiredModel::default().policy(&worker);
        assert_eq!(
            (policy.model_name.as_str(), policy.context_size, policy.max_parallelism),
            ("gemma-3-4b-it", 4096, 3)
        );
        assert_eq!(policy.capabilities, ["chat", "vision"]);
        let all = ["model_name", "context_size", "max_parallelism", "capabilities"];
        assert_eq!(policy.echoed, all, "no field is set");
    }

    #[test]
    fn an_open_model_keeps_the_tasks_that_its_worker_reports() {
        let report = serde_json::json!({ "name": "bge-m3", "state": "ready", "capabilities": ["embedding"] });
        let models = vec![serde_json::from_value(report).unwrap()];
        let worker = Capabilities { model: "bge-m3".into(), models, ..Capabilities::default() };
        assert_eq!(DesiredModel::default().policy(&worker).capabilities, ["embedding"]);
    }

    #[test]
    fn a_worker_without_a_model_gets_a_policy_without_one() {
        let pending = Capabilities { backend: "pending".into(), model: "pending".into(), ..Capabilities::default() };
        assert_eq!(DesiredModel::default().policy(&pending).model_name, "");
    }

    #[test]
    fn set_parts_are_in_the_policy_of_every_worker() {
        let desired = DesiredModel {
            model: Some("Qwen3-Coder-30B".into()),
            quantization: Some("Q4_K_S".into()),
            ctx_size: Some(8192),
            max_parallel: Some(2),
        };
        let policy = desired.policy(&Capabilities { model: "other".into(), ..Capabilities::default() });
        assert_eq!(policy.wanted_model(), "Qwen3-Coder-30B-Q4_K_S");
        assert_eq!((policy.context_size, policy.max_parallelism), (8192, 2));
        assert_eq!(policy.capabilities, ["code"]);
        assert!(policy.echoed.is_empty());
    }
}
