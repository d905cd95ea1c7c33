//! Frames that a router should not send, and large ones that it may (item 21).

use auxot_tests::scripted_router::{job, saying};
use auxot_tests::{Scratch, ScriptedRouter};
use serde_json::json;

use crate::{MODEL_FILE, Stage, hosted, worker};

#[tokio::test]
async fn c21_unknown_and_misplaced_types_are_ignored() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    for kind in [
        "job.tool.call.result",
        "reload_policy",
        "validate_configuration",
        "tool_job",
        "agent_x",
        "hello",
        "heartbeat",
        "token",
        "complete",
        "🦀",
    ] {
        link.send(&json!({"type": kind, "job_id": "x", "payload": {"a": [1, null]}})).await;
    }
    link.send(&json!({"type": "error", "error": "something over here"})).await;
    link.send(&json!({"type": "hello_ack", "success": false, "error": "late"})).await;
    link.send(&json!({"type": "policy_update", "policy": null})).await;
    link.send(&json!({"type": "policy_update"})).await;
    link.says("after", "nothing happened").await;
    assert_eq!((stage.router.connections(), link.count_about("x")), (1, 0));
}

#[tokio::test]
async fn c21_frames_without_json_are_ignored() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    let deep = format!("{{\"type\":\"job\",\"messages\":{}", "[".repeat(200_000));
    for text in ["", "junk", "[]", "42", "null", "{}", r#"{"type":5}"#, r#"{"type":"job""#, "\u{0}", &deep] {
        link.send_text(text).await;
    }
    link.says("after", "nothing happened").await;
    assert_eq!(stage.router.connections(), 1);
    assert_eq!(stage.worker.lines_with("cannot read a message").len(), 1, "one line a minute for all of them");
}

#[tokio::test]
async fn c21_a_job_that_is_not_utf8_ends_and_the_connection_stays() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    for (at, text) in [&b"caf\xe9"[..], b"\xff\xfe", b"\xed\xa0\x80"].iter().enumerate() {
        let (id, mut frame) = (format!("raw-{at}"), job(&format!("raw-{at}"), "TEXT").to_string().into_bytes());
        let place = frame.windows(4).position(|part| part == b"TEXT").unwrap();
        frame.splice(place..place + 4, text.iter().copied());
        link.send_raw_text(&frame).await;
        assert_eq!(link.outcome(&id).await.failed(), "cannot read this job: it is not UTF-8");
    }
    link.says("after", "still here").await;
    assert_eq!(stage.router.connections(), 1);
}

#[tokio::test]
async fn c21_a_job_that_is_too_large_ends_and_the_connection_stays() {
    let (stage, mut link) = Stage::serving("", &[("AUXOT_ROUTER__MAX_MESSAGE", "1MiB")]).await;
    let large = job("large", &"x".repeat(2 << 20));
    link.send(&large).await;
    let words = "cannot read this job: it is larger than this worker accepts";
    assert_eq!(link.outcome("large").await.failed(), words);
    let pieces = job("pieces", &"x".repeat(2 << 20)).to_string();
    link.send_in_fragments(&pieces, 100_000).await;
    assert_eq!(link.outcome("pieces").await.failed(), words);
    link.says("after", "still here").await;
    assert_eq!(stage.router.connections(), 1);
}

#[tokio::test]
async fn c21_an_unreadable_job_with_a_readable_id_is_answered() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let cases = [
        r#"{"type":"job","job_id":"wrong-temperature","messages":[],"temperature":"warm"}"#,
        r#"{"type":"job","job_id":"wrong-limit","messages":[],"max_tokens":{"a":1}}"#,
        r#"{"type":"job","messages":[],"model":["x"],"job_id":"wrong-model"}"#,
    ];
    for (text, id) in cases.into_iter().zip(["wrong-temperature", "wrong-limit", "wrong-model"]) {
        link.send_text(text).await;
        assert_eq!(link.outcome(id).await.failed(), "cannot read this job");
    }
    link.send_text(r#"{"type":"job","job_id":7,"messages":[]}"#).await;
    link.says("after", "no id, no answer").await;
}

#[tokio::test]
async fn c21_a_job_of_odd_messages_is_ended_too() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let odd = [json!("text"), json!({"a": 1}), json!(7), json!([1, "two", null, [3]]), json!([{"role": 7}])];
    for (at, messages) in odd.into_iter().enumerate() {
        let id = format!("odd-{at}");
        link.send(&json!({"type": "job", "job_id": id, "messages": messages})).await;
        // The engine decides how it ends; the test is that it ends.
        link.outcome(&id).await;
    }
}

#[tokio::test]
async fn c21_a_binary_frame_and_fragments_are_read_like_text() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    link.send_binary(&[0xff, 0xfe, 0x00]).await;
    link.send_binary(saying("binary", "from binary").to_string().as_bytes()).await;
    assert_eq!(link.outcome("binary").await.completed(), "from binary");
    link.send_in_fragments(&saying("pieces", "tous les mots été").to_string(), 7).await;
    assert_eq!(link.outcome("pieces").await.completed(), "tous les mots été");
}

#[tokio::test]
async fn c21_a_binary_hello_ack_is_accepted() {
    let mut stage = Stage::open("", &[]).await;
    let mut link = stage.router.link().await;
    link.hello().await;
    link.send_binary(hosted().to_string().as_bytes()).await;
    link.next("config").await;
    link.says("after", "greeted in binary").await;
}

#[tokio::test]
async fn c21_a_job_of_64_mib_is_served_and_another_in_parallel() {
    let scratch = Scratch::new();
    // Without reports: the engine would send the whole body to this test too.
    scratch.fake_model(MODEL_FILE, "--text 'read it all'");
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &[]).await;
    let mut link = router.greeted(&hosted()).await;
    link.send(&job("large", &"x".repeat(64 << 20))).await;
    link.send(&saying("small", "beside it")).await;
    assert_eq!(link.outcome("small").await.completed(), "beside it");
    assert_eq!(link.outcome("large").await.completed(), "read it all");
}
