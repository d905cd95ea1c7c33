//! Warnings about names in the settings that match nothing on this host, or several things. They are no errors, because a file
//! may be added and a device may be back later.

use std::collections::HashMap;
use std::path::Path;

use auxot_catalog::{Catalog, SHOWN, one_line};
use auxot_gpu::{HOST, Sample, is_meant};

use super::Config;

/// The number of tables that are checked; each is compared with every model.
const MAX_TABLES: usize = 1_000;

/// Warnings about tables of single models that match no model, several, or one that has another table.
#[must_use]
pub fn table_warnings(config: &Config, catalog: &Catalog) -> Vec<String> {
    let mut tables: HashMap<&Path, &str> = HashMap::new();
    let mut warnings = Vec::new();
    for name in config.models.keys().take(MAX_TABLES) {
        let shown = one_line(name, SHOWN);
        match catalog.resolve(name) {
            Err(fault) => warnings.push(format!("`[fleet.models.{shown}]` changes nothing: {fault}")),
            Ok(model) => {
                let first = *tables.entry(&model.file).or_insert(name);
                if first != name {
                    let (first, model) = (one_line(first, SHOWN), &model.name);
                    let is_for = format!("`[fleet.models.{first}]` is for {model} already");
                    warnings.push(format!("`[fleet.models.{shown}]` changes nothing: {is_for}"));
                }
            }
        }
    }
    warnings
}

/// The names in `gpu.devices` that match no device of this host, in one sentence; `None` where all match.
#[must_use]
pub fn device_warning(names: &[String], all: &Sample) -> Option<String> {
    let devices = || all.devices.iter().filter(|device| !device.is_host());
    let is_here = |name: &String| devices().any(|device| is_meant(name, device.index, &device.id));
    let unknown_devices: Vec<String> = names
        .iter()
        .filter(|name| !name.eq_ignore_ascii_case(HOST) && !is_here(name))
        .map(|name| one_line(name, SHOWN))
        .collect();
    let here = devices().map(|device| format!("{} ({})", device.index, device.id));
    let here = here.chain([HOST.to_owned()]).collect::<Vec<_>>().join(", ");
    (!unknown_devices.is_empty())
        .then(|| format!("`gpu.devices` names {}, which is not here; there is {here}", unknown_devices.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelConfig;
    use crate::tests::test_fleet::put;

    #[test]
    fn a_table_for_no_model_or_several_is_reported_with_the_choices() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["qwen-q4_0", "qwen-q8_0", "llama-q4_0"] {
            put(folder.path(), name);
        }
        let files = auxot_catalog::Config { models_dir: vec![folder.path().to_owned()], ..Default::default() };
        let catalog = Catalog::scan(&files);
        let warnings = |names: &[&str]| {
            let models = names.iter().map(|name| ((*name).to_owned(), ModelConfig::default())).collect();
            table_warnings(&Config { models, ..Config::default() }, &catalog)
        };
        assert!(warnings(&["llama", "qwen-q8_0"]).is_empty());
        let [none] = &warnings(&["mistral"])[..] else { panic!() };
        assert!(none.contains("[fleet.models.mistral]") && none.contains("llama-q4_0"), "{none}");
        let [several] = &warnings(&["qwen"])[..] else { panic!() };
        assert!(several.contains("qwen-q4_0") && several.contains("qwen-q8_0"), "{several}");
        let [twice] = &warnings(&["llama", "llama-q4_0"])[..] else { panic!() };
        assert!(twice.contains("`[fleet.models.llama]` is for llama-q4_0"), "{twice}");
    }

    #[test]
    fn an_unknown_device_is_reported_also_on_a_host_without_devices() {
        let names = ["0".to_owned(), "HOST".to_owned()];
        let text = device_warning(&names, &Sample::unread()).unwrap();
        assert!(text.contains("names 0,") && text.ends_with("there is host"), "{text}");
        assert_eq!(device_warning(&names[1..], &Sample::unread()), None);
    }
}
