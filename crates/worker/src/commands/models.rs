//! `auxot-worker models`: one line for each model, and the files that cannot be used.

use auxot_catalog::{Catalog, Damaged, Model, Task, path_text};
use auxot_placement::bytes_text;
use serde_json::{Value, json};

use auxot_console::{Console, Paint, align_right, grouped, parameters};

pub(super) fn text(catalog: &Catalog, console: &Console) -> String {
    let mut text = String::new();
    if !catalog.models().is_empty() {
        text.push_str(&table(catalog.models(), console));
        text.push_str("\n\n");
    }
    let bytes = catalog.models().iter().map(|model| model.bytes).sum();
    text.push_str(&match catalog.models().len() {
        0 => "There are no models here: put GGUF files into a folder of AUXOT_MODELS_DIR.".to_owned(),
        1 => format!("1 model, {}", bytes_text(bytes)),
        count => format!("{count} models, {}", bytes_text(bytes)),
    });
    text.push('\n');
    if !catalog.damaged().is_empty() {
        let count = catalog.damaged().len();
        let heading = if count == 1 { "1 cannot be used:".to_owned() } else { format!("{count} cannot be used:") };
        text.push_str(&format!("\n{}\n", console.paint(Paint::Bad, &heading)));
        for Damaged { path, fault, .. } in catalog.damaged() {
            text.push_str(&format!("  {}\n    {fault}\n", path_text(path)));
        }
    }
    text
}

fn table(models: &[Model], console: &Console) -> String {
    let mut table = console.table();
    table.set_header(["NAME", "TASK", "ARCH", "PARAMS", "QUANT", "SIZE", "CONTEXT", "ALSO"]);
    for model in models {
        table.add_row([
            model.name.clone(),
            model.task.to_string(),
            model.arch.clone(),
            model.parameters.map(parameters).unwrap_or_default(),
            model.quant.clone().unwrap_or_default(),
            bytes_text(model.bytes),
            model.ctx_train.map(|tokens| grouped(tokens.into())).unwrap_or_default(),
            also(model),
        ]);
    }
    align_right(&mut table, &[3, 5, 6]);
    let mut lines: Vec<String> =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    if let Some(heading) = lines.first_mut() {
        *heading = console.paint(Paint::Faint, heading);
    }
    lines.join("\n")
}

fn also(model: &Model) -> String {
    let shards = format!("{} files", model.files.len());
    let too_long = format!("{} behind its end", bytes_text(model.header.weights().trailing));
    let words = [
        (model.vision, "vision"),
        (model.audio, "audio"),
        (!model.chat_template && model.task == Task::Chat, "no template"),
        (model.files.len() > 1, shards.as_str()),
        (model.header.weights().trailing > 0, too_long.as_str()),
    ];
    words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect::<Vec<_>>().join(", ")
}

pub(super) fn json(catalog: &Catalog) -> String {
    let models: Vec<Value> = catalog.models().iter().map(model_json).collect();
    let damaged: Vec<Value> = catalog
        .damaged()
        .iter()
        .map(|Damaged { name, path, fault }| json!({"name": name, "path": path_text(path), "fault": fault.to_string()}))
        .collect();
    let aliases: Vec<Value> =
        catalog.aliases().iter().map(|alias| json!({"name": alias.name, "model": alias.model})).collect();
    pretty(&json!({"models": models, "damaged": damaged, "aliases": aliases}))
}

/// All facts about a model. Keys stay; more may be added.
pub(super) fn model_json(model: &Model) -> Value {
    json!({
        "name": model.name,
        "base_name": model.base_name,
        "other_names": model.other_names,
        "task": model.task.to_string(),
        "kind": model.task.to_string(),
        "architecture": model.arch,
        "parameters": model.parameters,
        "quantisation": model.quant,
        "context_length": model.ctx_train,
        "layers": model.block_count,
        "chat_template": model.chat_template,
        "vision": model.vision,
        "audio": model.audio,
        "bytes": model.bytes,
        "file": path_text(&model.file),
        "files": model.files.iter().map(|file| path_text(file)).collect::<Vec<_>>(),
        "projector": model.mmproj.as_deref().map(path_text),
    })
}

pub(super) fn pretty(value: &Value) -> String {
    // These values are texts, numbers and lists: they can always be serialised.
    serde_json::to_string_pretty(value).unwrap_or_default()
}
