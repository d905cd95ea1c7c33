//! `config import`: the settings that it prints are settings of the worker.

use crate::TestHost;

const LLAMA_SWAP: &str = r##"
macros: {"server": "llama-server --port ${PORT}"}
models:
  small:
    cmd: ${server} -m /models/qwen-0.5b-q8_0.gguf -c 8192 -np 2 --temp 0.6
    aliases: [gpt-4o-mini]
    env: ["GGML_X=1"]
    ttl: 300
  other:
    cmd: docker run image
hooks: {on_startup: {preload: [small]}}
apiKeys: ["sk-secret"]
"##;

#[test]
fn what_it_prints_is_what_the_worker_reads_and_the_rest_is_named() {
    let host = TestHost::new();
    for (name, text, left_out) in [
        ("swap.yaml", LLAMA_SWAP, "models.other: its command runs \"docker\""),
        ("presets.ini", "[*]\nc = 4096\n[small]\nmodel = /models/small-q8_0.gguf\nstop-timeout = 3\n", "stop-timeout"),
    ] {
        let (file, made) = (host.scratch.join(name), host.scratch.join("made.toml"));
        std::fs::write(&file, text).unwrap();
        let output = host.run(&["config", "import", file.to_str().unwrap()]);
        let (settings, notes) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{notes}");
        assert!(notes.contains(left_out) && settings.contains(left_out), "{notes}\n{settings}");
        assert!(!settings.contains("sk-secret") && !notes.contains("sk-secret"));
        std::fs::write(&made, settings).unwrap();
        // The models are not here, of which the command warns.
        let shown = host.run(&["config", "show", "--config", made.to_str().unwrap()]);
        let text = String::from_utf8(shown.stdout).unwrap();
        assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stderr));
        assert!(text.contains("ctx_size") && text.contains("127.0.0.1:8080"), "{text}");
    }
}

#[test]
fn a_file_that_is_neither_kind_is_refused() {
    let host = TestHost::new();
    let file = host.scratch.join("x.json");
    std::fs::write(&file, "{}").unwrap();
    for (path, words) in
        [(file.to_str().unwrap(), "cannot tell what"), ("/nothing/here.yaml", "cannot read /nothing/here.yaml")]
    {
        let output = host.run(&["config", "import", path]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && errors.contains(words), "{errors}");
    }
}
