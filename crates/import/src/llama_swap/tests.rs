//! Files of llama-swap as its documentation has them.

use super::*;

const FILE: &str = r##"
healthCheckTimeout: 500
logLevel: warn
globalTTL: 600
startPort: 10001
macros:
  "latest": >
    /opt/llama-server-ec9e0301
    --port ${PORT}
  "ctx": 4096
  "dir": "${env.HOME}/models"
apiKeys: ["sk-1"]
models:
  "big":
    macros:
      "ctx": 16384
      "temp": 0.7
    cmd: |
      # a comment
      ${latest}
      --model ${dir}/gpt-oss-120B-00001-of-00002.gguf \
      --ctx-size ${ctx} -np 2
      --temperature ${temp} --chat-template-kwargs '{"a": 1}'
    env: ["CUDA_VISIBLE_DEVICES=0,1"]
    ttl: 60
    aliases: ["gpt-4o-mini", {id: "o1", unlisted: true}]
    filters: {stripParams: "temperature"}
    concurrencyLimit: 3
  "small":
    ttl: 0
    cmd: taskset -c 0 llama-server -m small.gguf
  "docker":
    cmd: docker run ghcr.io/ggml-org/llama.cpp:server --model '/models/x.gguf'
  "hub":
    cmd: llama-server -hf a/b ${unknown}
matrix:
  vars: {b: big}
  evict_costs: {b: 30}
  sets: {all: "b"}
groups:
  always: {persistent: true, members: [small, docker]}
hooks:
  on_startup:
    preload: [big, docker]
peers:
  other: {proxy: "http://h", models: [m]}
"##;

fn draft(text: &str) -> Draft {
    let mut draft = Draft::default();
    let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
    read("config.yaml", text, &home, &mut draft).unwrap();
    draft
}

#[test]
fn a_command_line_becomes_a_table_and_its_names_aliases() {
    let draft = draft(FILE);
    let big = &draft.models["gpt-oss-120B"];
    assert_eq!((big.ctx_size, big.slots, big.ttl, big.priority), (Some(8192), Some(2), Some(60), Some(30)));
    assert_eq!(big.args, ["--temperature", "0.7", "--chat-template-kwargs", "{\"a\": 1}"]);
    assert_eq!(big.env["CUDA_VISIBLE_DEVICES"], "0,1");
    let names: Vec<String> = draft.aliases.iter().map(|(name, model)| format!("{name}={model}")).collect();
    assert_eq!(names, ["big=gpt-oss-120B", "gpt-4o-mini=gpt-oss-120B", "o1=gpt-oss-120B"]);
    let small = &draft.models["small"];
    assert!(small.is_pinned && small.ttl == Some(0));
    assert_eq!((draft.autoload.as_slice(), draft.ttl), (["gpt-oss-120B".to_owned()].as_slice(), Some(600)));
    assert_eq!(draft.folders.iter().map(String::as_str).collect::<Vec<_>>(), ["/home/a/models"]);
    assert_eq!(draft.log_level.as_deref(), Some("warn"));
}

#[test]
fn whatever_has_no_counterpart_is_named() {
    let notes = draft(FILE).notes.join("\n");
    for what in [
        "models.docker: its command runs \"docker\"",
        "models.hub: -hf a/b:",
        "models.hub: ${unknown}: this macro is not known",
        "models.hub: its command names no file",
        "models.small: taskset -c 0:",
        "models.big.filters:",
        "models.big.concurrencyLimit:",
        "models.big: --port:",
        "hooks.on_startup.preload: docker:",
        "healthCheckTimeout:",
        "startPort:",
        "apiKeys:",
        "peers:",
        "matrix.sets:",
        "groups.always:",
    ] {
        assert!(notes.contains(what), "{what} is missing in\n{notes}");
    }
    assert!(!notes.contains("models.big.ttl") && !notes.contains("sk-1"), "{notes}");
}

#[test]
fn what_is_no_file_of_llama_swap_is_refused() {
    let mut draft = Draft::default();
    for (text, want) in [("a: [", "as YAML"), ("a: 1", "cannot find `models`"), ("", "cannot find `models`")] {
        let error = read("x.yaml", text, &|_| None, &mut draft).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
