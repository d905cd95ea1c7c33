//! The tokens of requests that are passed on unread: in the metrics and in the list of jobs.

use super::bytes::real;
use super::client::Client;
use super::{Stage, body};

#[tokio::test]
async fn tokens_of_streams_and_of_whole_answers_are_counted() {
    let stage = Stage::ready("", &[]).await;
    let counted = async |tokens: f64, prompt: f64| {
        stage.worker.metric_until("auxot_worker_tokens_generated_total", &["tiny-chat"], |value| value == tokens).await;
        stage.worker.metric_until("auxot_worker_prompt_tokens_total", &["tiny-chat"], |value| value == prompt).await;
    };
    let mut stream = stage.chat(&body("fake: --tokens 5", r#","stream":true"#)).await;
    assert!(stream.until("[DONE]").await);
    counted(5.0, 3.0).await;
    // An answer that is no stream is joined from one.
    assert_eq!(stage.chat(&body("fake: --tokens 7", "")).await.whole().await.status, 200);
    counted(12.0, 6.0).await;
    // One that is cut short has no counts: they are not made up.
    let mut cut = stage.chat(&body("fake: --tokens 50 --cut-stream-at 3", r#","stream":true"#)).await;
    assert!(!cut.until("[DONE]").await);
    counted(12.0, 6.0).await;
}

#[tokio::test]
async fn prompt_tokens_are_counted_where_the_engine_writes_them_first() {
    let (_scratch, worker, address) = real(&["tiny-script-f16", "tiny-embed-f16"], &[]).await;
    let counted = async |model: &str, expected: f64| {
        let labels = [&*format!("model=\"{model}\"")];
        worker.metric_until("auxot_worker_prompt_tokens_total", &labels, |value| value == expected).await;
    };
    let request = r#"{"max_tokens":8,"messages":[{"role":"user","content":"hi"}]"#;
    let stream = Client::post(&address, "/v1/messages", &format!("{request},\"stream\":true}}")).await.whole().await;
    let start = stream.text().lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
    let start: serde_json::Value = serde_json::from_str(start).expect("JSON");
    let streamed = start["message"]["usage"]["input_tokens"].as_f64().expect("a count");
    assert!(streamed > 0.0);
    counted("tiny-script-f16", streamed).await;
    // The second prompt is in the cache nearly whole: what is counted is what was processed.
    let whole = Client::post(&address, "/v1/messages", &format!("{request}}}")).await.whole().await.json();
    assert!(whole["usage"]["cache_read_input_tokens"].as_f64() > Some(0.0), "{whole}");
    let joined = whole["usage"]["input_tokens"].as_f64().expect("a count");
    assert!(joined > 0.0, "{whole}");
    counted("tiny-script-f16", streamed + joined).await;
    let embeddings =
        Client::post(&address, "/v1/embeddings", r#"{"input":["hello","there, you"],"model":"tiny-embed"}"#);
    let embeddings = embeddings.await.whole().await.json();
    counted("tiny-embed-f16", embeddings["usage"]["prompt_tokens"].as_f64().expect("a count")).await;
}
