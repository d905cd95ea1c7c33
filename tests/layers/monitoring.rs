//! Alert rules and dashboard: each series that they name is one of ours, and each alert has its section in the guide.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How our series begin.
const PREFIXES: [&str; 2] = ["auxot_worker_", "auxot_router_"];
/// The alerts of the worker and of the router.
const RULES: [&str; 2] = ["config/prometheus/auxot-worker.rules.yml", "config/prometheus/auxot-router.rules.yml"];

/// The words of a text that begin like our series, without the suffixes of histograms.
fn series(text: &str) -> BTreeSet<String> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    let is_ours = |word: &&str| PREFIXES.iter().any(|prefix| word.len() > prefix.len() && word.starts_with(prefix));
    let ours = words.filter(is_ours);
    let without_suffix = |word: &str| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    ours.map(without_suffix).collect()
}

/// The names of all series in the source of the program.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for file in crate::sources(&workspace().join("crates")) {
        let text = std::fs::read_to_string(file).unwrap();
        known.extend(series(&text));
        // The counters of engines are ours with a prefix.
        if let Some((_, rest)) = text.split_once("const COUNTERS:") {
            let names = rest.split("];").next().unwrap_or_default().split('"').filter(|word| word.ends_with("_total"));
            known.extend(names.map(|name| format!("auxot_worker_llamacpp_{name}")));
        }
    }
    known
}

#[test]
fn alerts_and_dashboard_name_only_series_that_exist() {
    let known = known();
    for path in RULES.into_iter().chain(["config/grafana/auxot-worker.json"]) {
        let text = read(path);
        let named = series(&text);
        assert!(named.len() > 4, "{path}: {named:?}");
        let unknown: Vec<&String> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} names series that do not exist: {unknown:?}");
    }
}

#[test]
fn each_alert_has_its_section_in_the_guide() {
    let (rules, guide) = (RULES.map(read).concat(), read("docs/operating.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        assert!(guide.contains(&format!("### {alert}\n")), "docs/operating.md has no section {alert}");
        assert!(rules.contains(&format!("runbook: docs/operating.md#{}\n", alert.to_ascii_lowercase())), "{alert}");
    }
}

#[test]
fn the_dashboard_is_json_and_each_panel_asks_for_something() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("config/grafana/auxot-worker.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{}", panel["title"]);
    }
}
