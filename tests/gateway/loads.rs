//! A model that loads while its client waits.

use super::{Client, Setup, body, open};

const STREAM: &str = r#","stream":true"#;

#[tokio::test]
async fn a_stream_has_its_head_at_once_and_comments_until_the_engine_answers() {
    let setup = Setup::new();
    let gate = setup.gate();
    setup.put("slow-q8_0.gguf", &format!("--text 'loaded now' --hold load:{}", gate.display()));
    let stage = setup.ready("--text 'here it is'", &[("AUXOT_GATEWAY__EARLY_HEAD", "10ms")]).await;
    let mut client = stage.chat(&body("hi", r#","stream":true,"model":"slow""#)).await;
    assert!(client.until(": slow-q8_0 is loading").await);
    let head = client.shown();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    open(&gate);
    let answer = client.whole().await;
    let text = answer.text();
    assert!(text.contains("loaded") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn others_wait_without_a_head_and_get_the_engine_s_own_status() {
    let setup = Setup::new();
    let gate = setup.gate();
    setup.put("slow-q8_0.gguf", &format!("--refuse 418:odd:short --hold load:{}", gate.display()));
    let stage = setup.ready("", &[("AUXOT_GATEWAY__EARLY_HEAD", "10ms")]).await;
    let mut client = stage.chat(&body("hi", r#","model":"slow""#)).await;
    stage.worker.metric_until("auxot_worker_jobs_waiting", &["model=\"slow-q8_0\""], |now| now == 1.0).await;
    open(&gate);
    assert_eq!(client.whole().await.status, 418);
}

#[tokio::test]
async fn a_refusal_of_the_engine_after_the_head_is_an_event_in_the_engines_words() {
    let setup = Setup::new();
    let gate = setup.gate();
    setup.put(
        "slow-q8_0.gguf",
        &format!("--refuse 400:exceed_context_size_error:'too long' --hold load:{}", gate.display()),
    );
    let stage = setup.ready("", &[("AUXOT_GATEWAY__EARLY_HEAD", "10ms")]).await;
    let mut client = stage.chat(&body("hi", r#","stream":true,"model":"slow""#)).await;
    assert!(client.until(": slow-q8_0 is loading").await);
    open(&gate);
    let answer = client.whole().await;
    let last = answer.text().rsplit("\n\n").nth(1).unwrap().to_owned();
    assert!(last.starts_with("data: {\"error\":{") && last.contains("exceed_context_size_error"), "{last}");
}

#[tokio::test]
async fn a_load_that_fails_is_a_status_before_the_head_and_an_event_after_it() {
    let setup = Setup::new();
    let gate = setup.gate();
    setup.put(
        "bad-q8_0.gguf",
        &format!("--hold start:{} --exit-at-load '1:error loading model: bad tensor'", gate.display()),
    );
    let stage = setup.ready("", &[("AUXOT_GATEWAY__EARLY_HEAD", "10ms"), ("AUXOT_FLEET__FAILED_RETRY", "1h")]).await;
    let mut client = stage.chat(&body("hi", r#","stream":true,"model":"bad-q8_0""#)).await;
    assert!(client.until(": bad-q8_0 is loading").await);
    open(&gate);
    let answer = client.whole().await;
    let last = answer.text().rsplit("\n\n").nth(1).unwrap().to_owned();
    assert!(last.starts_with("data: {\"error\":{") && last.contains("model_failed"), "{last}");
    let again = stage.chat(&body("hi", &format!(r#"{STREAM},"model":"bad-q8_0""#))).await.whole().await;
    assert_eq!((again.status, again.field("x-should-retry")), (503, Some("false")));
    let anthropic = Client::post(&stage.address, "/v1/messages", &body("hi", r#","model":"bad-q8_0""#)).await;
    let anthropic = { anthropic }.whole().await.json();
    assert_eq!((&anthropic["type"], &anthropic["error"]["type"]), (&"error".into(), &"overloaded_error".into()));
}
