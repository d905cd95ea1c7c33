//! RuleChecker for the tables of single models.

use auxot_fleet::ModelConfig;
use auxot_names::same_name;

use super::RuleChecker;
use crate::toml_text::dotted;

/// Variables that select an engine's devices; the worker sets them.
const DEVICE_VARIABLES: [&str; 3] = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"];

impl RuleChecker<'_> {
    pub(super) fn each_model(&mut self) {
        let models = &self.loaded.value.fleet.models;
        for (at, (name, model)) in models.iter().enumerate() {
            let table = key_of(&[name]);
            if name.trim().is_empty() {
                self.fault(&table, "the name is empty");
            } else if let Some(other) = models.keys().take(at).find(|other| same_name(other, name)) {
                let other = key_of(&[other]);
                let origin = self.loaded.origin(&other);
                self.fault(&table, format!("the same model as `{other}` ({origin}); keep one of the two"));
            }
            self.one_model(name, model);
        }
    }

    fn one_model(&mut self, name: &str, model: &ModelConfig) {
        self.slots(&key_of(&[name, "slots"]), model.slots);
        self.ctx_size(&key_of(&[name, "ctx_size"]), model.ctx_size);
        self.named_once(&key_of(&[name, "devices"]), &model.devices);
        if model.pin && model.ttl.is_some_and(|ttl| !ttl.is_zero()) {
            self.fault(&key_of(&[name, "ttl"]), "a pinned model is never unloaded; keep one of `pin` and `ttl`");
        }
        for variable in model.env.keys() {
            let key = key_of(&[name, "env", variable]);
            if variable.is_empty() || variable.contains(['=', '\0']) {
                self.fault(&key, "this cannot be the name of a variable");
            } else if variable.starts_with("AUXOT_") {
                self.fault(&key, "an engine does not use variables of the worker; remove it");
            } else if DEVICE_VARIABLES.contains(&variable.as_str()) {
                self.fault(&key, "the worker sets this variable; name the model's devices in `devices`");
            }
        }
    }
}

fn key_of(inner: &[&str]) -> String {
    let key: Vec<String> = ["fleet", "models"].iter().chain(inner).map(|part| (*part).to_owned()).collect();
    dotted(&key)
}
