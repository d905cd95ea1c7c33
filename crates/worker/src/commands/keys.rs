//! `keys create`, `keys list` and `keys revoke`: the API keys of local clients.

use std::path::PathBuf;

use auxot_access::keys::{FileError, Key, KeyFile, KeyTerms, NewKeys};
use auxot_settings::Settings;
use serde_json::{Value, json};

use crate::arguments::KeyCommand;

/// The text that a command prints.
pub(super) fn run(settings: &Settings, command: &KeyCommand, as_json: bool) -> Result<String, FileError> {
    let file = KeyFile::of_gateway(path(settings));
    let shown = file.path().display().to_string();
    Ok(match command {
        KeyCommand::Create(name) => {
            let key = file.create(name, &NewKeys::Api(KeyTerms::default()), None)?.api.unwrap_or_default();
            if as_json {
                return Ok(json!({"name": name, "api_key": key, "file": shown}).to_string());
            }
            let mut text = format!("API key `{name}`, shown this once; {shown} holds only its hash.\n\n  {key}");
            if settings.gateway.keys_file.is_none() {
                text += &format!("\n\nThe worker requires keys with AUXOT_GATEWAY__KEYS_FILE={shown}");
            }
            text
        }
        KeyCommand::List => {
            let keys = file.list()?;
            if as_json {
                let entry = |key: &Key| json!({"name": key.name, "created": key.created.to_string()});
                return Ok(Value::Array(keys.iter().map(entry).collect()).to_string());
            }
            keys.iter().map(|key| format!("{}  {}", key.created, key.name)).collect::<Vec<_>>().join("\n")
        }
        KeyCommand::Revoke(name) => {
            file.revoke(name)?;
            if as_json {
                return Ok(json!({"revoked": name, "file": shown}).to_string());
            }
            format!("API key `{name}` is revoked")
        }
    })
}

/// The key file of the settings, else the one of the state directory.
fn path(settings: &Settings) -> PathBuf {
    let own = || {
        let folder = crate::places::state_dir(settings);
        // An earlier version has made it.
        let former = folder.join("gateway-keys.toml");
        if former.exists() { former } else { folder.join("gateway-keys") }
    };
    settings.gateway.keys_file.clone().unwrap_or_else(own)
}
