//! The chain with the real engine and real models.

use auxot_tests::DEADLINE;
use std::time::Duration;

use auxot_tests::{Scratch, processes, real};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::chain::Chain;
use crate::client::{Stream, answer, ask};

const SCRIPT: &str = "tiny-script-f16";
const LOOP: &str = "tiny-loop-f16";
const GEMMA: &str = "gemma-3-270m-q4_k_m";

/// The worker sees only what is linked here, so that no test reads models it does not use.
async fn chain(models: &[&str]) -> (Scratch, Chain) {
    let scratch = Scratch::new();
    for model in models {
        let file = if *model == GEMMA { real::model() } else { real::tiny_models().join(format!("{model}.gguf")) };
        std::os::unix::fs::symlink(&file, scratch.models().join(format!("{model}.gguf"))).unwrap();
    }
    let chain = Chain::start(&scratch, &real::engine(), &models.join(",")).await;
    (scratch, chain)
}

#[tokio::test]
async fn several_models_answer_each_as_itself() {
    let (_scratch, chain) = chain(&[SCRIPT, "tiny-think-f16", "tiny-tool-f16"]).await;
    assert_eq!(ask(&chain, SCRIPT, "hello").await.text, real::SENTENCE);
    let thought = ask(&chain, "tiny-think-f16", "hello").await;
    assert!(!thought.reasoning.is_empty() && !thought.text.contains("<think>"), "{thought:?}");
}

#[tokio::test]
async fn a_real_model_streams_a_real_answer() {
    let (_scratch, chain) = chain(&[GEMMA]).await;
    let stream = Stream::open(&chain, GEMMA, "The capital of France is", json!({"max_tokens": 24})).await;
    let heard = stream.all().await;
    assert!(!heard.text.is_empty() && heard.error.is_none(), "{heard:?}");
    assert!(matches!(heard.finish_reason.as_deref(), Some("length" | "stop")), "{heard:?}");
    let label = format!(r#"model="{GEMMA}""#);
    // The job ends when the router has all of the answer, which may be after the client has.
    chain.worker.metric_until("auxot_worker_tokens_generated_total", &[&label], |tokens| tokens > 0.0).await;
    assert!(chain.worker.metric("auxot_worker_vram_used_bytes", &[&label]).await > 100e6);
}

#[tokio::test]
async fn parameters_apply_and_mistakes_of_the_caller_are_reported_as_such() {
    let (_scratch, chain) = chain(&[SCRIPT]).await;
    let mut stream =
        Stream::open(&chain, SCRIPT, "hello", json!({"logprobs": true, "top_logprobs": 1, "seed": 1})).await;
    let (mut said, mut logprobs) = (String::new(), String::new());
    while let Some(event) = stream.event().await {
        let choice = &event["choices"][0];
        said.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for token in choice["logprobs"]["content"].as_array().into_iter().flatten() {
            logprobs.push_str(token["token"].as_str().unwrap());
        }
        assert!(logprobs.starts_with(&said), "each piece with its own: {said:?} {logprobs:?}");
    }
    assert!(!said.is_empty());
    let word = real::SENTENCE.split_whitespace().nth(1).unwrap();
    let cut = Stream::open(&chain, SCRIPT, "hello", json!({"stop": [word]})).await.all().await;
    assert_eq!(Some(cut.text.as_str()), real::SENTENCE.split(word).next());

    let refused = async |body: serde_json::Value| {
        let (status, answer) = crate::client::whole(&chain, SCRIPT, body).await;
        (status, answer["error"]["type"].clone())
    };
    let long = "long ".repeat(20_000);
    assert_eq!(refused(json!(long)).await, (400, json!("exceed_context_size_error")), "the engine's own words");
}

/// A pattern without anchors is usual in schemas, and no grammar of the engine's.
#[tokio::test]
async fn tools_that_the_engine_refuses_are_called_with_reduced_schemas() {
    let (_scratch, chain) = chain(&["tiny-tool-f16"]).await;
    let chat = |properties: serde_json::Value| {
        let parameters = json!({"type": "object", "properties": properties});
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": parameters}});
        let messages = json!([{"role": "user", "content": "hello"}]);
        json!({"model": "tiny-tool-f16", "messages": messages, "max_tokens": 5, "tools": [tool]})
    };
    let (status, _, called) = answer(&chain, &chat(json!({"a": {"type": "string", "pattern": "abc"}}))).await;
    assert_eq!((status, &called["choices"][0]["message"]["tool_calls"][0]["function"]["name"]), (200, &json!("f")));
    // A reduced schema keeps the type of each property. The refusal is that of the request as it was written.
    let (status, _, refused) = answer(&chain, &chat(json!({"a": {"type": "made-up", "default": 1}}))).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(status == 400 && message.contains("Unrecognized schema") && message.contains("default"), "{message}");
}

#[tokio::test]
async fn a_cancel_frees_the_real_slot() {
    let (_scratch, chain) = chain(&[LOOP]).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::open(&chain, LOOP, "go on", json!({"max_tokens": 100_000})).await;
        stream.first_text().await;
        streams.push(stream);
    }
    // Both slots are taken: a third job can only begin when one of them is free in the engine itself.
    streams.pop();
    let begun = async {
        let mut stream = Stream::open(&chain, LOOP, "next", json!({})).await;
        stream.first_text().await;
    };
    tokio::time::timeout(DEADLINE, begun).await.expect("a free slot");
}

#[tokio::test]
async fn a_real_engine_killed_in_its_answer_costs_one_error_and_comes_back() {
    let (_scratch, chain) = chain(&[LOOP]).await;
    let mut stream = Stream::open(&chain, LOOP, "go on", json!({"max_tokens": 100_000})).await;
    stream.first_text().await;
    for engine in chain.engines() {
        kill(Pid::from_raw(engine.cast_signed()), Signal::SIGKILL).unwrap();
    }
    let heard = stream.all().await;
    assert!(heard.error.is_some(), "{heard:?}");
    let mut again = Stream::open(&chain, LOOP, "again", json!({})).await;
    again.first_text().await;
    assert_eq!(chain.worker.metric("auxot_worker_engine_restarts_total", &[r#"cause="signal""#]).await, 1.0);
}

#[tokio::test]
async fn a_term_drains_and_a_kill_leaves_no_real_engine() {
    let (scratch, mut chain) = chain(&[LOOP]).await;
    let engines = chain.engines();
    assert_eq!(engines.len(), 1);
    chain.worker.program.signal(Signal::SIGTERM);
    assert_eq!(chain.worker.exit_code().await, Some(0));
    processes::ended(&engines, Duration::ZERO).await;
    chain.restart_worker(&scratch, &real::engine(), LOOP).await;
    let mut stream = Stream::open(&chain, LOOP, "go on", json!({"max_tokens": 100_000})).await;
    stream.first_text().await;
    let engines = chain.engines();
    chain.worker.program.signal(Signal::SIGKILL);
    processes::ended(&engines, DEADLINE).await;
}
