//! The start of a worker with a cached policy, and of one without (section 2.2).

use auxot_tests::scripted_router::{End, HOSTED_ID, ack, policy, saying};
use auxot_tests::{Reports, Scratch, ScriptedRouter};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL, MODEL_FILE, reporting, worker};

/// No settings of the operator: only the router's policy names a model.
const NOTHING: [(&str, &str); 3] =
    [("AUXOT_GPU_AUTOLOAD_MODELS", ""), ("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];

fn desired_policy() -> Value {
    ack(HOSTED_ID, &policy("Tiny.Chat", "q4_K_m", 1024, 3))
}

#[tokio::test]
async fn s22_a_first_start_waits_for_the_policy_then_loads_its_model_then_connects_again() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &NOTHING).await;

    let mut asking = router.link().await;
    assert_eq!(asking.hello().await["capabilities"]["backend"], "pending");
    asking.send(&desired_policy()).await;
    // A router may dispatch at once. The job must not end in an error.
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
    link.send(&desired_policy()).await;
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
    router.greeted(&desired_policy()).await;
    let mut link = router.greeted(&desired_policy()).await;
    link.says("first", "first life").await;
    first.program.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code().await, Some(0));

    let before = router.connections();
    let _second = worker(&scratch, &router.url(), &NOTHING).await;
    let mut link = router.link().await;
    let hello = link.hello().await;
    assert_eq!(hello["capabilities"]["backend"], "llama.cpp", "the real thing at once");
    assert_eq!((&hello["capabilities"]["ctx_size"], &hello["capabilities"]["total_slots"]), (&json!(1024), &json!(3)));
    link.send(&desired_policy()).await;
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
    router.greeted(&desired_policy()).await;
    let link = router.greeted(&desired_policy()).await;
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
async fn s22_with_models_of_the_operator_no_connection_waits_for_the_policy() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let mut link = router.greeted(&desired_policy()).await;
    link.says("one", "at once").await;
    assert_eq!(router.connections(), 1);
}

#[tokio::test]
async fn s22_a_worker_loads_without_waiting_for_the_router() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let closed_port = auxot_tests::scripted_router::ClosedPort::anywhere();
    let _worker = worker(&scratch, &closed_port.url(), &[]).await;
    reports.next("ready", DEADLINE).await;
    let mut router = closed_port.listen();
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

/// The default of the setting.
const WAITS_FOR_POLICY: (&str, &str) = ("AUXOT_ROUTER__WAIT_FOR_POLICY", "true");

#[tokio::test]
async fn s24_a_first_start_with_a_list_waits_for_the_policy_before_it_loads() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let settings = [WAITS_FOR_POLICY, ("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];
    let _worker = worker(&scratch, &router.url(), &settings).await;
    let mut asking = router.link().await;
    assert_eq!(asking.hello().await["capabilities"]["backend"], "pending");
    assert!(reports.past().is_empty(), "nothing is loaded before the answer");
    asking.send(&desired_policy()).await;
    let mut link = router.greeted(&desired_policy()).await;
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
async fn s24_a_wrong_key_is_reported_before_a_model_is_loaded() {
    let scratch = Scratch::new();
    let reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let mut worker = worker(&scratch, &router.url(), &[WAITS_FOR_POLICY, ("AUXOT_RECONNECT_DELAY", "10ms")]).await;
    for _ in 0..2 {
        let mut link = router.link().await;
        link.hello().await;
        link.send(&json!({"type": "hello_ack", "success": false, "error": "key revoked"})).await;
    }
    assert_eq!(worker.exit_code().await, Some(77));
    assert!(reports.past().is_empty());
}

#[tokio::test]
async fn s24_an_unreachable_router_delays_no_load() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let closed_port = auxot_tests::scripted_router::ClosedPort::anywhere();
    let _worker = worker(&scratch, &closed_port.url(), &[WAITS_FOR_POLICY]).await;
    reports.next("ready", DEADLINE).await;
}
