//! The number of connections: one, or one for each slot when the router gives a connection one job at a time (item 27).

use auxot_tests::scripted_router::{ClosedPort, HOSTED_ID, Link, OPEN_SOURCE_ID, Upstream, ack, job, policy, upstream};
use auxot_tests::{Reports, Scratch, ScriptedRouter};
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL_FILE, Stage, reporting, worker};

const SLOTS: (&str, &str) = ("AUXOT_MAX_PARALLEL", "3");

fn open_source() -> Value {
    ack(OPEN_SOURCE_ID, &policy("tiny-chat", "Q4_K_M", 2048, 3))
}

fn jobs(count: usize) -> Vec<Value> {
    (0..count).map(|at| job(&format!("chatcmpl-{at:024}"), "fake: --tokens 10 --token-us 20000")).collect()
}

/// The most slots of the engine that were busy at once, over `count` requests.
async fn most_busy(reports: &mut Reports, count: usize) -> usize {
    for _ in 0..count {
        reports.next("released", DEADLINE).await;
    }
    let (mut busy, mut most) = (0_usize, 0);
    for event in reports.past() {
        match event.name.as_str() {
            "slot" => busy += 1,
            "released" => busy -= 1,
            _ => {}
        }
        most = most.max(busy);
    }
    most
}

#[tokio::test]
async fn c27_a_router_with_one_job_per_connection_gets_a_connection_for_each_slot() {
    let router = ScriptedRouter::start();
    router.looks_open_source();
    let mut stage = Stage::open_at(router, "", &[SLOTS]).await;
    let (mut router, served) = upstream(&mut stage.router, &open_source(), jobs(12)).await;
    served.outcomes.iter().for_each(|outcome| _ = outcome.completed());
    assert_eq!((served.most_at_once, stage.router.connections()), (3, 3));
    assert_eq!(most_busy(&mut stage.reports, 12).await, 3, "the engine worked on three at once");
    for link in router.links() {
        let last = link.history().iter().rfind(|frame| frame["type"] == "config").unwrap();
        assert_eq!(last["capabilities"]["total_slots"], 1, "each connection speaks for one slot");
    }
}

#[tokio::test]
async fn c27_the_kind_of_a_router_that_was_unreachable_at_the_start_is_detected_too() {
    let scratch = Scratch::new();
    let reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let closed_port = ClosedPort::anywhere();
    let mut worker = worker(&scratch, &closed_port.url(), &[SLOTS]).await;
    worker.line("cannot reach the router").await;
    let mut router = closed_port.listen();
    router.looks_open_source();
    let (_, served) = upstream(&mut router, &open_source(), jobs(6)).await;
    assert_eq!((served.most_at_once, router.connections()), (3, 3));
}

/// The next `config` of a link that announces this many slots.
async fn announces(link: &mut Link, slots: u32) {
    let wanted = format!("a config with {slots} slots");
    link.take(&wanted, |frame| frame["type"] == "config" && frame["capabilities"]["total_slots"] == slots).await;
}

#[tokio::test]
async fn c27_another_kind_of_router_at_the_same_address_is_detected_when_the_worker_reconnects() {
    let router = ScriptedRouter::start();
    router.looks_open_source();
    // Longer than the test: all three connections reconnect.
    let mut stage = Stage::open_at(router, "", &[SLOTS, ("AUXOT_ROUTER__SURPLUS_CONNECTION_TIME", "20m")]).await;
    let (upstream, _) = upstream(&mut stage.router, &open_source(), jobs(6)).await;
    assert_eq!(stage.router.connections(), 3);
    drop(upstream);

    let mut hosted = stage.router.stop().await.listen();
    let ack_hosted = ack(HOSTED_ID, &policy("tiny-chat", "Q4_K_M", 2048, 3));
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(hosted.greeted(&ack_hosted).await);
    }
    for link in &mut links {
        announces(link, 3).await;
    }
    drop(links);

    let mut open_source_again = hosted.stop().await.listen();
    open_source_again.looks_open_source();
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(open_source_again.greeted(&open_source()).await);
    }
    for link in &mut links {
        announces(link, 1).await;
    }
}

#[tokio::test]
async fn c27_a_kind_that_is_detected_late_is_announced_on_a_connection_that_serves() {
    let mut stage = Stage::open("", &[SLOTS, ("AUXOT_ROUTER_CONNECTIONS", "2")]).await;
    let (mut kept, mut other) =
        (stage.router.greeted(&open_source()).await, stage.router.greeted(&open_source()).await);
    // Without the health report the kind of the router is unknown, and the two share the slots: two and one.
    if kept.next("config").await["capabilities"]["total_slots"] == 1 {
        std::mem::swap(&mut kept, &mut other);
        announces(&mut kept, 2).await;
    }
    stage.router.looks_open_source();
    other.reset();
    let _again = stage.router.greeted(&open_source()).await;
    announces(&mut kept, 1).await;
}

/// All slots of the engine are used over a single connection.
async fn assert_one_connection(router: ScriptedRouter, id: &str) {
    let mut stage = Stage::open_at(router, "", &[SLOTS, ("AUXOT_HEARTBEAT_INTERVAL", "200ms")]).await;
    let mut link = stage.router.greeted(&ack(id, &policy("tiny-chat", "Q4_K_M", 2048, 3))).await;
    assert_eq!(link.next("config").await["capabilities"]["total_slots"], 3);
    for job in jobs(3) {
        link.send(&job).await;
    }
    assert_eq!(most_busy(&mut stage.reports, 3).await, 3);
    for _ in 0..5 {
        link.next("heartbeat").await;
    }
    assert_eq!(stage.router.connections(), 1);
}

#[tokio::test]
async fn c27_any_other_router_gets_exactly_one_connection() {
    assert_one_connection(ScriptedRouter::start(), HOSTED_ID).await;
}

#[tokio::test]
async fn c27_one_sign_of_the_open_source_router_alone_is_not_enough() {
    assert_one_connection(ScriptedRouter::start(), OPEN_SOURCE_ID).await;
    let healthy = ScriptedRouter::start();
    healthy.looks_open_source();
    assert_one_connection(healthy, HOSTED_ID).await;
}

#[tokio::test]
async fn c27_a_health_report_that_does_not_arrive_delays_nothing() {
    let router = ScriptedRouter::start();
    router.hangs_on_health();
    let mut stage = Stage::open_at(router, "", &[SLOTS]).await;
    let since = std::time::Instant::now();
    let mut link = stage.router.greeted(&open_source()).await;
    link.says("first", "served at once").await;
    assert!(since.elapsed() < std::time::Duration::from_secs(4), "{:?}", since.elapsed());
}

#[tokio::test]
async fn c27_a_fixed_number_of_connections_share_the_slots() {
    let mut stage = Stage::open("", &[SLOTS, ("AUXOT_ROUTER_CONNECTIONS", "2")]).await;
    let mut shares = Vec::new();
    let mut links = Vec::new();
    for _ in 0..2 {
        let mut link = stage.router.greeted(&ack(HOSTED_ID, &policy("tiny-chat", "Q4_K_M", 2048, 3))).await;
        shares.push(link.next("config").await["capabilities"]["total_slots"].clone());
        links.push(link);
    }
    shares.sort_by_key(Value::as_u64);
    assert_eq!(shares, [json!(1), json!(2)]);
    assert_eq!(stage.router.connections(), 2);
}

#[tokio::test]
async fn c27_a_lost_connection_comes_back_and_the_others_stay() {
    let router = ScriptedRouter::start();
    router.looks_open_source();
    let mut stage = Stage::open_at(router, "", &[SLOTS]).await;
    let (router, _) = upstream(&mut stage.router, &open_source(), jobs(6)).await;
    let mut links = router.into_links();
    links.pop().unwrap().reset();
    let mut again = stage.router.greeted(&open_source()).await;
    again.says("again", "back in its place").await;
    for (at, link) in links.iter_mut().enumerate() {
        link.says(&format!("other-{at}"), "never left").await;
    }
    assert_eq!(stage.router.connections(), 4);
}

#[tokio::test]
async fn c27_surplus_connections_stay_open_and_no_job_is_lost() {
    let router = ScriptedRouter::start();
    router.looks_open_source();
    // Longer than the test: each connection that closes costs a job of the open-source router half a minute.
    let settings = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_ROUTER__SURPLUS_CONNECTION_TIME", "20m")];
    let mut stage = Stage::open_at(router, "", &settings).await;
    let (mut router, served) = upstream(&mut stage.router, &open_source(), jobs(6)).await;
    assert_eq!(served.swallowed, 0);
    // One more may have opened before the policy's number of slots was known.
    assert!(stage.router.connections() >= 3);
    let fewer = json!({"type": "policy_update", "policy": policy("tiny-chat", "Q4_K_M", 2048, 1)});
    router.links().next().unwrap().send(&fewer).await;
    stage.worker.line("slots=1").await;
    let again = (0..6).map(|at| job(&format!("after-{at}"), "still open"));
    let served = router.serve(&mut stage.router, again).await;
    served.outcomes.iter().for_each(|outcome| _ = outcome.completed());
    assert_eq!(served.swallowed, 0);
}

/// Several jobs wait when the worker connects for the first time: the connection that waits for the policy gets the first
/// of them, and must stay open.
#[tokio::test]
async fn c27_no_job_is_lost_at_a_first_start() {
    let router = ScriptedRouter::start();
    router.looks_open_source();
    let settings = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", ""), ("AUXOT_ROUTER__WAIT_FOR_POLICY", "true")];
    let mut stage = Stage::open_at(router, "", &settings).await;
    let (mut router, served) = upstream(&mut stage.router, &open_source(), jobs(6)).await;
    served.outcomes.iter().for_each(|outcome| _ = outcome.completed());
    assert_eq!((served.swallowed, stage.router.connections()), (0, 3));
    let served = router.serve(&mut stage.router, jobs(12)).await;
    assert_eq!((served.swallowed, served.most_at_once), (0, 3));
}

/// The imitated router has the fault that the other tests avoid.
#[tokio::test]
async fn c27_the_reader_of_a_closed_connection_loses_a_job() {
    for (blocked, swallowed) in [(true, 1), (false, 0)] {
        let router = ScriptedRouter::start();
        router.looks_open_source();
        let mut stage = Stage::open_at(router, "", &[SLOTS]).await;
        let mut router = Upstream::new(open_source());
        if !blocked {
            router = router.without_blocked_readers();
        }
        router.serve(&mut stage.router, jobs(6)).await;
        router.lose_one();
        let after = (0..3).map(|at| job(&format!("after-{at}"), "hello"));
        assert_eq!(router.serve(&mut stage.router, after).await.swallowed, swallowed);
    }
}
