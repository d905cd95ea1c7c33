//! A client that leaves, in each phase: the slot and the engine's connection are free.

use super::client::Client;
use super::{MODEL, Setup, Stage, body, open};

async fn idle(stage: &Stage) {
    let labels = [&*format!("model=\"{MODEL}\""), "ending=\"cancelled\"", "door=\"gateway\""];
    stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 1.0).await;
    stage.worker.metric_until("auxot_worker_slots_busy", &[], |busy| busy == 0.0).await;
}

#[tokio::test]
async fn while_its_stream_comes() {
    let mut stage = Stage::ready("--tokens 1000000 --token-us 1000", &[]).await;
    let mut client = stage.chat(&body("hi", r#","stream":true"#)).await;
    assert!(client.until("data: ").await);
    drop(client);
    stage.report("released").await;
    idle(&stage).await;
}

#[tokio::test]
async fn while_it_waits_for_an_answer_that_is_no_stream() {
    let mut stage = Stage::ready("--tokens 1000000 --token-us 1000", &[]).await;
    let client = stage.chat(&body("hi", "")).await;
    stage.report("slot").await;
    drop(client);
    stage.report("released").await;
    idle(&stage).await;
}

#[tokio::test]
async fn while_its_prompt_is_read() {
    let mut stage = Stage::ready("--prompt-ms 3600000", &[]).await;
    let client = stage.chat(&body("hi", r#","stream":true"#)).await;
    stage.report("slot").await;
    drop(client);
    stage.report("released").await;
    idle(&stage).await;
}

#[tokio::test]
async fn while_the_model_loads_or_all_slots_are_busy() {
    let setup = Setup::new();
    let gate = setup.gate();
    setup.put("slow-q8_0.gguf", &format!("--hold load:{}", gate.display()));
    let stage = setup.ready("--tokens 1000000 --token-us 1000", &[("AUXOT_MAX_PARALLEL", "1")]).await;
    let _busy = stage.chat(&body("hi", r#","stream":true"#)).await;
    stage.worker.metric_until("auxot_worker_slots_busy", &[], |busy| busy == 1.0).await;
    let waiting = async |count: f64| {
        stage.worker.metric_until("auxot_worker_jobs_waiting", &[], |now| now == count).await;
    };
    for more in [r#","stream":true"#, "", r#","model":"slow-q8_0""#] {
        let client = stage.chat(&body("hi", more)).await;
        if more.contains("slow") {
            let labels = ["model=\"slow-q8_0\""];
            stage.worker.metric_until("auxot_worker_jobs_waiting", &labels, |now| now == 1.0).await;
            drop(client);
            stage.worker.metric_until("auxot_worker_jobs_waiting", &labels, |now| now == 0.0).await;
        } else {
            waiting(1.0).await;
            drop(client);
            waiting(0.0).await;
        }
    }
    open(&gate);
}

#[tokio::test]
async fn while_its_body_is_not_sent_yet() {
    let stage = Stage::ready("--text here", &[("AUXOT_GATEWAY__MAX_CONNECTIONS", "1")]).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{\"mess";
    drop(Client::raw(&stage.address, head.as_bytes()).await);
    let answer = stage.chat(&body("hi", "")).await.whole().await;
    assert_eq!(answer.status, 200, "the one connection is free again");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_after_its_time() {
    let settings = [("AUXOT_GATEWAY__WRITE_TIMEOUT", "500ms")];
    let mut stage = Stage::ready("--tokens 100000000 --batch-writes", &settings).await;
    let _client = stage.chat(&body("hi", r#","stream":true"#)).await;
    stage.report("released").await;
    let labels = ["ending=\"client_too_slow\""];
    stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 1.0).await;
}
