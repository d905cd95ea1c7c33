//! Whole requests of the caller: the engine gets them as they are, and its answer comes back over any connection.

use auxot_tests::scripted_router::Link;
use serde_json::{Value, json};

use crate::{DEADLINE, Stage};

/// A job that is a whole request, as the frame that a router sends.
pub(crate) fn frame(id: &str, path: &str, body: &str) -> Vec<u8> {
    let http = json!({"method": "POST", "path": path, "headers": [["content-type", "application/json"]]});
    let line = json!({"type": "job", "job_id": id, "request": {"http": http}}).to_string();
    [line.as_bytes(), b"\n", body.as_bytes()].concat()
}

/// A job that reads from an engine.
fn get_frame(id: &str, path: &str) -> Vec<u8> {
    let http = json!({"method": "GET", "path": path});
    let line = json!({"type": "job", "job_id": id, "request": {"http": http}}).to_string();
    [line.as_bytes(), b"\n"].concat()
}

pub(crate) fn read(id: &str, offset: usize, complete: bool) -> Value {
    json!({"type": "answer_read", "job_id": id, "offset": offset, "complete": complete})
}

/// Reads bytes of an answer into `body` up to its end; returns the terminal message.
pub(crate) async fn rest(link: &mut Link, id: &str, body: &mut String) -> Value {
    loop {
        let message = link.about(id).await;
        match message["type"].as_str() {
            Some("answer_data") => take(&message, body),
            _ => return message,
        }
    }
}

fn take(message: &Value, body: &mut String) {
    let offset = usize::try_from(message["offset"].as_u64().unwrap()).unwrap();
    assert!(offset <= body.len(), "bytes are missing: {message}");
    let payload = message["payload"].as_str().unwrap();
    body.push_str(&payload[(body.len() - offset).min(payload.len())..]);
}

#[tokio::test]
async fn the_engine_gets_the_bytes_of_the_caller_and_the_router_those_of_the_engine() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let body = r#"{"messages": [{"role":"user","content":"fake: --text 'one two'"}], "x":1.0, "stream": true}"#;
    link.send_binary(&frame("j", "/v1/chat/completions", body)).await;
    let request = stage.reports.next("request", DEADLINE).await;
    assert_eq!(request.detail["body"], serde_json::from_str::<Value>(body).unwrap());
    let head = link.about("j").await;
    assert_eq!((&head["type"], &head["status"]), (&json!("answer_head"), &json!(200)));
    let mut text = String::new();
    let end = rest(&mut link, "j", &mut text).await;
    assert!(text.starts_with("data: {") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!((&end["type"], &end["length"]), (&json!("complete"), &json!(text.len())));
    assert!(end["output_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{end}");
    link.send(&read("j", text.len(), true)).await;
    // The job is over: the worker starts it again where it comes again.
    stage.reports.next("released", DEADLINE).await;
    link.says("barrier", "x").await;
    link.send_binary(&frame("j", "/v1/chat/completions", body)).await;
    stage.reports.next("request", DEADLINE).await;
    stage.reports.next("request", DEADLINE).await;
}

#[tokio::test]
async fn what_can_be_read_of_an_engine_is_passed_on() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    for path in ["/props", "/slots", "/props?model=any"] {
        link.send_binary(&get_frame("j", path)).await;
        let head = link.about("j").await;
        assert_eq!((&head["type"], &head["status"]), (&json!("answer_head"), &json!(200)), "{path}");
        let mut text = String::new();
        let end = rest(&mut link, "j", &mut text).await;
        assert_eq!((&end["type"], &end["length"]), (&json!("complete"), &json!(text.len())));
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{path}: {text}");
        link.send(&read("j", text.len(), true)).await;
    }
}

/// An engine stops a stream whose client has left, and no other answer. The router hears that the engine still works.
#[tokio::test]
async fn a_request_on_a_kept_connection_that_the_engine_closes_is_sent_again() {
    let (mut stage, mut link) = Stage::serving("--close-kept --text 'once more'", &[]).await;
    for (id, stream) in [("a", false), ("b", true), ("c", true)] {
        let body = json!({"messages": [{"role": "user", "content": "hi"}], "stream": stream}).to_string();
        link.send_binary(&frame(id, "/v1/chat/completions", &body)).await;
        let mut head = link.about(id).await;
        while head["type"] == "answer_pending" {
            head = link.about(id).await;
        }
        assert_eq!(head["status"], 200, "{id}");
        let mut text = String::new();
        assert_eq!(rest(&mut link, id, &mut text).await["type"], "complete", "{id}");
        assert!(text.contains("once"), "{id}: {text}");
        link.send(&read(id, text.len(), true)).await;
    }
    stage.reports.next("closed", DEADLINE).await;
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_joined_from_one_and_pending_until_then() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let body = r#"{"messages": [{"role":"user","content":"fake: --text 'one two' --prompt-ms 21000"}], "x":1.0}"#;
    link.send_binary(&frame("j", "/v1/chat/completions", body)).await;
    let request = stage.reports.next("request", DEADLINE).await;
    assert_eq!((&request.detail["body"]["stream"], &request.detail["body"]["x"]), (&json!(true), &json!(1.0)));
    assert_eq!(link.about("j").await, json!({"type": "answer_pending", "job_id": "j"}));
    let head = link.about("j").await;
    assert_eq!((&head["type"], &head["status"]), (&json!("answer_head"), &json!(200)));
    let mut text = String::new();
    rest(&mut link, "j", &mut text).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "one two");

    // The reports of the first request; a cancel must not come before the second one has its slot.
    for name in ["slot", "released"] {
        stage.reports.next(name, DEADLINE).await;
    }
    let endless = body.replace("--prompt-ms 21000", "--tokens 100000 --token-us 5000");
    link.send_binary(&frame("k", "/v1/chat/completions", &endless)).await;
    stage.reports.next("slot", DEADLINE).await;
    link.cancel("k").await;
    while stage.reports.next("released", DEADLINE).await.detail["how"] != "gone" {}
}

#[tokio::test]
async fn an_answer_continues_over_another_connection_with_all_that_no_one_has_read() {
    let (mut stage, mut first) = Stage::serving("", &[]).await;
    let chat = r#"{"messages":[{"role":"user","content":"fake: --tokens 40 --token-us 10000"}],"stream":true}"#;
    first.send_binary(&frame("kept", "/v1/chat/completions", chat)).await;
    let head = first.about("kept").await;
    let mut body = String::new();
    for _ in 0..5 {
        take(&first.about("kept").await, &mut body);
    }
    // The rest of what this connection has brought is lost.
    drop(first);
    let mut second = stage.greeted().await;
    second.send_binary(&frame("kept", "/v1/chat/completions", chat)).await;
    let again = second.about("kept").await;
    assert_eq!(again["answer"], head["answer"]);
    let end = rest(&mut second, "kept", &mut body).await;
    assert_eq!(end["length"], json!(body.len()), "{end}");
    assert_eq!(body.matches("\"content\":\"").count(), 40, "{body}");
    // The end is kept, too, until the router has it.
    drop(second);
    let mut third = stage.greeted().await;
    third.send_binary(&frame("kept", "/v1/chat/completions", chat)).await;
    third.about("kept").await;
    let mut whole = String::new();
    assert_eq!(rest(&mut third, "kept", &mut whole).await["type"], "complete");
    assert_eq!(whole, body);
    third.send(&read("kept", body.len(), true)).await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(stage.reports.past().iter().filter(|event| event.name == "request").count(), 1);
}

#[tokio::test]
async fn what_no_engine_can_safely_read_and_what_is_for_no_caller_is_refused() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    for (id, path, body) in [
        ("a", "/v1/chat/completions", "[{"),
        ("b", "/v1/chat/completions", &*deep),
        ("c", "/slots/0?action=erase", "{}"),
        ("d", "/props", "{}"),
        ("e", "/v1/embeddings", "{}"),
    ] {
        link.send_binary(&frame(id, path, body)).await;
        let end = link.about(id).await;
        assert_eq!((&end["type"], &end["status"]), (&json!("error"), &json!(400)), "{end}");
    }
}

/// A router whose caller reads nothing holds back one answer and no more than its window, until the job's time is over.
#[tokio::test]
async fn an_answer_that_no_one_reads_ends_with_the_time_of_its_job() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_JOB_TIMEOUT", "3s")]).await;
    let chat = r#"{"messages":[{"role":"user","content":"fake: --tokens 4000 --token-us 0"}],"stream":true}"#;
    link.send_binary(&frame("unread", "/v1/chat/completions", chat)).await;
    link.about("unread").await;
    let mut body = String::new();
    let end = rest(&mut link, "unread", &mut body).await;
    assert_eq!((&end["type"], &end["code"]), (&json!("error"), &json!("timeout")), "{end}");
    assert_eq!(body.len(), 256 * 1024);
    stage.reports.next("released", DEADLINE).await;
}
