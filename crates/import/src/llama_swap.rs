//! The YAML of llama-swap: each model is a command line, with macros.

use saphyr::{LoadableYamlNode, Yaml};

use crate::ImportError;
use crate::arguments::{self, folder_of, name_of};
use crate::draft::Draft;
use crate::macros::Macros;

/// The address that llama-swap listens on by itself.
const ADDRESS: &str = "127.0.0.1:8080";

/// Keys of the file that say how llama-swap itself works, and why they are not needed.
const OF_LLAMA_SWAP: [(&str, &str); 17] = [
    ("healthCheckTimeout", "a load that makes progress has no time limit here"),
    ("unloadTimeout", "running answers get fleet.drain_timeout"),
    ("startPort", "engines listen on unix sockets"),
    ("sendLoadingState", "a stream gets comments on its load (gateway.early_head)"),
    ("includeAliasesInList", "`GET /v1/models` names the aliases of each model"),
    ("apiKeys", "make keys with `auxot-worker keys create`, and set gateway.keys_file"),
    ("logTimeFormat", "it has no counterpart"),
    ("logToStdout", "it has no counterpart"),
    ("metricsMaxInMemory", "metrics are on the metrics page"),
    ("captureBuffer", "requests are not recorded"),
    ("store", "requests are not recorded"),
    ("ui", "there is no page; see `auxot-worker status --watch`"),
    ("performance", "metrics are on the metrics page"),
    ("profiles", "it has no counterpart; aliases stand for one model each"),
    ("peers", "the worker serves models of this host only"),
    ("upstream", "it has no counterpart; see the list of paths in docs/serving.md"),
    ("rpcHealthCheck", "it has no counterpart"),
];

/// The same for the keys of one model.
const OF_MODEL: [(&str, &str); 15] = [
    ("proxy", "engines listen on unix sockets"),
    ("checkEndpoint", "the engine says itself when it is ready"),
    ("cmdStop", "the worker stops its engines"),
    ("unloadTimeout", "running answers get fleet.drain_timeout"),
    ("useModelName", "the engine gets the model's own name"),
    ("filters", "requests are passed on as they are; set defaults with arguments of the engine, such as --temp"),
    ("name", "models are listed by their names"),
    ("description", "models are listed by their names"),
    ("metadata", "it has no counterpart"),
    ("capabilities", "they are read from the model's file"),
    ("concurrencyLimit", "fleet.max_waiting bounds the requests that wait"),
    ("sendLoadingState", "a stream gets comments on its load (gateway.early_head)"),
    ("unlisted", "every model of the folders is listed"),
    ("timeouts", "engines are on this host; see gateway.header_timeout and its like"),
    ("rpcHealthCheck", "it has no counterpart"),
];

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file into a draft.
pub(crate) fn read(name: &str, text: &str, variable: Variable<'_>, draft: &mut Draft) -> Result<(), ImportError> {
    let documents = Yaml::load_from_str(text)
        .map_err(|error| ImportError::Yaml { name: name.to_owned(), reason: error.to_string() })?;
    let no_models = || ImportError::NoModels { name: name.to_owned() };
    let file = documents.first().ok_or_else(no_models)?;
    let models = file.as_mapping_get("models").and_then(Yaml::as_mapping).ok_or_else(no_models)?;
    draft.addresses.push(ADDRESS.to_owned());
    draft.note(
        &format!("the address {ADDRESS}"),
        "llama-swap takes its own from the command line; change it if it was set there",
    );
    let mut macros = Macros::default();
    take_macros(file, &mut macros);
    draft.ttl = seconds(file, "globalTTL");
    draft.log_level = file.as_mapping_get("logLevel").and_then(Yaml::as_str).map(str::to_owned);
    let mut names = Vec::new();
    for (id, model) in models {
        let Some(id) = scalar(id) else { continue };
        if let Some(name) = read_model(&id, model, macros.clone(), variable, draft) {
            names.push((id, name));
        }
    }
    let known = |id: &str| names.iter().find(|(known, _)| known == id).map(|(_, name)| name.clone());
    let preload =
        file.as_mapping_get("hooks").and_then(|hooks| hooks.as_mapping_get("on_startup")?.as_mapping_get("preload"));
    for id in texts(preload) {
        match known(&id) {
            Some(name) => draft.autoload.push(name),
            None => draft.note(&format!("hooks.on_startup.preload: {id}"), "this model is not taken over"),
        }
    }
    take_groups(file, &known, draft);
    take_costs(file, &known, draft);
    note_others(
        file,
        "",
        &OF_LLAMA_SWAP,
        &["models", "macros", "globalTTL", "logLevel", "hooks", "groups", "matrix"],
        draft,
    );
    Ok(())
}

/// Reads one model; returns the name that it has for the worker.
fn read_model(
    id: &str,
    model: &Yaml<'_>,
    mut macros: Macros,
    variable: Variable<'_>,
    draft: &mut Draft,
) -> Option<String> {
    let of = format!("models.{id}");
    take_macros(model, &mut macros);
    macros.set("MODEL_ID", id);
    // The worker chooses where its engine listens.
    macros.set("PORT", "0");
    let command = model.as_mapping_get("cmd").and_then(Yaml::as_str).unwrap_or_default();
    let (command, unknown) = macros.resolve(command, variable);
    for name in unknown {
        draft.note(&format!("{of}: ${{{name}}}"), "this macro is not known");
    }
    let words = engine_arguments(&of, &command, draft)?;
    let read = arguments::read(&of, &words, draft);
    let Some(file) = read.file else {
        draft.note(&of, "its command names no file of a model (--model), so it is not taken over");
        return None;
    };
    draft.folders.extend(folder_of(&file).map(str::to_owned));
    let name = name_of(&file).to_owned();
    draft.alias(id, &name);
    for alias in texts(model.as_mapping_get("aliases")) {
        draft.alias(&alias, &name);
    }
    let mut table = read.model;
    table.ttl = seconds(model, "ttl");
    for variable in texts(model.as_mapping_get("env")) {
        let (variable, _) = macros.resolve(&variable, &|_| None);
        if let Some((name, value)) = variable.split_once('=') {
            table.env.insert(name.to_owned(), value.to_owned());
        }
    }
    if let Some(other) = draft.models.insert(name.clone(), table.clone())
        && other != table
    {
        draft.note(&of, &format!("{name} has other arguments under another name; these are taken"));
    }
    note_others(model, &format!("{of}."), &OF_MODEL, &["cmd", "macros", "aliases", "ttl", "env"], draft);
    Some(name)
}

/// The words of a command line behind `llama-server`.
fn engine_arguments(of: &str, command: &str, draft: &mut Draft) -> Option<Vec<String>> {
    let lines: Vec<&str> = command.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let Some(words) = shlex::split(&lines.join("\n")) else {
        draft.note(of, "its command has a quote without an end, so it is not taken over");
        return None;
    };
    let is_engine = |word: &String| word.rsplit('/').next().is_some_and(|name| name.starts_with("llama-server"));
    let Some(at) = words.iter().position(is_engine) else {
        let program = words.first().map_or("", String::as_str);
        draft.note(
            of,
            &format!("its command runs {program:?}; the worker runs llama-server only, so it is not taken over"),
        );
        return None;
    };
    if at > 0 {
        draft.note(&format!("{of}: {}", words[..at].join(" ")), "the worker starts the engine by itself");
    }
    Some(words[at + 1..].to_vec())
}

/// A group whose models stay loaded pins them; which others may be loaded together is for the memory to decide.
fn take_groups(file: &Yaml<'_>, known: &dyn Fn(&str) -> Option<String>, draft: &mut Draft) {
    let groups = file.as_mapping_get("groups").and_then(Yaml::as_mapping);
    for (id, group) in groups.into_iter().flatten() {
        let is_persistent = group.as_mapping_get("persistent").and_then(Yaml::as_bool).unwrap_or_default();
        for member in texts(group.as_mapping_get("members")) {
            let Some(name) = known(&member).filter(|_| is_persistent) else { continue };
            draft.models.entry(name).or_default().is_pinned = true;
        }
        let id = scalar(id).unwrap_or_default();
        draft.note(
            &format!("groups.{id}"),
            "models are loaded together as far as their memory is there; only `persistent` has a counterpart, `pin`",
        );
    }
}

/// What it costs to evict a model is its priority.
fn take_costs(file: &Yaml<'_>, known: &dyn Fn(&str) -> Option<String>, draft: &mut Draft) {
    let Some(matrix) = file.as_mapping_get("matrix") else { return };
    let costs = matrix.as_mapping_get("evict_costs").and_then(Yaml::as_mapping);
    for (variable, cost) in costs.into_iter().flatten() {
        let id =
            scalar(variable).and_then(|variable| scalar(matrix.as_mapping_get("vars")?.as_mapping_get(&variable)?));
        let cost = cost.as_integer().and_then(|cost| i32::try_from(cost).ok());
        if let (Some(name), Some(cost)) = (id.and_then(|id| known(&id)), cost) {
            draft.models.entry(name).or_default().priority = Some(cost);
        }
    }
    draft.note(
        "matrix.sets",
        "models are loaded together as far as their memory is there; `evict_costs` are priorities",
    );
}

/// Notes every key but those that were read.
fn note_others(table: &Yaml<'_>, before: &str, reasons: &[(&str, &str)], read: &[&str], draft: &mut Draft) {
    for key in table.as_mapping().into_iter().flatten().filter_map(|(key, _)| scalar(key)) {
        if !read.contains(&key.as_str()) {
            let why = reasons.iter().find(|(known, _)| *known == key).map_or("this key is not known", |(_, why)| why);
            draft.note(&format!("{before}{key}"), why);
        }
    }
}

fn take_macros(table: &Yaml<'_>, macros: &mut Macros) {
    let own = table.as_mapping_get("macros").and_then(Yaml::as_mapping);
    for (name, value) in own.into_iter().flatten() {
        if let (Some(name), Some(value)) = (scalar(name), scalar(value)) {
            macros.set(&name, &value);
        }
    }
}

/// Seconds of a key; a value below 0 is that of all models.
fn seconds(table: &Yaml<'_>, key: &str) -> Option<u64> {
    u64::try_from(table.as_mapping_get(key)?.as_integer()?).ok()
}

/// The texts of a list; an entry that is a table is named by its `id`.
fn texts(list: Option<&Yaml<'_>>) -> Vec<String> {
    let entries = list.and_then(Yaml::as_sequence).into_iter().flatten();
    entries.filter_map(|entry| scalar(entry).or_else(|| scalar(entry.as_mapping_get("id")?))).collect()
}

/// Text, a number or a truth value as text.
fn scalar(value: &Yaml<'_>) -> Option<String> {
    let number = || value.as_integer().map(|number| number.to_string());
    let fraction = || value.as_floating_point().map(|number| number.to_string());
    let truth = || value.as_bool().map(|truth| truth.to_string());
    value.as_str().map(str::to_owned).or_else(number).or_else(fraction).or_else(truth)
}

#[cfg(test)]
mod tests;
