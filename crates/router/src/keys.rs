//! The commands for keys: what each of them prints.

use auxot_access::LastUses;
use auxot_router::keys::{CreatedKeys, Key, KeyFile, KeyKind, KeyTerms};
use auxot_router::settings::{CreateArgs, Environment, KeysCommand, ListArgs, RevokeArgs, RotateArgs};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ExitError, USAGE};

/// Does a command; returns what it prints.
pub(super) fn run(command: &KeysCommand, environment: &dyn Environment) -> Result<String, ExitError> {
    match command {
        KeysCommand::Create(arguments) => create(arguments, environment),
        KeysCommand::List(arguments) => list(arguments, environment),
        KeysCommand::Revoke(arguments) => revoke(arguments, environment),
        KeysCommand::Rotate(arguments) => rotate(arguments, environment),
    }
}

fn create(arguments: &CreateArgs, environment: &dyn Environment) -> Result<String, ExitError> {
    let (keys, expires) = arguments.keys().map_err(|faults| (faults, USAGE))?;
    let file = arguments.file.file(environment).map_err(|faults| (faults, USAGE))?;
    let created = file.create(&arguments.name, &keys, expires).map_err(|error| (error, USAGE))?;
    Ok(shown_once(&arguments.name, &created, &file, arguments.file.json))
}

fn rotate(arguments: &RotateArgs, environment: &dyn Environment) -> Result<String, ExitError> {
    let keep_old_for = arguments.keep_old_for().map_err(|faults| (faults, USAGE))?;
    let file = arguments.file.file(environment).map_err(|faults| (faults, USAGE))?;
    let created = file.rotate(&arguments.name, keep_old_for).map_err(|error| (error, USAGE))?;
    Ok(shown_once(&arguments.name, &created, &file, arguments.file.json))
}

fn revoke(arguments: &RevokeArgs, environment: &dyn Environment) -> Result<String, ExitError> {
    let file = arguments.file.file(environment).map_err(|faults| (faults, USAGE))?;
    let count = file.revoke(&arguments.name).map_err(|error| (error, USAGE))?;
    let (name, path) = (&arguments.name, file.path().display().to_string());
    Ok(match arguments.file.json {
        true => format!("{}\n", json!({ "revoked": name, "keys": count, "file": path })),
        false => format!("`{name}` is revoked: {count} {}\n", if count == 1 { "key" } else { "keys" }),
    })
}

fn list(arguments: &ListArgs, environment: &dyn Environment) -> Result<String, ExitError> {
    let file = arguments.file.file(environment).map_err(|faults| (faults, USAGE))?;
    let keys = file.list().map_err(|error| (error, USAGE))?;
    let (now, uses) = (Timestamp::now(), LastUses::of_file(Some(file.path())));
    Ok(match arguments.file.json {
        true => format!("{}\n", Value::Array(keys.iter().map(|key| entry(key, now, &uses)).collect())),
        false => table(&keys, now, &uses),
    })
}

fn shown_once(name: &str, created: &CreatedKeys, file: &KeyFile, as_json: bool) -> String {
    let path = file.path().display().to_string();
    if as_json {
        let mut shown = json!({ "name": name, "file": path });
        for (field, key) in [("worker_key", &created.worker), ("api_key", &created.api)] {
            if let Some(key) = key {
                shown[field] = key.as_str().into();
            }
        }
        return format!("{shown}\n");
    }
    let mut text = format!("`{name}`, shown this once; {path} holds only hashes.\n");
    if let Some(key) = &created.worker {
        text += &format!("\nWorker key, for auxot-worker (AUXOT_GPU_KEY):\n  {key}\n");
    }
    if let Some(key) = &created.api {
        text += &format!("\nAPI key, for clients (Authorization: Bearer):\n  {key}\n");
    }
    text
}

/// A key, without its hash.
fn entry(key: &Key, now: Timestamp, uses: &LastUses) -> Value {
    let mut entry = json!({
        "name": key.name,
        "kind": key.kind,
        "id": key.has_id_in_text().then(|| key.id.as_str()),
        "created": key.created.to_string(),
        "expires": key.expires.map(|expires| expires.to_string()),
        "expired": key.is_expired(now),
        "last_used": uses.at(key.id).map(|at| at.to_string()),
    });
    if key.kind == KeyKind::Api {
        let KeyTerms { models, providers, requests_per_minute, tokens_per_minute, max_parallel } = key.terms();
        entry["models"] = json!(models);
        entry["providers"] = json!(providers);
        entry["requests_per_minute"] = json!(requests_per_minute);
        entry["tokens_per_minute"] = json!(tokens_per_minute);
        entry["max_parallel"] = json!(max_parallel);
    }
    entry
}

/// One line for each key: its kind, the beginning of its text, its name, and what holds for it.
fn table(keys: &[Key], now: Timestamp, uses: &LastUses) -> String {
    let width = keys.iter().map(|key| key.name.len()).max().unwrap_or_default();
    let line = |key: &Key| {
        let id = if key.has_id_in_text() { format!("{}…", key.id) } else { "-".to_owned() };
        let line = format!("{:6}  {id:13}  {:width$}  {}", key.kind, key.name, notes(key, now, uses).join("; "));
        format!("{}\n", line.trim_end())
    };
    keys.iter().map(line).collect()
}

fn notes(key: &Key, now: Timestamp, uses: &LastUses) -> Vec<String> {
    let mut notes = vec![format!("created {}", key.created)];
    notes.extend(uses.at(key.id).map(|at| format!("last used {at}")));
    if let Some(expires) = key.expires {
        notes.push(format!("{} {expires}", if key.is_expired(now) { "expired" } else { "expires" }));
    }
    let KeyTerms { models, providers, requests_per_minute, tokens_per_minute, max_parallel } = key.terms();
    let listed = |what: &str, names: &Option<Vec<String>>| Some(format!("{what} {}", names.as_ref()?.join(", ")));
    notes.extend(listed("models", models));
    notes.extend(listed("providers", providers));
    notes.extend(requests_per_minute.map(|count| format!("{count} requests a minute")));
    notes.extend(tokens_per_minute.map(|count| format!("{count} tokens a minute")));
    notes.extend(max_parallel.map(|count| format!("{count} in parallel")));
    notes
}
