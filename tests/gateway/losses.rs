//! An engine that goes away while it answers, and a worker that ends.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{MODEL, Stage, body};

const STREAM: &str = r#","stream":true"#;

fn kill_engine(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn before_the_answer_begins_another_engine_gets_the_request() {
    let mut stage = Stage::ready("--prompt-ms 300 --text 'still here'", &[]).await;
    for more in ["", STREAM] {
        let mut client = stage.chat(&body("hi", more)).await;
        let slot = stage.report("slot").await;
        if more == STREAM {
            // The head of a stream comes with its slot.
            continue;
        }
        kill_engine(slot.pid);
        let answer = client.whole().await;
        assert!(answer.status == 200 && answer.text().contains("still here"), "{answer:?}");
    }
}

#[tokio::test]
async fn between_two_events_the_stream_ends_with_an_error_and_its_reason() {
    let mut stage = Stage::ready("--tokens 1000000 --token-us 20000 --write-each", &[]).await;
    let mut client = stage.chat(&body("hi", STREAM)).await;
    let slot = stage.report("slot").await;
    assert!(client.until("data: ").await);
    kill_engine(slot.pid);
    let answer = client.whole().await;
    let last = answer.text().rsplit("\n\n").nth(1).unwrap().to_owned();
    assert!(last.starts_with("data: {\"error\":{") && last.contains("model_server_lost"), "{last}");
    let labels = ["ending=\"engine_gone\"", "door=\"gateway\""];
    stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 1.0).await;
}

#[tokio::test]
async fn in_the_middle_of_an_event_the_connection_is_cut() {
    let stage = Stage::ready("--tokens 100 --token-us 1000 --cut-stream-at 5", &[]).await;
    let mut client = stage.chat(&body("hi", STREAM)).await;
    let cut = client.try_whole().await.unwrap_err();
    assert!(!cut.text().contains("[DONE]"), "{}", cut.text());
}

#[tokio::test]
async fn a_request_that_crashes_two_engines_is_not_sent_to_a_third() {
    let mut stage = Stage::ready("--prompt-ms 3600000", &[("AUXOT_ENGINE__RESTART_DELAY", "10ms")]).await;
    let mut client = stage.chat(&body("hi", "")).await;
    for _ in 0..2 {
        let slot = stage.report("slot").await;
        kill_engine(slot.pid);
    }
    let answer = client.whole().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"request_crashes_model".into()), "{answer:?}");
    assert_eq!(stage.reports.all().iter().filter(|event| event.name == "slot").count(), 2);
}

#[tokio::test]
async fn a_worker_that_ends_lets_answers_finish_and_tells_those_that_cannot() {
    let settings = [("AUXOT_FLEET__DRAIN_TIMEOUT", "1s")];
    let mut stage = Stage::ready("--tokens 1000000 --token-us 1000 --write-each", &settings).await;
    let mut client = stage.chat(&body("hi", STREAM)).await;
    assert!(client.until("data: ").await);
    stage.worker.program.signal(Signal::SIGTERM);
    let answer = client.whole().await;
    let last = answer.text().rsplit("\n\n").nth(1).unwrap().to_owned();
    assert!(last.contains("the worker is shutting down") && last.contains("stopping"), "{last}");
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_answer_that_is_short_enough_is_finished_before_the_worker_ends() {
    let mut stage = Stage::ready("--tokens 60 --token-us 20000 --write-each", &[]).await;
    let mut client = stage.chat(&body("hi", STREAM)).await;
    assert!(client.until("data: ").await);
    stage.worker.program.signal(Signal::SIGTERM);
    let answer = client.whole().await;
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    assert_eq!(stage.worker.exit_code().await, Some(0));
    assert!(stage.worker.lines_with("cut short").is_empty(), "{MODEL}");
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_the_engine_closes_is_sent_again() {
    let mut stage = Stage::ready("--close-kept --text 'once more'", &[]).await;
    for more in ["", "", STREAM, STREAM] {
        let answer = stage.chat(&body("hi", more)).await.whole().await;
        assert!(answer.status == 200 && answer.text().contains("once"), "{answer:?}");
    }
    let labels = ["ending=\"completed\"", "door=\"gateway\""];
    stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 4.0).await;
    stage.report("closed").await;
}
