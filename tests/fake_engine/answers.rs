//! Answers in the engine's shapes, and the faults in the middle of one.

use auxot_tests::{Reports, Scratch, http};
use serde_json::Value;

use crate::{DEADLINE, ask, ready};

fn events(body: &str) -> Vec<String> {
    body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

fn joined(body: &str, key: &str) -> String {
    let chunks = events(body).into_iter().filter_map(|event| serde_json::from_str::<Value>(&event).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"][key].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_stream_says_the_text_and_ends_with_done() {
    let scratch = Scratch::new();
    let _engine = ready(&scratch, "").await;
    let answer = ask(&scratch.join("engine.sock"), "fake: --text 'two words'", true).await;
    assert_eq!(answer.status, 200);
    assert_eq!(joined(&answer.body, "content"), "two words");
    let events = events(&answer.body);
    assert_eq!(events.last().unwrap(), "[DONE]");
    let last: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["timings"]["predicted_n"], 2);
}

#[tokio::test]
async fn reasoning_and_a_tool_call_come_in_both_forms() {
    let scratch = Scratch::new();
    let _engine = ready(&scratch, "--reasoning-text 'I think so. ' --tool-call").await;
    let socket = scratch.join("engine.sock");
    let whole: Value = serde_json::from_str(&ask(&socket, "hello", false).await.body).unwrap();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["reasoning_content"], "I think so. ");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "get_weather");
    let stream = ask(&socket, "hello", true).await.body;
    assert_eq!(joined(&stream, "reasoning_content"), "I think so. ");
    let calls = events(&stream).into_iter().filter_map(|event| serde_json::from_str::<Value>(&event).ok());
    let arguments: String = calls
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(arguments, choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap());
}

#[tokio::test]
async fn a_prompt_too_long_is_refused_with_its_numbers() {
    let scratch = Scratch::new();
    let _engine = ready(&scratch, "").await;
    let answer = ask(&scratch.join("engine.sock"), &"word ".repeat(5000), true).await;
    assert_eq!(answer.status, 400);
    let error: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(error["error"]["type"], "exceed_context_size_error");
    assert_eq!(error["error"]["n_prompt_tokens"], 5000);
    assert_eq!(error["error"]["n_ctx"], 4096);
}

#[tokio::test]
async fn a_cut_stream_has_no_end_and_an_error_event_has_one() {
    let scratch = Scratch::new();
    let _engine = ready(&scratch, "").await;
    let socket = scratch.join("engine.sock");
    let body = crate::chat("fake: --cut-stream-at 2", true);
    let cut = http::post_unix(&socket, "/v1/chat/completions", &body).await;
    assert!(cut.is_err(), "a cut stream must not look whole: {cut:?}");
    let wrong = ask(&socket, "fake: --error-event-at 2", true).await;
    assert!(wrong.body.contains(r#"{"error":{"code":500"#), "{}", wrong.body);
    assert!(!wrong.body.contains("[DONE]"));
    let refused = ask(&socket, "fake: --refuse '500:server_error:no such thing'", true).await;
    assert_eq!((refused.status, refused.body.contains("no such thing")), (500, true));
}

#[tokio::test]
async fn a_queued_request_waits_for_the_slot_that_a_closed_socket_frees() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let report = format!("--report {}", reports.path().display());
    let _engine = ready(&scratch, &report).await;
    let socket = scratch.join("engine.sock");
    let slow = "fake: --tokens 100000 --token-us 20000";
    let mut holders = tokio::task::JoinSet::new();
    let mut handles = Vec::new();
    for _ in 0..2 {
        let socket = socket.clone();
        handles.push(holders.spawn(async move { ask(&socket, slow, true).await }));
        reports.next("slot", DEADLINE).await;
    }
    let third = socket.clone();
    let mut third = Box::pin(async move { ask(&third, "fake: --text 'at last'", true).await });
    tokio::select! {
        answer = &mut third => panic!("no slot was free, and yet: {answer:?}"),
        event = reports.next("request", DEADLINE) => assert_eq!(event.name, "request"),
    }
    let metrics = http::get_unix(&socket, "/metrics").await.unwrap().body;
    assert_eq!(http::metric(&metrics, "llamacpp:requests_processing", &[]), Some(2.0));
    assert_eq!(http::metric(&metrics, "llamacpp:requests_deferred", &[]), Some(1.0));
    handles[0].abort();
    let released = async {
        let released = reports.next("released", DEADLINE).await;
        assert_eq!(released.detail["how"], "gone");
    };
    let (answer, ()) = tokio::join!(third, released);
    assert_eq!(joined(&answer.body, "content"), "at last");
}

#[tokio::test]
async fn a_held_answer_stops_before_its_token_and_goes_on_and_its_words_are_all_different() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let _engine = ready(&scratch, &format!("--report {}", reports.path().display())).await;
    let (socket, gate) = (scratch.join("engine.sock"), scratch.join("gate"));
    let message = format!("fake: --count w --tokens 4 --hold prompt:{0} --hold 2:{0}", gate.display());
    let mut answer = Box::pin(async move { ask(&socket, &message, true).await });
    tokio::select! {
        answer = &mut answer => panic!("it was held, and yet: {answer:?}"),
        held = reports.next("held", DEADLINE) => assert_eq!(held.detail["at"], "prompt"),
    }
    std::fs::write(gate, "").unwrap();
    assert_eq!(joined(&answer.await.body, "content"), "w0 w1 w2 w3 ");
}
