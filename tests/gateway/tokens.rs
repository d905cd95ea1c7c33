//! The tokens of requests that are passed on unread: in the metrics and in the list of jobs.

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
