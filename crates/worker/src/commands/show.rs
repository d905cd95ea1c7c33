//! `auxot-worker models show NAME`: the facts of one model and its header, one on each line.

use auxot_catalog::{Model, RunParameters, path_text};
use auxot_placement::bytes_text;

use super::models::{model_json, pretty};
use auxot_console::{Console, Paint, grouped, parameters};

pub(super) fn text(model: &Model, run: &RunParameters, console: &Console) -> String {
    let yes = |holds: bool| if holds { "yes".to_owned() } else { "no".to_owned() };
    let mut facts: Vec<(&str, String)> = vec![
        ("task", model.task.to_string()),
        ("architecture", model.arch.clone()),
        ("parameters", model.parameters.map_or_else(unknown, parameters)),
        ("quantisation", model.quant.clone().unwrap_or_else(unknown)),
        ("context", model.ctx_train.map_or_else(unknown, |tokens| format!("{} tokens", grouped(tokens.into())))),
        ("layers", model.block_count.map_or_else(unknown, |layers| layers.to_string())),
        ("chat template", yes(model.chat_template)),
        ("vision", yes(model.vision)),
        ("audio", yes(model.audio)),
        ("size", bytes_text(model.bytes)),
    ];
    if !model.other_names.is_empty() {
        facts.insert(0, ("also called", model.other_names.join(", ")));
    }
    facts.extend(model.files.iter().map(|file| ("file", path_text(file))));
    facts.extend(model.mmproj.iter().map(|file| ("mmproj", path_text(file))));
    facts.push(("needs", needs(model, run)));
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = format!("{}\n\n", console.paint(Paint::Strong, &model.name));
    for (name, fact) in facts {
        text.push_str(&format!("  {}  {fact}\n", console.paint(Paint::Faint, &format!("{name:<width$}"))));
    }
    text
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn needs(model: &Model, run: &RunParameters) -> String {
    match model.requirements(run) {
        Ok(requirements) => format!(
            "{} on one device for {} of {} tokens each; see `auxot-worker fit`",
            bytes_text(requirements.on_one_device()),
            if run.slots == 1 { "1 slot".to_owned() } else { format!("{} slots", run.slots) },
            grouped(run.ctx.into())
        ),
        Err(fault) => fault.to_string(),
    }
}

pub(super) fn json(model: &Model, run: &RunParameters) -> String {
    let mut whole = model_json(model);
    let requirements = model.requirements(run).ok();
    whole["needs"] = requirements.map_or(
        serde_json::Value::Null,
        |requirements| serde_json::json!({"slots": run.slots, "ctx": run.ctx, "bytes": requirements.on_one_device()}),
    );
    let header = model.header.keys().filter_map(|(key, value)| {
        use auxot_catalog::Value::{Bool, Float, Int, Ints, List, LongText, Text, Texts, Uint};
        let value = match value {
            Uint(number) => serde_json::json!(number),
            Int(number) => serde_json::json!(number),
            Float(number) => serde_json::json!(number),
            Bool(holds) => serde_json::json!(holds),
            Text(text) => serde_json::json!(text),
            Ints(list) => serde_json::json!(list),
            // The header holds only the length of these.
            LongText(_) | List(_) | Texts { .. } => return None,
        };
        Some((key.to_owned(), value))
    });
    whole["header"] = serde_json::Value::Object(header.collect());
    pretty(&whole)
}
