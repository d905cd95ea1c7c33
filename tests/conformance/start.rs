//! How a worker that knows its policy starts, and how one that does not (section 2.2).

use auxot_tests::scripted_router::{End, HOSTED_ID, ack, policy, saying};
use auxot_tests::{Reports, Scratch, ScriptedRouter};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL, MODEL_FILE, reporting, worker};

/// Nothing of the operator's: the router alone says what to run.
const NOTHING: [(&str, &str); 3] =
    [("AUXOT_GPU_AUTOLOAD_MODELS", ""), ("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];

fn wish() -> Value {
    ack(HOSTED_ID, &policy("Tiny.Chat", "q4_K_m", 1024, 3))
}

#[tokio::test]
async fn s22_a_first_start_asks_for_the_policy_then_loads_it_then_connects_for_good() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &NOTHING).await;

    let mut asking = router.link().await;
    assert_eq!(asking.hello().await["capabilities"]["backend"], "pending");
    asking.send(&wish()).await;
    // A router may dispatch at once. Whatever the worker makes of this job, it must not be an error.
    asking.send(&saying("slipped-in", "never said")).await;
    assert!(matches!(asking.ended().await, End::Cut(_) | End::Closed(_)), "it is closed as soon as it has answered");
    assert_eq!(asking.count_about("slipped-in"), 0, "it comes back by itself");

    let started = reports.next("start", DEADLINE).await;
    let arguments = started.detail["arguments"].to_string();
    assert!(arguments.contains(MODEL_FILE), "{arguments}");
    let mut link = router.link().await;
    let hello = link.hello().await;
    let said = &hello["capabilities"];
    assert_eq!((&said["backend"], &said["model"]), (&json!("llama.cpp"), &json!("tiny-chat")));
    assert_eq!((&said["ctx_size"], &said["total_slots"]), (&json!(1024), &json!(3)), "as the policy wants it");
    link.send(&wish()).await;
    link.send(&saying("slipped-in", "said now")).await;
    assert_eq!(link.outcome("slipped-in").await.completed(), "said now");
    assert_eq!(router.connections(), 2);
}

#[tokio::test]
async fn s22_a_second_start_makes_exactly_one_connection() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let mut first = worker(&scratch, &router.url(), &NOTHING).await;
    router.greeted(&wish()).await;
    let mut link = router.greeted(&wish()).await;
    link.says("first", "first life").await;
    first.program.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code().await, Some(0));

    let before = router.connections();
    let _second = worker(&scratch, &router.url(), &NOTHING).await;
    let mut link = router.link().await;
    let hello = link.hello().await;
    assert_eq!(hello["capabilities"]["backend"], "llama.cpp", "the real thing at once");
    assert_eq!((&hello["capabilities"]["ctx_size"], &hello["capabilities"]["total_slots"]), (&json!(1024), &json!(3)));
    link.send(&wish()).await;
    link.says("second", "second life").await;
    assert_eq!(router.connections() - before, 1);
}

#[tokio::test]
async fn s22_a_policy_that_has_changed_meanwhile_is_followed() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    scratch.fake_model("other-chat-q8_0.gguf", "--text 'the other one'");
    let mut router = ScriptedRouter::start();
    let mut first = worker(&scratch, &router.url(), &NOTHING).await;
    router.greeted(&wish()).await;
    let link = router.greeted(&wish()).await;
    first.program.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code().await, Some(0));
    drop(link);

    let _second = worker(&scratch, &router.url(), &NOTHING).await;
    let mut link = router.greeted(&ack(HOSTED_ID, &policy("other-chat", "Q8_0", 1024, 3))).await;
    link.take("the other model in config", |frame| {
        frame["type"] == "config" && frame["capabilities"]["model"] == "other-chat"
    })
    .await;
    link.send(&auxot_tests::scripted_router::job("new-model", "hello")).await;
    assert_eq!(link.outcome("new-model").await.completed(), "the other one");
}

#[tokio::test]
async fn s22_with_models_of_the_operator_there_is_no_asking_connection() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let mut link = router.greeted(&wish()).await;
    link.says("one", "at once").await;
    assert_eq!(router.connections(), 1);
}

#[tokio::test]
async fn s22_a_worker_loads_without_waiting_for_the_router() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let deaf = auxot_tests::scripted_router::Deaf::anywhere();
    let _worker = worker(&scratch, &deaf.url(), &[]).await;
    reports.next("ready", DEADLINE).await;
    let mut router = deaf.listen();
    router.greeted(&crate::hosted()).await.says("one", "found each other").await;
}

#[tokio::test]
async fn s23_a_policy_for_another_product_is_refused_clearly() {
    let (mut stage, mut link) = crate::Stage::serving("", &[]).await;
    let cli = json!({"worker_type": "cli", "cli_type": "claude", "model_name": "claude", "quantization": "",
        "context_size": 0, "max_parallelism": 1, "capabilities": ["chat"]});
    link.send(&json!({"type": "policy_update", "policy": cli})).await;
    stage.worker.line("not for a GPU worker").await;
    link.says("after", "the old policy stands").await;
    drop(link);
    let mut link = stage.router.greeted(&ack(HOSTED_ID, &cli)).await;
    link.says("again", "in a greeting too").await;
}

/// As a worker starts that is not told otherwise.
const ASKS: (&str, &str) = ("AUXOT_ROUTER__WAIT_FOR_POLICY", "true");

#[tokio::test]
async fn s24_a_first_start_with_a_list_asks_the_router_before_it_loads() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let settings = [ASKS, ("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];
    let _worker = worker(&scratch, &router.url(), &settings).await;
    let mut asking = router.link().await;
    assert_eq!(asking.hello().await["capabilities"]["backend"], "pending");
    assert!(reports.past().is_empty(), "nothing is loaded before the answer");
    asking.send(&wish()).await;
    let mut link = router.greeted(&wish()).await;
    let config = link.next("config").await;
    assert_eq!(
        (&config["capabilities"]["ctx_size"], &config["capabilities"]["total_slots"]),
        (&json!(1024), &json!(3))
    );
    link.says("one", "loaded once").await;
    reports.next("ready", DEADLINE).await;
    assert_eq!(reports.past().iter().filter(|event| event.name == "start").count(), 1, "in the desired size");
}

#[tokio::test]
async fn s24_a_wrong_key_is_told_before_anything_is_loaded() {
    let scratch = Scratch::new();
    let reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let mut worker = worker(&scratch, &router.url(), &[ASKS, ("AUXOT_RECONNECT_DELAY", "10ms")]).await;
    for _ in 0..2 {
        let mut link = router.link().await;
        link.hello().await;
        link.send(&json!({"type": "hello_ack", "success": false, "error": "key revoked"})).await;
    }
    assert_eq!(worker.exit_code().await, Some(77));
    assert!(reports.past().is_empty());
}

#[tokio::test]
async fn s24_a_router_that_is_away_holds_no_load_up() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let deaf = auxot_tests::scripted_router::Deaf::anywhere();
    let _worker = worker(&scratch, &deaf.url(), &[ASKS]).await;
    reports.next("ready", DEADLINE).await;
}
