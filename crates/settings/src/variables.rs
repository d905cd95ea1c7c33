//! The environment as entries: flat historical names by table, all other keys in nested form.

use std::ffi::OsString;

use figment::value::Value;

use crate::entry::SettingEntry;
use crate::fault::{Origin, SettingFault};
use crate::names::{CONFIG, PREFIX, SettingNames, nested_variable};
use crate::toml_text::dotted;
use crate::tree::{ANY, Tree};

/// The settings in the environment.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(crate) entries: Vec<SettingEntry>,
    pub(crate) faults: Vec<SettingFault>,
    /// Variables of sibling programs, set and without meaning here.
    pub(crate) ignored: Vec<String>,
}

impl Variables {
    /// Reads all variables with the prefix, sorted by name. An empty value counts as unset.
    pub(crate) fn read(environment: &[(OsString, OsString)], names: &SettingNames, tree: &Tree) -> Self {
        let mut ours: Vec<(&str, &OsString)> = environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, value)| name.starts_with(PREFIX) && *name != CONFIG && !value.is_empty())
            .collect();
        ours.sort_unstable();
        let mut found = Self::default();
        for (name, value) in ours {
            found.read_one(name, value, names, tree);
        }
        found
    }

    fn read_one(&mut self, name: &str, value: &OsString, names: &SettingNames, tree: &Tree) {
        let origin = Origin::Variable(name.to_owned());
        let fault = |key: &str, text: String| SettingFault {
            origin: Origin::Variable(name.to_owned()),
            key: key.to_owned(),
            text,
        };
        if is_injected(name, value) {
            return;
        }
        if let Some(why) = names.refusal(name) {
            return self.faults.push(fault("", why.to_owned()));
        }
        if names.is_foreign(name) {
            return self.ignored.push(name.to_owned());
        }
        let Some(key) = key_of(name, names, tree) else {
            return self.faults.push(fault("", unknown(name, names, tree)));
        };
        let dotted = dotted(&key);
        let Some(text) = value.to_str().map(str::trim) else {
            return self.faults.push(fault(&dotted, "the value is not UTF-8".to_owned()));
        };
        if text.is_empty() {
            return;
        }
        if let Some(SettingEntry { origin: Origin::Variable(other), .. }) =
            self.entries.iter().find(|entry| entry.key == key)
        {
            let text = format!("set as {other} too; keep one of the two");
            return self.faults.push(fault(&dotted, text));
        }
        self.entries.push(SettingEntry { key, value: Value::from(text), origin });
    }
}

/// Whether Kubernetes sets the variable in every container for a service whose name begins with `auxot`:
/// `AUXOT_ROUTER_SERVICE_HOST`, `AUXOT_ROUTER_PORT=tcp://…`, `AUXOT_ROUTER_PORT_8080_TCP_ADDR`. No setting has such a
/// name except for `…_PORT`, and such a setting is never an address.
fn is_injected(name: &str, value: &OsString) -> bool {
    let is_address =
        || ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.to_string_lossy().starts_with(scheme));
    let of_a_port = |rest: &str| {
        let (port, rest) = rest.split_once('_').unwrap_or((rest, ""));
        let protocol = rest.split('_').next().unwrap_or_default();
        port.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP")
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_address())
        || name.split_once("_PORT_").is_some_and(|(_, rest)| of_a_port(rest))
}

/// The key of a variable; `None` for a name of neither form.
fn key_of(variable: &str, names: &SettingNames, tree: &Tree) -> Option<Vec<String>> {
    if let Some(key) = names.by_variable(variable) {
        return Some(key.split('.').map(str::to_owned).collect());
    }
    let parts: Vec<&str> = variable.strip_prefix(PREFIX)?.split("__").collect();
    let nested = parts.len() > 1 && parts.iter().all(|part| !part.is_empty());
    nested.then(|| tree.in_own_case(&parts))
}

fn unknown(variable: &str, names: &SettingNames, tree: &Tree) -> String {
    let leaves = tree.leaves();
    let nested: Vec<String> = leaves
        .iter()
        .filter(|(key, _)| !key.iter().any(|part| part == ANY))
        .map(|(key, _)| nested_variable(key))
        .collect();
    match names.nearest_variable(variable, &nested) {
        Some(near) => format!("unknown variable; did you mean {near}?"),
        None => "unknown variable; `auxot-worker --help` lists the known ones".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_kubernetes_service_of_our_name_are_not_settings() {
        for (name, value) in [
            ("AUXOT_ROUTER_SERVICE_HOST", "10.0.0.1"),
            ("AUXOT_ROUTER_SERVICE_PORT", "8080"),
            ("AUXOT_ROUTER_SERVICE_PORT_HTTP", "8080"),
            ("AUXOT_ROUTER_PORT", "tcp://10.0.0.1:8080"),
            ("AUXOT_ROUTER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("AUXOT_ROUTER_PORT_8080_TCP_PROTO", "tcp"),
            ("AUXOT_ROUTER_PORT_8080_TCP_PORT", "8080"),
            ("AUXOT_ROUTER_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("AUXOT_METRICS_PORT", "tcp://10.0.0.1:9090"),
            ("AUXOT_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert!(is_injected(name, &value.into()), "{name}");
        }
        for (name, value) in [("AUXOT_METRICS_PORT", "9090"), ("AUXOT_PORT_X", "1"), ("AUXOT_ROUTER_URL", "tcp://h")] {
            assert!(!is_injected(name, &value.into()), "{name}");
        }
    }
}
