//! Dependencies between our crates: the test fails on one that the plan below does not have.
//!
//! The plan is the table below, and nothing else. Another dependency is a change of the plan first, with a reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cycles;
mod log_fields;
mod modules;
mod monitoring;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Each crate with the crates it may depend on. `auxot-tests` is not listed: it may depend on all.
const PLAN: &[(&str, &[&str])] = &[
    (
        "auxot-worker",
        &[
            "settings",
            "relay",
            "gateway",
            "access",
            "backoff",
            "console",
            "admin",
            "hub",
            "import",
            "otlp",
            "fleet",
            "placement",
            "engine",
            "catalog",
            "gpu",
            "llama",
            "protocol",
            "names",
            "folder-watch",
        ],
    ),
    (
        "auxot-settings",
        &[
            "relay",
            "gateway",
            "admin",
            "hub",
            "otlp",
            "fleet",
            "placement",
            "engine",
            "catalog",
            "gpu",
            "llama",
            "protocol",
            "names",
        ],
    ),
    ("auxot-relay", &["backoff", "fleet", "llama", "localhost", "protocol", "names", "stall", "state-file"]),
    ("auxot-import", &[]),
    (
        "auxot-gateway",
        &[
            "fleet",
            "llama",
            "catalog",
            "names",
            "access",
            "folder-watch",
            "server-tls",
            "service-sockets",
            "state-file",
        ],
    ),
    ("auxot-otlp", &["fleet", "localhost"]),
    ("auxot-admin", &["fleet", "gpu", "access", "control-socket", "llama"]),
    ("auxot-console", &[]),
    ("auxot-control-socket", &["access"]),
    ("auxot-fleet", &["backoff", "scheduler", "placement", "engine", "catalog", "gpu", "llama", "state-file"]),
    ("auxot-scheduler", &["backoff", "placement", "catalog", "gpu"]),
    ("auxot-placement", &["engine", "catalog", "gpu"]),
    ("auxot-engine", &["backoff", "llama", "private-folder"]),
    ("auxot-catalog", &["names", "folder-watch", "state-file"]),
    ("auxot-hub", &["access", "backoff", "localhost", "names", "state-file"]),
    ("auxot-gpu", &[]),
    ("auxot-llama", &[]),
    ("auxot-protocol", &[]),
    ("auxot-names", &[]),
    ("auxot-folder-watch", &[]),
    ("auxot-private-folder", &[]),
    ("auxot-state-file", &[]),
    ("auxot-backoff", &[]),
    ("auxot-stall", &[]),
    ("auxot-localhost", &[]),
    ("auxot-service-sockets", &[]),
    ("auxot-server-tls", &["folder-watch"]),
    ("auxot-access", &["state-file"]),
    (
        "auxot-router",
        &[
            "protocol",
            "llama",
            "localhost",
            "names",
            "service-sockets",
            "stall",
            "state-file",
            "folder-watch",
            "server-tls",
            "access",
            "console",
            "control-socket",
            "private-folder",
        ],
    ),
];

#[test]
fn no_arrow_points_the_wrong_way() {
    let plan: BTreeMap<&str, BTreeSet<String>> =
        PLAN.iter().map(|(room, sees)| (*room, sees.iter().map(|name| format!("auxot-{name}")).collect())).collect();
    let mut faults = Vec::new();
    for (room, sees) in rooms() {
        let Some(allowed) = plan.get(room.as_str()) else {
            faults.push(format!("{room} is not in the plan: add it to tests/layers/main.rs, with what it may see"));
            continue;
        };
        for other in sees.difference(allowed) {
            let list = allowed.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let list = if list.is_empty() { "nothing of ours" } else { &list };
            faults.push(format!("{room} must not see {other}: it may see {list}"));
        }
    }
    assert!(faults.is_empty(), "wrong arrows between the rooms:\n  {}", faults.join("\n  "));
}

/// Our packages and which of ours each depends on, in whatever kind of dependency.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut rooms = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "auxot-tests" {
            continue;
        }
        let depends = package["dependencies"].as_array().unwrap().iter();
        let ours = depends.filter_map(|on| on["name"].as_str()).filter(|on| on.starts_with("auxot-"));
        rooms.insert(name.to_owned(), ours.map(str::to_owned).collect());
    }
    rooms
}

/// A field in its debug form shows people `Some(…)`, `None`, brackets and quotes.
#[test]
fn no_log_field_has_its_debug_form() {
    let mut faults = Vec::new();
    for file in sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let found = log_fields::debug_forms(&text).into_iter();
        faults.extend(found.map(|(line, fault)| format!("{}:{line}: {fault}", file.display())));
    }
    assert!(faults.is_empty(), "write these as people read them:\n  {}", faults.join("\n  "));
}

/// All files of source below a folder.
pub(crate) fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}
