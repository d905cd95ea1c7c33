//! A router that reads slowly, late or not at all: messages arrive once, complete and in order (items 16, 18, 23).

use auxot_tests::scripted_router::{ClosedPort, Link, job, saying};
use serde_json::Value;

use crate::{DEADLINE, Stage};

const TWO_LINKS: (&str, &str) = ("AUXOT_ROUTER_CONNECTIONS", "2");

/// A job whose answer is larger than all buffers between a worker and a router that does not read: 10 MB in long words.
fn flood() -> Value {
    let words: Vec<String> = ('a'..='z').map(|letter| letter.to_string().repeat(500)).collect();
    job("flood", &format!("fake: --tokens 20000 --batch 64 --text '{}'", words.join(" ")))
}

/// All text of a job that a link has read, also unexpected text.
fn text_on(link: &Link, job_id: &str) -> String {
    let tokens = link.history().iter().filter(|frame| frame["job_id"] == job_id && frame["type"] == "token");
    tokens.filter_map(|frame| frame["token"].as_str()).collect()
}

/// Heartbeats of a link so far.
fn heartbeats(link: &Link) -> usize {
    link.history().iter().filter(|frame| frame["type"] == "heartbeat").count()
}

/// A link that has been sent [`flood`] and reads none of it, until the worker can write no more: later messages of
/// the worker add no byte to the unread ones here.
async fn flooded(stage: &mut Stage, link: &mut Link, other: &mut Link) {
    link.send(&flood()).await;
    stage.reports.next("slot", DEADLINE).await;
    let (mut unread, mut still) = (0, 0);
    for round in 0.. {
        other.says(&format!("meanwhile-{round}"), "quick as ever").await;
        let now = link.unread();
        still = if now == unread && now > 0 { still + 1 } else { 0 };
        unread = now;
        if still == 5 {
            return;
        }
    }
}

#[tokio::test]
async fn c23_many_jobs_on_one_slow_connection_all_complete() {
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_MAX_PARALLEL", "80"), TWO_LINKS]).await;
    let mut other = stage.greeted().await;
    flooded(&mut stage, &mut link, &mut other).await;
    // More jobs than the queue of a connection holds messages, each of them waiting for room.
    for at in 0..75 {
        link.send(&saying(&format!("small-{at}"), "a few words of text")).await;
    }
    for _ in 0..75 {
        stage.reports.next("slot", DEADLINE).await;
    }
    link.outcome("flood").await.completed();
    for at in 0..75 {
        assert_eq!(link.outcome(&format!("small-{at}")).await.completed(), "a few words of text");
    }
}

#[tokio::test]
async fn c16_text_and_end_that_were_only_queued_are_both_sent_again() {
    let (mut stage, mut first) = Stage::serving("", &[TWO_LINKS]).await;
    let mut other = stage.greeted().await;
    flooded(&mut stage, &mut first, &mut other).await;
    let frame = saying("behind", "all of these words");
    first.send(&frame).await;
    // Its engine has finished; text and end wait behind the flood.
    while stage.reports.next("released", DEADLINE).await.detail["tokens"] != 4 {}
    first.reset();
    let mut second = stage.greeted().await;
    second.send(&frame).await;
    assert_eq!(second.outcome("behind").await.completed(), "all of these words");
}

#[tokio::test]
async fn c18_a_job_that_leaves_a_slow_connection_is_complete_and_without_duplicates() {
    let (mut stage, mut slow) = Stage::serving("", &[TWO_LINKS]).await;
    let mut other = stage.greeted().await;
    flooded(&mut stage, &mut slow, &mut other).await;
    other.send(&flood()).await;
    // The last frame in the slow connection's socket decides where the other one continues.
    stage.worker.line("another connection asks for a job").await;
    // The slow connection receives only what was already sent; the rest arrives on the other one.
    let (rest, barrier) = tokio::join!(other.outcome("flood"), async {
        slow.says("barrier", "nothing more of it").await;
        text_on(&slow, "flood")
    });
    let whole = rest.end["full_response"].as_str().unwrap();
    assert!(!barrier.is_empty() && !rest.text.is_empty());
    assert_eq!(barrier.len() + rest.text.len(), whole.len(), "not a byte twice, not a byte less");
    assert!(whole.starts_with(&barrier) && whole.ends_with(rest.completed()));
}

#[tokio::test]
async fn c22_a_connection_full_of_text_still_carries_heartbeats() {
    let settings = [TWO_LINKS, ("AUXOT_HEARTBEAT_INTERVAL", "100ms")];
    let (mut stage, mut slow) = Stage::serving("", &settings).await;
    let mut other = stage.greeted().await;
    flooded(&mut stage, &mut slow, &mut other).await;
    for _ in 0..6 {
        other.next("heartbeat").await;
    }
    let before = heartbeats(&slow);
    // Heartbeats overtake the waiting text and are not dropped when the queue is full.
    for _ in 0..4 {
        slow.next("heartbeat").await;
    }
    assert_eq!(heartbeats(&slow) - before, 4);
    assert!(!slow.history().iter().any(|frame| frame["type"] == "complete"), "the flood is still on its way");
    let end: Value = slow.outcome("flood").await.end;
    assert_eq!(end["type"], "complete");
}

/// The router's receive buffer is small, so that each round's reading makes room for the worker's kernel, whatever the
/// machine's own buffers are. What a read frees there must reach the worker's own writes: a full send buffer of megabytes
/// would hide it from them for many rounds.
#[tokio::test]
async fn c23_a_router_that_reads_slowly_is_not_mistaken_for_a_dead_one() {
    let settings = [TWO_LINKS, ("AUXOT_ROUTER__WRITE_TIMEOUT", "2s"), ("AUXOT_HEARTBEAT_INTERVAL", "100ms")];
    let mut stage = Stage::open_at(ClosedPort::narrow().listen(), "", &settings).await;
    let mut slow = stage.greeted().await;
    let mut clock = stage.greeted().await;
    flooded(&mut stage, &mut slow, &mut clock).await;
    // A little every 200 ms, for three times as long as a write may take without progress.
    for _ in 0..30 {
        for _ in 0..10 {
            slow.about("flood").await;
        }
        clock.next("heartbeat").await;
        clock.next("heartbeat").await;
    }
    slow.outcome("flood").await;
    assert_eq!(stage.router.connections(), 2, "the same connections as ever");
}
