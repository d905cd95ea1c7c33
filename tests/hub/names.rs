//! Names of the table, the choice of a quantisation by free memory, and `fit` for a model that is not here.

use std::path::Path;

use auxot_catalog::Catalog;
use auxot_names::ShardName;
use auxot_tests::FakeNvml;
use auxot_tests::blueprint::{Blueprint, Quant};
use auxot_tests::gguf::ModelFile;
use serde_json::Value;

use crate::{TestHub, events};

const RTX_4090: (u64, u64, &str) = (24_564, 480, "NVIDIA RTX 4090");

/// A hub with a large model in three formats, and the operator's name for it.
fn hub_with_a_large_model() -> TestHub {
    let hub = TestHub::new();
    let repository = hub.scratch.join("hub/acme/llama-3.3-70b-GGUF");
    std::fs::create_dir_all(&repository).unwrap();
    for quant in [Quant::Q4KM, Quant::Q8_0] {
        Blueprint::llama_70b(quant).write(&repository);
    }
    let table = "[[model]]\nname = \"house-model\"\nrepository = \"acme/llama-3.3-70b-GGUF\"\n";
    std::fs::write(hub.scratch.join("models.toml"), table).unwrap();
    hub
}

/// Runs a command on a host with these cards; its JSON values, one in each line or one in all.
#[track_caller]
fn with_cards(hub: &TestHub, cards: usize, arguments: &[&str], code: i32) -> (Vec<Value>, String) {
    let driver = FakeNvml::new(hub.scratch.path());
    driver.cards(&vec![RTX_4090; cards]);
    let mut command = hub.command(arguments);
    driver.show(&mut command);
    let output = command.env("AUXOT_HUB__MODELS_FILE", hub.scratch.join("models.toml")).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap);
    (values.collect(), errors)
}

#[test]
fn a_name_without_a_quantisation_is_the_largest_that_fits_and_says_why() {
    let hub = hub_with_a_large_model();
    let (shown, _) = with_cards(&hub, 2, &["pull", "house-model", "--dry-run", "--json"], 0);
    let chosen = events(&shown, "chosen")[0];
    assert_eq!((&chosen["repository"], &chosen["quantisation"]), (&"acme/llama-3.3-70b-GGUF".into(), &"Q4_K_M".into()));
    let reason = chosen["reason"].as_str().unwrap();
    assert!(reason.starts_with("Q4_K_M fits, ") && reason.contains("; Q8_0 "), "{reason}");
    let (shown, _) = with_cards(&hub, 4, &["pull", "House Model", "--dry-run", "--json"], 0);
    assert_eq!(events(&shown, "chosen")[0]["quantisation"], "Q8_0");
    assert_eq!(std::fs::read_dir(hub.scratch.models()).unwrap().count(), 0, "a dry run downloads nothing");
}

#[test]
fn where_nothing_fits_the_sizes_are_named() {
    let hub = hub_with_a_large_model();
    let (_, error) = with_cards(&hub, 1, &["pull", "house-model"], 1);
    assert!(error.contains("none of Q4_K_M (39.6 GiB), Q8_0 (") && error.contains("fits into free memory"), "{error}");
    let (_, error) = with_cards(&hub, 1, &["pull", "llama-3.3-71b"], 66);
    assert!(error.starts_with("cannot find llama-3.3-71b in the table of models: there is Llama-3.3-70B"), "{error}");
}

#[test]
fn fit_works_from_the_headers_of_a_model_that_is_not_here() {
    let hub = hub_with_a_large_model();
    let arguments = ["fit", "house-model-q4_k_m", "--slots", "1", "--json"];
    let (remote, _) = with_cards(&hub, 2, &arguments, 0);
    assert_eq!((&remote[0]["placement"]["offloaded"], &remote[0]["fits"]), (&81.into(), &true.into()));
    Blueprint::llama_70b(Quant::Q4KM).write(&hub.scratch.models());
    let (local, _) = with_cards(&hub, 2, &["fit", "llama-3.3-70b-q4_k_m", "--slots", "1", "--json"], 0);
    assert_eq!(remote[0]["need"], local[0]["need"], "the numbers of a downloaded model");
    let (large, _) = with_cards(&hub, 2, &["fit", "hf:acme/llama-3.3-70b-GGUF:Q8_0", "--json"], 1);
    assert_eq!(large[0]["fits"], false);
}

/// What a policy names must be found under that name once it is downloaded, or `fleet.pull` would never serve it.
#[test]
fn every_file_of_the_table_is_found_by_the_name_that_it_is_downloaded_for() {
    let table = auxot_hub::Table::read(None).unwrap();
    let (mut checked, mut faults) = (0, Vec::new());
    for entry in table.entries() {
        for (quant, file) in &entry.files {
            let scratch = auxot_tests::Scratch::new();
            let folder = scratch.models().join(entry.repository.to_string().replace('/', "_"));
            let place = folder.join(file);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            write_all(place.parent().unwrap(), place.file_name().unwrap().to_str().unwrap());
            let models_dir = vec![scratch.models()];
            let catalog = Catalog::scan(&auxot_catalog::Config { models_dir, ..auxot_catalog::Config::default() });
            let wanted = format!("{}-{quant}", entry.name);
            checked += 1;
            if let Err(fault) = catalog.resolve(&wanted) {
                faults.push(format!("{wanted}: {file}: {fault}"));
            }
        }
    }
    assert!(checked > 100 && faults.is_empty(), "{} of the table: {}", faults.len(), faults.join("\n"));
}

/// Writes a model whose header has no name, with all its shards where this is the first.
fn write_all(folder: &Path, first: &str) {
    let Some(shard) = ShardName::parse(first) else {
        ModelFile::named("").write(folder, first);
        return;
    };
    for part in 0..shard.of {
        let file = ModelFile { split: Some((part as u16, shard.of as u16)), ..ModelFile::named("") };
        file.write(folder, &format!("{}-{:05}-of-{:05}.gguf", shard.prefix, part + 1, shard.of));
    }
}
