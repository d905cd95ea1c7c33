//! The real engine with models of a known text: the behaviour that the fake engine imitates.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use auxot_tests::DEADLINE;
use std::process::Command;

use auxot_tests::{Program, Scratch, http, real};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// The engine as a supervisor starts it: one thread, because more are slower for so small a model.
fn engine(scratch: &Scratch, model: &str) -> Command {
    let mut command = Command::new(real::engine());
    command.env_clear().env("XDG_CONFIG_HOME", scratch.path()).env("LLAMA_SERVER_ROUTER_PORT", "1");
    command.args(["--alias", "tiny", "-t", "1", "-c", "16384", "-np", "2", "--no-kv-unified", "--cache-ram", "0"]);
    command.args(["--no-ui", "--metrics"]).arg("--host").arg(scratch.join("engine.sock"));
    command.arg("--model").arg(real::tiny_models().join(model));
    command
}

async fn ready(scratch: &Scratch, model: &str) -> Program {
    let mut program = Program::start_held(engine(scratch, model));
    program.line(r#""state":"ready""#, DEADLINE).await;
    program
}

async fn message(scratch: &Scratch, more: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let socket = scratch.join("engine.sock");
    let answer = http::post_unix(&socket, "/v1/chat/completions", &body.to_string()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let whole: Value = serde_json::from_str(&answer.body).unwrap();
    whole["choices"][0].clone()
}

#[tokio::test]
async fn the_script_model_says_its_sentence_and_stops() {
    let scratch = Scratch::new();
    let _engine = ready(&scratch, "tiny-script-f16.gguf").await;
    let choice = message(&scratch, json!({"temperature": 1.5})).await;
    assert_eq!(choice["message"]["content"], real::SENTENCE);
    assert_eq!(choice["finish_reason"], "stop");
}

#[tokio::test]
async fn the_loop_model_continues_until_it_is_stopped() {
    let scratch = Scratch::new();
    let _engine = ready(&scratch, "tiny-loop-f16.gguf").await;
    let choice = message(&scratch, json!({"max_tokens": 40})).await;
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(choice["message"]["content"].as_str().unwrap().matches("Round and round").count(), 3);
}

#[tokio::test]
async fn the_think_model_thinks_and_the_tool_model_calls() {
    let scratch = Scratch::new();
    let thinking = ready(&scratch, "tiny-think-f16.gguf").await;
    let choice = message(&scratch, json!({})).await;
    assert_eq!(choice["message"]["reasoning_content"], "The user says hello. A short greeting will do.\n");
    assert_eq!(choice["message"]["content"], "Hello! How can I help?");
    drop(thinking);
    std::fs::remove_file(scratch.join("engine.sock")).unwrap();
    let _calling = ready(&scratch, "tiny-tool-f16.gguf").await;
    let properties = json!({"city": {"type": "string"}, "unit": {"type": "string"}});
    let tool = json!({"type": "function", "function": {"name": "get_weather", "description": "the weather",
        "parameters": {"type": "object", "properties": properties, "required": ["city"]}}});
    let choice = message(&scratch, json!({"tools": [tool]})).await;
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "get_weather");
    assert_eq!(call["arguments"], r#"{"city": "Paris", "unit": "celsius"}"#);
}

#[tokio::test]
async fn broken_files_are_refused_each_in_the_engines_words() {
    let words = [
        ("bad-magic", "invalid magic characters: 'GGML'"),
        ("bad-version", "this GGUF file is version 99"),
        ("bad-empty", "failed to read magic"),
        ("bad-header-cut", "failed to read key-value pairs"),
        ("bad-tensors-cut", "data is not within the file bounds, model is corrupted or incomplete"),
        ("bad-text", "invalid magic characters: '<htm'"),
        ("bad-arch", "unknown model architecture: 'nosucharch'"),
        ("bad-missing-key", "key not found in model: llama.context_length"),
        ("bad-gap", "' has offset "),
        ("bad-missing-tensor", "tensor 'blk.0.attn_k.weight' not found"),
        ("bad-shape", "has wrong shape"),
        ("bad-too-many", "wrong number of tensors"),
        ("bad-tokenizer", "unknown tokenizer: 'nosuchtokenizer'"),
    ];
    for (model, words) in words {
        let scratch = Scratch::new();
        let mut program = Program::start_held(engine(&scratch, &format!("{model}.gguf")));
        assert_eq!(program.ended(DEADLINE).await.code(), Some(1), "{model}");
        // Its log has a thread of its own, and what that has not written yet at the exit is lost (seen one time in
        // fifty): then there are no words to compare.
        let log = program.lines().join("\n");
        assert!(log.contains(words) || !log.contains("exiting due to model loading error"), "{model}:\n{log}");
        assert!(!log.contains(r#""state":"ready""#), "{model}");
    }
}

#[tokio::test]
async fn in_child_mode_only_the_order_to_exit_is_a_clean_end() {
    let scratch = Scratch::new();
    let mut program = ready(&scratch, "tiny-script-f16.gguf").await;
    message(&scratch, json!({})).await;
    program.write_line("cmd_router_to_child:exit").await;
    assert_eq!(program.ended(DEADLINE).await.code(), Some(0));
    std::fs::remove_file(scratch.join("engine.sock")).unwrap();
    let mut program = ready(&scratch, "tiny-script-f16.gguf").await;
    // An answer proves that its loop runs: a TERM between "listening" and the loop is lost.
    message(&scratch, json!({})).await;
    program.signal(Signal::SIGTERM);
    program.line("cleaning up before exit", DEADLINE).await;
    program.close_stdin();
    // The TERM was taken, and yet it waited for its stdin; this end is an exit(1) amid the cleaning up, or a crash in it.
    assert_ne!(program.ended(DEADLINE).await.code(), Some(0));
}
