//! `policy_update`, row by row of section 2.8 (item 19).

use auxot_tests::scripted_router::{Link, job, policy};
use auxot_tests::{Scratch, ScriptedRouter};
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL_FILE, Stage, hosted, worker};

async fn update(link: &mut Link, policy: &Value) {
    link.send(&json!({"type": "policy_update", "policy": policy})).await;
}

fn starts(stage: &Stage) -> usize {
    stage.reports.past().iter().filter(|event| event.name == "start").count()
}

#[tokio::test]
async fn c19_another_model_is_loaded_while_the_old_one_serves() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    scratch.fake_model("second-q8_0.gguf", "--load-ms 300 --text 'the new one'");
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &[]).await;
    let mut link = router.greeted(&hosted()).await;
    link.send(&job("running", "fake: --tokens 100 --token-us 10000")).await;
    link.about("running").await;
    update(&mut link, &policy("second", "Q8_0", 2048, 2)).await;
    link.says("meanwhile", "the old one serves").await;
    link.take("the new model", |frame| frame["type"] == "config" && frame["capabilities"]["model"] == "second").await;
    link.outcome("running").await.completed();
    link.send(&job("new", "hello")).await;
    assert_eq!(link.outcome("new").await.completed(), "the new one");
    assert_eq!(router.connections(), 1, "on the same connection");
}

#[tokio::test]
async fn c19_an_unavailable_model_leaves_the_old_one() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    update(&mut link, &policy("no-such", "Q8_0", 2048, 2)).await;
    stage.worker.line("cannot honour the router's policy").await;
    link.says("after", "the old one serves").await;
}

#[tokio::test]
async fn c19_null_and_the_same_again_change_nothing() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    update(&mut link, &Value::Null).await;
    for _ in 0..3 {
        update(&mut link, &policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    }
    link.says("after", "no change").await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(starts(&stage), 1);
    assert_eq!(stage.worker.lines_with("policy of the router").len(), 1);
}

#[tokio::test]
async fn c19_capabilities_of_a_policy_are_checked_or_else_repeated() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let mut desired = policy("tiny-chat", "Q4_K_M", 2048, 2);
    desired["capabilities"] = json!(["chat", "vision", "reasoning"]);
    update(&mut link, &desired).await;
    stage.worker.line("the policy names `vision`").await;
    let config = link.next("config").await;
    let reported = &config["capabilities"];
    assert_eq!(reported["model_capabilities"], json!(["chat", "reasoning"]), "what cannot be checked is echoed");
    assert!(reported["unmet"][0].as_str().unwrap().contains("`vision`"), "{reported}");
}

#[tokio::test]
async fn c19_other_sizes_are_followed_where_the_operator_has_set_none() {
    let settings = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    link.send(&job("running", "fake: --tokens 60 --token-us 10000")).await;
    link.about("running").await;
    update(&mut link, &policy("tiny-chat", "Q4_K_M", 1024, 3)).await;
    link.outcome("running").await.completed();
    let config = link.take("the new sizes", |frame| {
        frame["type"] == "config"
            && frame["capabilities"]["total_slots"] == 3
            && frame["capabilities"]["ctx_size"] == 1024
    });
    config.await;
    link.says("after", "resized").await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(starts(&stage), 2);
}

#[tokio::test]
async fn c19_a_job_that_outlasts_the_drain_does_not_hold_up_the_new_size() {
    let settings = [
        ("AUXOT_MAX_PARALLEL", ""),
        ("AUXOT_CTX_SIZE", ""),
        ("AUXOT_FLEET__DRAIN_TIMEOUT", "300ms"),
        // The engine waits for its clients to disconnect; a second signal would end it, later than this test waits.
        ("AUXOT_ENGINE__STOP_GRACE", "20m"),
    ];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    link.send(&job("endless", "fake: --stall-at 1")).await;
    link.about("endless").await;
    update(&mut link, &policy("tiny-chat", "Q4_K_M", 1024, 3)).await;
    let error = link.outcome("endless").await.failed().to_owned();
    assert_eq!(error, "the model was unloaded in the middle of the answer: send the request again");
    link.take("the new sizes", |frame| frame["type"] == "config" && frame["capabilities"]["total_slots"] == 3).await;
    link.says("after", "resized").await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(starts(&stage), 2);
}

#[tokio::test]
async fn c19_a_policy_for_another_kind_of_worker_is_refused_and_the_old_one_stays() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let mut desired = policy("no-such", "Q8_0", 4096, 1);
    desired["worker_type"] = json!("cli");
    update(&mut link, &desired).await;
    stage.worker.line("refused a policy that is not for a GPU worker").await;
    link.says("after", "the old one serves").await;
    assert!(stage.worker.lines_with("cannot honour the router's policy").is_empty());
}

#[tokio::test]
async fn c19_of_several_updates_at_once_the_newest_counts() {
    let settings = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];
    let (stage, mut link) = Stage::serving("", &settings).await;
    for slots in [3, 4, 5, 6] {
        update(&mut link, &policy("tiny-chat", "Q4_K_M", 1024, slots)).await;
    }
    link.take("the last size", |frame| frame["type"] == "config" && frame["capabilities"]["total_slots"] == 6).await;
    link.says("after", "resized").await;
    let served = link.history().iter().filter(|frame| frame["type"] == "config");
    let last = served.filter_map(|frame| frame["capabilities"]["total_slots"].as_u64()).next_back();
    assert_eq!(last, Some(6));
    assert_eq!(stage.router.connections(), 1);
}

#[tokio::test]
async fn c19_a_policy_beyond_all_bounds_is_reported_and_unloads_nothing() {
    let settings = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];
    let (mut stage, mut link) = Stage::serving("", &settings).await;
    let mut desired = policy("tiny-chat", "Q4_K_M", 2048, 2);
    desired["max_parallelism"] = json!(i64::MAX);
    link.says("before", "the size of the first policy").await;
    desired["capabilities"] = (0..20_000).map(|number| json!(format!("word-{number}"))).collect();
    update(&mut link, &desired).await;
    stage.worker.line("an engine has at most 256").await;
    link.says("after", "the engine lives").await;
    stage.reports.next("released", DEADLINE).await;
    // The operator's settings, and the first policy.
    assert!(starts(&stage) <= 2, "nothing is unloaded to try what no engine can do");
    assert!(stage.worker.lines_with("the policy names").len() <= 64);
}
