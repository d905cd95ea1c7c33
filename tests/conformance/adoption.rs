//! A connection that is lost in the middle of a job: the answer continues where it stopped, or is dropped (items 16, 17, 24).

use auxot_tests::scripted_router::{Link, job};
use serde_json::{Value, json};

use crate::{DEADLINE, Stage};

const SLOW: &str = "fake: --tokens 60 --token-us 15000";

/// Reads some of a job's text.
async fn some_text(link: &mut Link, job_id: &str) -> String {
    let mut text = String::new();
    for _ in 0..5 {
        text.push_str(link.about(job_id).await["token"].as_str().unwrap());
    }
    text
}

/// All text of a job that a link has read, also unexpected text.
fn text_on(link: &Link, job_id: &str) -> String {
    let tokens = link.history().iter().filter(|frame| frame["job_id"] == job_id && frame["type"] == "token");
    tokens.filter_map(|frame| frame["token"].as_str()).collect()
}

fn requests(stage: &Stage) -> usize {
    stage.reports.past().iter().filter(|event| event.name == "request").count()
}

#[tokio::test]
async fn c16_a_job_that_is_sent_again_continues_where_it_stopped() {
    let (mut stage, mut first) = Stage::serving("", &[]).await;
    let frame = job("kept", SLOW);
    first.send(&frame).await;
    let begun = some_text(&mut first, "kept").await;
    first.close().await;
    let mut second = stage.greeted().await;
    second.says("barrier", "of the other job not a word").await;
    assert_eq!(second.count_about("kept"), 0, "until the router sends the job again");
    second.send(&frame).await;
    let rest = second.outcome("kept").await;
    let whole = rest.end["full_response"].as_str().unwrap();
    assert_eq!(whole.split_whitespace().count(), 60);
    assert!(whole.ends_with(rest.completed()), "the rest is the end of it");
    // Text that was written between the last read and the close may be lost; no text may arrive twice.
    assert!(begun.len() + rest.text.len() <= whole.len(), "no text twice: {begun:?} + {:?}", rest.text);
    stage.reports.next("released", DEADLINE).await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(requests(&stage), 2, "the job and the barrier, one inference each");
}

#[tokio::test]
async fn c16_a_job_that_ended_during_a_disconnect_is_answered_at_once() {
    let (mut stage, mut first) = Stage::serving("", &[]).await;
    let frame = job("finished", "fake: --tokens 30 --token-us 5000");
    first.send(&frame).await;
    let begun = some_text(&mut first, "finished").await;
    drop(first);
    assert_eq!(stage.reports.next("released", DEADLINE).await.detail["how"], "done");
    let mut second = stage.greeted().await;
    second.send(&frame).await;
    let rest = second.outcome("finished").await;
    let whole = rest.end["full_response"].as_str().unwrap();
    assert!(whole.starts_with(&begun) && whole.ends_with(rest.completed()));
    assert!(begun.len() + rest.text.len() <= whole.len());
    assert_eq!(requests(&stage), 1, "without another inference");
}

#[tokio::test]
async fn c16_an_end_that_the_router_may_not_have_read_is_sent_again() {
    let (mut stage, mut first) = Stage::serving("", &[]).await;
    let frame = job("ended", "fake: --text 'all of it'");
    first.send(&frame).await;
    // The worker has written it; the router ends before it has read it.
    stage.worker.line("job ended").await;
    first.reset();
    let mut second = stage.greeted().await;
    second.send(&frame).await;
    let again = second.outcome("ended").await;
    assert_eq!((again.completed(), &again.end["full_response"]), ("", &json!("all of it")));
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(requests(&stage), 1, "without another inference");
    // On a connection that has read the end, the same job means a new one.
    second.says("between", "by then it has answered the ping behind that end").await;
    second.send(&frame).await;
    assert_eq!(second.outcome("ended").await.completed(), "all of it");
}

#[tokio::test]
async fn c18_a_job_that_crosses_its_own_end_on_the_wire_is_not_run_again() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let frame = job("crossed", "fake: --text 'once'");
    link.send(&frame).await;
    // The end has been sent, and this router has not read it.
    stage.worker.line("job ended").await;
    link.send(&frame).await;
    assert_eq!(link.outcome("crossed").await.completed(), "once");
    let again = link.outcome("crossed").await;
    assert_eq!(
        (again.completed(), &again.end["full_response"]),
        ("", &json!("once")),
        "one end for each time, no text"
    );
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(requests(&stage), 1, "without another inference");
}

#[tokio::test]
async fn c16_text_that_never_reached_a_socket_is_sent_before_the_end() {
    let settings = [("AUXOT_ROUTER_CONNECTIONS", "2")];
    let (mut stage, mut first) = Stage::serving("", &settings).await;
    let _other = stage.greeted().await;
    // Far more than the buffers hold, and only its beginning is read: the engine finishes, the text waits.
    let frame = job("unread", &format!("fake: --tokens 10000 --batch 16 --text {}", "x".repeat(1000)));
    first.send(&frame).await;
    some_text(&mut first, "unread").await;
    first.reset();
    let mut second = stage.greeted().await;
    second.send(&frame).await;
    let rest = second.outcome("unread").await;
    let whole = rest.end["full_response"].as_str().unwrap();
    assert!(whole.ends_with(rest.completed()), "no gap in what comes after the reset");
    assert!(rest.text.len() > whole.len() / 2, "most of it had to be sent again");
}

#[tokio::test]
async fn c16_after_the_window_the_slot_is_freed_and_the_job_restarts() {
    let (mut stage, mut first) = Stage::serving("", &[("AUXOT_ROUTER__ADOPT_WINDOW", "300ms")]).await;
    let frame = job("forgotten", "fake: --tokens 100000 --token-us 5000");
    first.send(&frame).await;
    some_text(&mut first, "forgotten").await;
    first.reset();
    let mut second = stage.greeted().await;
    assert_eq!(stage.reports.next("released", DEADLINE).await.detail["how"], "gone");
    stage.worker.metric_until("auxot_worker_jobs_total", &["ending=\"link_lost\""], |count| count == 1.0).await;
    second.send(&frame).await;
    let anew = some_text(&mut second, "forgotten").await;
    assert!(anew.starts_with("the quick brown "), "from the beginning: {anew:?}");
    second.cancel("forgotten").await;
}

#[tokio::test]
async fn c16_a_job_whose_connection_is_lost_can_be_cancelled() {
    let (mut stage, mut first) = Stage::serving("", &[]).await;
    first.send(&job("unwanted", "fake: --tokens 100000 --token-us 5000")).await;
    some_text(&mut first, "unwanted").await;
    first.reset();
    let mut second = stage.greeted().await;
    second.cancel("unwanted").await;
    assert_eq!(stage.reports.next("released", DEADLINE).await.detail["how"], "gone");
    second.says("after", "nothing of it").await;
    assert_eq!(second.count_about("unwanted"), 0);
}

#[tokio::test]
async fn c17_the_same_id_with_more_messages_is_a_new_round() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let call = r#"fake: --tool-name lookup --tool-arguments '{"id": "7"}'"#;
    link.send(&job("round", call)).await;
    let first = link.outcome("round").await;
    first.completed();
    let messages = json!([
        {"role": "user", "content": call},
        {"role": "assistant", "content": first.end["full_response"], "tool_calls": first.end["tool_calls"]},
        {"role": "tool", "tool_call_id": first.end["tool_calls"][0]["id"], "content": "seven"},
        {"role": "user", "content": "fake: --text 'It is seven.'"},
    ]);
    link.send(&json!({"type": "job", "job_id": "round", "messages": messages})).await;
    let body = async |stage: &mut Stage| stage.reports.next("request", DEADLINE).await.detail["body"].clone();
    assert_eq!(body(&mut stage).await["messages"].as_array().unwrap().len(), 1);
    let second: Value = body(&mut stage).await;
    assert_eq!(second["messages"].as_array().unwrap().len(), 4);
    let outcome = link.outcome("round").await;
    assert!(outcome.end["full_response"].as_str().unwrap().contains("It is seven."), "{}", outcome.end);
}

#[tokio::test]
async fn c17_a_new_round_takes_the_place_of_one_that_still_runs() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    link.send(&job("round", "fake: --tokens 100000 --token-us 5000 --text 'old '")).await;
    link.about("round").await;
    link.send(&job("round", "fake: --text 'new words'")).await;
    let outcome = link.outcome("round").await;
    assert_eq!(outcome.end["full_response"], "new words");
    assert_eq!(stage.reports.next("released", DEADLINE).await.detail["how"], "gone", "the old one's slot");
    let endings = link.history().iter().filter(|frame| frame["job_id"] == "round" && frame["type"] != "token");
    assert_eq!(endings.count(), 1);
}

#[tokio::test]
async fn c24_a_router_that_restarts_in_the_middle_of_a_job_gets_the_rest() {
    let (mut stage, mut first) = Stage::serving("", &[]).await;
    let frame = job("survivor", SLOW);
    first.send(&frame).await;
    some_text(&mut first, "survivor").await;
    let begun = text_on(&first, "survivor");
    let closed_port = stage.router.stop().await;
    drop(first);
    stage.worker.line("cannot reach the router").await;
    let mut router = closed_port.listen();
    let mut second = router.greeted(&crate::hosted()).await;
    second.send(&frame).await;
    let rest = second.outcome("survivor").await;
    let whole = rest.end["full_response"].as_str().unwrap();
    assert_eq!(whole.split_whitespace().count(), 60);
    assert!(whole.starts_with(&begun) && whole.ends_with(rest.completed()));
    assert!(begun.len() + rest.text.len() <= whole.len(), "no text twice");
}
