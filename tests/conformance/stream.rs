//! The engine's stream as messages, and its faults (items 10, 12, 13, 14 and 28).

use std::collections::BTreeSet;

use auxot_tests::scripted_router::job;
use serde_json::{Value, json};

use crate::{Stage, keys};

#[tokio::test]
async fn c10_reasoning_comes_first_and_the_counts_are_the_engines() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("thoughtful", "fake: --reasoning-text 'Let me check. ' --text 'A cat.'")).await;
    let outcome = link.outcome("thoughtful").await;
    assert_eq!((outcome.completed(), outcome.reasoning.as_str()), ("A cat.", "Let me check. "));
    let tokens: Vec<&Value> = outcome.messages.iter().filter(|message| message["type"] == "token").collect();
    let last_thought = tokens.iter().rposition(|token| token["reasoning"] == true).unwrap();
    let first_word = tokens.iter().position(|token| token.get("reasoning").is_none()).unwrap();
    assert!(last_thought < first_word, "the router's blocks are numbered by this order");
    let mut said = keys(&outcome.end);
    said.retain(|key| *key != "cache_tokens");
    assert_eq!(
        said,
        [
            "duration_ms",
            "finish_reason",
            "full_response",
            "input_tokens",
            "job_id",
            "output_tokens",
            "reasoning_content",
            "reasoning_tokens",
            "type"
        ]
    );
    assert_eq!(
        (&outcome.end["full_response"], &outcome.end["reasoning_content"]),
        (&json!("A cat."), &json!("Let me check. "))
    );
    // Three pieces of reasoning, two words.
    assert_eq!((&outcome.end["reasoning_tokens"], &outcome.end["output_tokens"]), (&json!(3), &json!(5)));
}

#[tokio::test]
async fn c10_an_answer_cut_by_its_limit_is_marked() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let mut limited = job("limited", "fake: --text 'one two three'");
    limited["max_tokens"] = json!(2);
    link.send(&limited).await;
    let outcome = link.outcome("limited").await;
    assert_eq!((outcome.completed(), &outcome.end["finish_reason"]), ("one two ", &json!("length")));
}

#[tokio::test]
async fn c10_a_tool_call_is_announced_once_and_assembled() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let switches = r#"fake: --tool-name lookup --tool-arguments '{"city": "New York", "unit": "celsius"}'"#;
    link.send(&job("calling", switches)).await;
    let outcome = link.outcome("calling").await;
    outcome.completed();
    let announced = outcome.messages.iter().filter(|message| message["type"] == "tool_generating").count();
    assert_eq!(announced, 1);
    let [call] = outcome.end["tool_calls"].as_array().unwrap().as_slice() else { panic!("one call: {}", outcome.end) };
    assert_eq!((keys(call), keys(&call["function"])), (vec!["function", "id", "type"], vec!["arguments", "name"]));
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("lookup")));
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"city": "New York", "unit": "celsius"}));
}

#[tokio::test]
async fn c10_every_byte_of_a_long_answer_arrives_once() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("long", "fake: --tokens 20000 --batch 64")).await;
    let outcome = link.outcome("long").await;
    assert_eq!(outcome.completed(), outcome.end["full_response"]);
    assert_eq!(outcome.completed().split_whitespace().count(), 20_000);
}

#[tokio::test]
async fn c12_a_stream_that_ends_in_its_middle_is_an_error() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("cut", "fake: --cut-stream-at 2")).await;
    let outcome = link.outcome("cut").await;
    assert_eq!(outcome.failed(), "inference error: model server stopped in the middle of the answer");
    assert_eq!(outcome.text, "the quick ", "what was said before went out");
    stage.worker.metric_until("auxot_worker_jobs_total", &["ending=\"engine_gone\""], |count| count == 1.0).await;
    link.says("next", "and the next one runs").await;
}

#[tokio::test]
async fn c13_an_error_inside_the_stream_is_an_error() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("failing", "fake: --error-event-at 2")).await;
    let outcome = link.outcome("failing").await;
    assert!(outcome.failed().starts_with("inference error: Context size has been exceeded."), "{}", outcome.end);
}

#[tokio::test]
async fn c13_a_refusal_of_the_engine_is_passed_on_with_its_text() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("refused", "fake: --refuse '400:invalid_request_error:no such thing'")).await;
    assert_eq!(link.outcome("refused").await.failed(), "inference error: no such thing");
    link.send(&job("too-long", &"word ".repeat(3000))).await;
    let outcome = link.outcome("too-long").await;
    assert!(outcome.failed().contains("3000") && outcome.failed().contains("2048"), "{}", outcome.end);
    let text = outcome.end.to_string();
    assert!(!text.contains(".sock") && !text.contains("127.0.0.1"), "no address of ours: {text}");
}

#[tokio::test]
async fn c14_a_job_that_takes_too_long_ends_with_the_reason_and_its_slot_is_free() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_JOB_TIMEOUT", "1s")]).await;
    link.send(&job("slow", "fake: --stall-at 1")).await;
    stage.reports.next("slot", crate::DEADLINE).await;
    let outcome = link.outcome("slow").await;
    assert_eq!((outcome.failed(), outcome.text.as_str()), ("job timed out after 1 s", "the "));
    assert_eq!(stage.reports.next("released", crate::DEADLINE).await.detail["how"], "gone");
    // Not begun at all: the same text.
    link.send(&job("slower", "fake: --prompt-ms 60000")).await;
    assert_eq!(link.outcome("slower").await.failed(), "job timed out after 1 s");
}

#[tokio::test]
async fn c14_a_silent_engine_is_distinguished_from_a_long_job() {
    let settings = [("AUXOT_ROUTER__IDLE_TIMEOUT", "1500ms"), ("AUXOT_ENGINE__PING_INTERVAL", "1s")];
    let (stage, mut link) = Stage::serving("", &settings).await;
    // It sends pings, so it is alive during a prompt of any length.
    link.send(&job("long-prompt", "fake: --prompt-ms 3000 --text 'at last'")).await;
    assert_eq!(link.outcome("long-prompt").await.completed(), "at last");
    assert_eq!(stage.worker.metric("auxot_worker_jobs_total", &["ending=\"timeout_idle\""]).await, 0.0);
}

#[tokio::test]
async fn c28_arguments_that_are_no_object_never_leave_the_worker() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    for (at, arguments) in ["not json at all", "[1, 2]", "17", "\"text\"", r#"{"city": "Par"#].into_iter().enumerate() {
        let id = format!("bad-{at}");
        link.send(&job(&id, &format!("fake: --tool-name lookup --tool-arguments '{arguments}'"))).await;
        let outcome = link.outcome(&id).await;
        assert!(outcome.failed().contains("`lookup`"), "{arguments} must not get out: {}", outcome.end);
        assert!(!outcome.end.to_string().contains(arguments), "not even in the error: {}", outcome.end);
    }
}

#[tokio::test]
async fn c28_arguments_that_can_be_repaired_are() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let cases = [
        ("", json!({})),
        (r#"{"city": "Paris""#, json!({"city": "Paris"})),
        (r#"{"a": {"b": [1]"#, json!({"a": {"b": [1]}})),
    ];
    let mut ids = BTreeSet::new();
    for (at, (arguments, saved)) in cases.into_iter().enumerate() {
        let id = format!("saved-{at}");
        link.send(&job(&id, &format!("fake: --tool-no-id --tool-arguments '{arguments}'"))).await;
        let outcome = link.outcome(&id).await;
        outcome.completed();
        let call = &outcome.end["tool_calls"][0];
        let text = call["function"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), saved, "{arguments}");
        ids.insert(call["id"].as_str().unwrap().to_owned());
    }
    assert!(ids.len() == 3 && !ids.contains(""), "an id the engine left out is made, and unique: {ids:?}");
}
