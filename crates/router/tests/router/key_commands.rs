//! The commands for keys: create, list, rotate, revoke.

use serde_json::{Value, json};

use crate::program::{run, text};

struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// What a command prints, which succeeds.
    fn printed(&self, words: &[&str]) -> String {
        let file = self.folder.path().join("keys");
        let output = run(&[&["keys"], words, &["--file", file.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.printed(&[words, &["--json"]].concat())).unwrap()
    }
}

#[test]
fn an_api_key_has_its_terms_and_stays_with_the_workers_unless_others_are_named() {
    let keys = Keys::new();
    let made = keys.json(&["create", "--name", "laptop", "--kind", "api"]);
    assert!(made["api_key"].as_str().unwrap().starts_with("rtr_") && made.get("worker_key").is_none());
    keys.json(&[
        "create",
        "--name",
        "ci",
        "--models",
        "qwen3-8b,gemma",
        "--providers",
        "gpu,openai",
        "--max-parallel",
        "2",
        "--requests-per-minute",
        "60",
        "--tokens-per-minute",
        "100000",
        "--expires",
        "2999-01-31",
    ]);
    keys.json(&["create", "--name", "open", "--kind", "api", "--providers", "all"]);
    let list = keys.json(&["list"]);
    let kinds: Vec<_> = list.as_array().unwrap().iter().map(|key| (&key["name"], &key["kind"])).collect();
    let kind = |name: &str, kind: &str| (json!(name), json!(kind));
    let expected = [kind("laptop", "api"), kind("ci", "worker"), kind("ci", "api"), kind("open", "api")];
    assert!(kinds.into_iter().eq(expected.iter().map(|(name, kind)| (name, kind))), "{list}");
    assert_eq!(list[0]["providers"], json!(["gpu"]));
    assert_eq!(list[0]["id"].as_str().unwrap(), &made["api_key"].as_str().unwrap()[..12]);
    let terms = [&list[2]["models"], &list[2]["providers"], &list[2]["max_parallel"], &list[2]["requests_per_minute"]];
    assert_eq!(terms, [&json!(["qwen3-8b", "gemma"]), &json!(["gpu", "openai"]), &json!(2), &json!(60)]);
    assert_eq!(list[2]["tokens_per_minute"], 100_000);
    assert_eq!((&list[1]["expires"], &list[1]["expired"]), (&json!("2999-01-31T00:00:00Z"), &json!(false)));
    assert_eq!((&list[3]["providers"], &list[3]["models"]), (&Value::Null, &Value::Null));
    let table = keys.printed(&["list"]);
    assert_eq!(table.lines().count(), 4);
    for part in [
        "models qwen3-8b, gemma",
        "providers gpu, openai",
        "60 requests a minute",
        "100000 tokens a minute",
        "2 in parallel",
        "expires 2999",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
}

#[test]
fn a_rotation_prints_new_keys_and_a_revocation_says_how_many_are_gone() {
    let keys = Keys::new();
    let first = keys.json(&["create"]);
    let second = keys.json(&["rotate", "default", "--keep-old-for", "1h"]);
    assert_ne!(first["api_key"], second["api_key"]);
    assert!(second["worker_key"].as_str().unwrap().starts_with("adm_"));
    let list = keys.json(&["list"]);
    let expires: Vec<_> = list.as_array().unwrap().iter().map(|key| key["expires"].is_string()).collect();
    assert_eq!(expires, [true, true, false, false], "{list}");
    assert_eq!(keys.json(&["revoke", "default"])["keys"], 4);
    assert_eq!(keys.printed(&["list"]), "");
    keys.json(&["create", "--kind", "worker"]);
    assert_eq!(keys.printed(&["revoke", "default"]), "`default` is revoked: 1 key\n");
}
