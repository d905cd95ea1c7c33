//! A job that is dispatched twice runs once (item 18), and a full queue refuses jobs with its length.

use auxot_tests::scripted_router::job;

use crate::{DEADLINE, Stage};

/// Requests that the engine received, once `released` of them have ended.
async fn requests(stage: &mut Stage, released: usize) -> usize {
    while stage.reports.past().iter().filter(|event| event.name == "released").count() < released {
        stage.reports.next("released", DEADLINE).await;
    }
    stage.reports.past().iter().filter(|event| event.name == "request").count()
}

#[tokio::test]
async fn c18_a_job_that_comes_twice_on_one_connection_runs_once() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let twice = job("twice", "fake: --tokens 20 --token-us 10000");
    link.send(&twice).await;
    link.send(&twice).await;
    link.about("twice").await;
    link.send(&twice).await;
    link.outcome("twice").await.completed();
    link.says("barrier", "nothing more of it").await;
    let endings = link.history().iter().filter(|frame| frame["job_id"] == "twice" && frame["type"] == "complete");
    assert_eq!(endings.count(), 1);
    assert_eq!(requests(&mut stage, 2).await, 2, "one for the job, one for the barrier");
}

#[tokio::test]
async fn c18_a_job_that_comes_on_another_connection_moves_there() {
    let (mut stage, mut first) = Stage::serving("", &[("AUXOT_ROUTER_CONNECTIONS", "2")]).await;
    let mut second = stage.greeted().await;
    let twice = job("twice", "fake: --tokens 40 --token-us 10000");
    first.send(&twice).await;
    first.about("twice").await;
    second.send(&twice).await;
    let rest = second.outcome("twice").await;
    rest.completed();
    first.says("barrier", "nothing more of it").await;
    let said =
        |frame: &serde_json::Value| frame["token"].as_str().filter(|_| frame["job_id"] == "twice").map(str::to_owned);
    let begun: String = first.history().iter().filter_map(said).collect();
    assert_eq!(format!("{begun}{}", rest.text), rest.end["full_response"], "no text twice, none lost");
    let first_ended = first.history().iter().any(|frame| frame["job_id"] == "twice" && frame["type"] == "complete");
    assert!(!first_ended, "one ending, on the connection of the last dispatch");
    assert_eq!(requests(&mut stage, 2).await, 2);
}

#[tokio::test]
async fn c18_a_job_that_is_refused_is_counted_and_takes_no_time() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    let mut stray = job("stray", "fake: --text 'never'");
    stray["model"] = serde_json::json!("no-such-model");
    link.send(&stray).await;
    assert!(link.outcome("stray").await.failed().contains("no-such-model"));
    let metrics = stage.worker.metrics().await;
    let unknown = ["model=\"unknown\"", "ending=\"refused\""];
    assert_eq!(auxot_tests::http::metric(&metrics, "auxot_worker_jobs_total", &unknown), Some(1.0));
    let timed = auxot_tests::http::metric(&metrics, "auxot_worker_inference_duration_seconds_count", &[]);
    assert!(timed.is_none_or(|count| count == 0.0), "{timed:?}");
}

#[tokio::test]
async fn c18_a_full_queue_refuses_with_its_length() {
    let settings = [("AUXOT_MAX_PARALLEL", "1"), ("AUXOT_FLEET__MAX_WAITING", "1")];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    link.send(&job("running", "fake: --stall-at 1")).await;
    stage.reports.next("slot", DEADLINE).await;
    link.send(&job("waiting", "fake: --text 'my turn'")).await;
    link.send(&job("one-too-many", "fake: --text 'never'")).await;
    let outcome = link.outcome("one-too-many").await;
    assert!(outcome.failed().contains("1 jobs wait"), "{}", outcome.end);
    link.cancel("running").await;
    assert_eq!(link.outcome("waiting").await.completed(), "my turn");
}

#[tokio::test]
async fn c06_jobs_that_wait_are_bounded_in_bytes_too() {
    let (mut stage, mut link) = crate::Stage::serving("", &[("AUXOT_ROUTER__MAX_JOB_MEMORY", "4MiB")]).await;
    let gate = stage.scratch.join("gate");
    let held = |id: &str| {
        let switches = format!("fake: --text done --hold prompt:{}", gate.display());
        let messages = serde_json::json!([{"role": "system", "content": "x".repeat(1 << 20)}, {"role": "user", "content": switches}]);
        serde_json::json!({"type": "job", "job_id": id, "messages": messages})
    };
    for id in ["one", "two", "three"] {
        link.send(&held(id)).await;
    }
    for _ in 0..2 {
        stage.reports.next("held", crate::DEADLINE).await;
    }
    link.send(&held("too-much")).await;
    let refused = link.outcome("too-much").await;
    assert!(refused.failed().contains("busy"), "{}", refused.end);
    assert_eq!(refused.end["status"], 503);
    std::fs::write(&gate, "").unwrap();
    for id in ["one", "two", "three"] {
        assert_eq!(link.outcome(id).await.completed(), "done");
    }
    link.send(&held("again")).await;
    assert_eq!(link.outcome("again").await.completed(), "done", "what has ended makes room");
}

#[tokio::test]
async fn c06_a_single_job_may_be_larger_than_the_bound_on_all_jobs() {
    let (_stage, mut link) = crate::Stage::serving("", &[("AUXOT_ROUTER__MAX_JOB_MEMORY", "64KiB")]).await;
    for id in ["large", "again"] {
        let messages = serde_json::json!([
            {"role": "system", "content": "x".repeat(1 << 20)},
            {"role": "user", "content": "fake: --text done"},
        ]);
        link.send(&serde_json::json!({"type": "job", "job_id": id, "messages": messages})).await;
        assert_eq!(link.outcome(id).await.completed(), "done", "its bound is that of one message");
    }
}
