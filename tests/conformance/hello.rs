//! `hello`, the answers to it, and the messages before `config_ack` (items 2 to 5 and 20).

use auxot_tests::scripted_router::{HOSTED_ID, ack, policy, saying};
use auxot_tests::{Scratch, ScriptedRouter, Worker};
use serde_json::{Value, json};

use crate::{MODEL, MODEL_FILE, Stage, hosted, keys, worker};

/// After a refusal that may be temporary the worker connects again after this time.
const SOON: (&str, &str) = ("AUXOT_RECONNECT_DELAY", "10ms");
const INVALID_KEY: &str =
    r#"{"type":"error","error":"invalid GPU key","details":"Authentication failed. Check your admin key."}"#;

/// No empty optional field: no `null`, no empty text, no empty list, at any depth.
fn assert_says_something(value: &Value, at: &str) {
    match value {
        Value::Null => panic!("{at} is null"),
        Value::String(text) => assert!(!text.is_empty(), "{at} is empty"),
        Value::Array(items) => {
            assert!(!items.is_empty(), "{at} is empty");
            items.iter().for_each(|item| assert_says_something(item, at));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| assert_says_something(value, &format!("{at}.{key}")));
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn c02_hello_is_golden_without_empty_fields() {
    let mut stage = Stage::open("", &[]).await;
    let mut link = stage.router.link().await;
    assert_eq!(link.path(), "/ws");
    for absent in ["authorization", "sec-websocket-protocol", "sec-websocket-extensions"] {
        assert_eq!(link.header(absent), None, "the key travels in the first message only, and nothing is negotiated");
    }
    assert_eq!(link.header("user-agent"), Some(concat!("auxot-worker/", env!("CARGO_PKG_VERSION"))));
    let hello = link.hello().await;
    assert_eq!(keys(&hello), ["capabilities", "gpu_key", "type"]);
    assert_eq!(hello["gpu_key"], Worker::KEY);
    let said = &hello["capabilities"];
    let mut known = keys(said);
    // Whether there is a device with memory of its own depends on the machine.
    known.retain(|key| *key != "vram_gb");
    assert_eq!(known, ["backend", "ctx_size", "devices", "extensions", "model", "models", "total_slots"]);
    assert_eq!((&said["backend"], &said["model"]), (&json!("llama.cpp"), &json!("tiny-chat")));
    assert_eq!((&said["ctx_size"], &said["total_slots"]), (&json!(2048), &json!(2)));
    assert_eq!((&said["models"][0]["name"], &said["models"][0]["state"]), (&json!(MODEL), &json!("ready")));
    assert_says_something(&hello, "hello");

    link.send(&hosted()).await;
    let config = link.next("config").await;
    assert_eq!(keys(&config), ["capabilities", "type"]);
    assert_eq!(config["capabilities"]["model_capabilities"], json!(["chat"]), "only config carries these");
    assert_eq!(config["capabilities"]["total_slots"], 2);
    assert_says_something(&config, "config");
}

#[tokio::test]
async fn c02_a_connection_for_the_policy_reports_pending_and_nothing_else() {
    let scratch = Scratch::new();
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", "")]).await;
    let hello = router.link().await.hello().await;
    let pending = json!({"backend": "pending", "model": "pending", "ctx_size": 0});
    assert_eq!(hello, json!({"type": "hello", "gpu_key": Worker::KEY, "capabilities": pending}));
}

#[tokio::test]
async fn c03_a_hello_ack_with_nulls_zeros_and_unknown_fields_is_accepted() {
    let policies = [
        json!({"model_name": "tiny-chat", "quantization": "Q4_K_M", "context_size": 0, "max_parallelism": 0,
            "capabilities": null, "parameters": null, "family": "Dense", "from_the_future": {"deep": [1]}}),
        json!({"model_name": null, "quantization": null, "context_size": null, "max_parallelism": null}),
        Value::Null,
    ];
    for policy in policies {
        let mut stage = Stage::open("", &[]).await;
        let mut greeting = ack(HOSTED_ID, &policy);
        greeting["tools_policy"] = json!({"x": 1});
        greeting["error"] = Value::Null;
        let mut link = stage.router.greeted(&greeting).await;
        link.next("config").await;
        link.says("after-greeting", "taken all the same").await;
    }
}

/// Refused twice at the first contact: exit 77, and one line of level error with the router's message.
async fn assert_gives_up(answer: &str, words: &str, close: bool) {
    let mut stage = Stage::open("", &[SOON]).await;
    let mut links = Vec::new();
    for _ in 0..2 {
        let mut link = stage.router.link().await;
        link.hello().await;
        link.send_text(answer).await;
        if !close {
            links.push(link);
        }
    }
    assert_eq!(stage.worker.exit_code().await, Some(77));
    let errors = stage.worker.lines_with("ERROR");
    assert_eq!(errors.len(), 1, "reported once: {errors:?}");
    assert!(errors[0].contains(words) && errors[0].contains("AUXOT_GPU_KEY"), "{errors:?}");
    assert_eq!(stage.router.connections(), 2, "trying again would change nothing");
}

#[tokio::test]
async fn c04_variant_a_ends_the_worker_with_77_and_one_error() {
    assert_gives_up(INVALID_KEY, "invalid GPU key", true).await;
}

#[tokio::test]
async fn c04_variant_b_ends_the_worker_with_77_and_one_error() {
    assert_gives_up(r#"{"type":"hello_ack","success":false,"error":"key revoked"}"#, "key revoked", false).await;
}

#[tokio::test]
async fn c04_variant_a_also_ends_a_worker_that_waits_for_its_policy() {
    let scratch = Scratch::new();
    let mut router = ScriptedRouter::start();
    let mut worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", ""), SOON]).await;
    for _ in 0..2 {
        let mut link = router.link().await;
        link.hello().await;
        link.send_text(INVALID_KEY).await;
    }
    assert_eq!(worker.exit_code().await, Some(77));
    assert_eq!(worker.lines_with("ERROR").len(), 1);
}

#[tokio::test]
async fn c04_variant_b_with_seconds_waits_so_long_and_tries_again() {
    let mut stage = Stage::open("", &[]).await;
    let mut link = stage.router.link().await;
    link.hello().await;
    let reported = std::time::Instant::now();
    link.send(&json!({"type": "hello_ack", "success": false, "error": "full", "reconnectInSeconds": 1})).await;
    let mut again = stage.greeted().await;
    let waited = reported.elapsed();
    assert!(waited.as_millis() >= 1000, "came back after {waited:?}");
    again.says("later", "come back later").await;
}

#[tokio::test]
async fn c04_variant_c_and_any_other_fault_is_transient() {
    let mut stage = Stage::open("", &[]).await;
    // Closed without a message, before and after hello.
    drop(stage.router.link().await);
    let mut link = stage.router.link().await;
    link.hello().await;
    link.reset();
    let mut link = stage.router.link().await;
    link.hello().await;
    link.send_text(r#"{"type":"error","error":"redis is down"}"#).await;
    let mut link = stage.greeted().await;
    link.says("at-last", "still here").await;
    assert_eq!(stage.router.connections(), 4);
}

#[tokio::test]
async fn c04_a_temporary_refusal_does_not_end_the_worker() {
    let mut stage = Stage::open("", &[SOON]).await;
    let mut link = stage.router.link().await;
    link.hello().await;
    link.send_text(INVALID_KEY).await;
    let mut link = stage.greeted().await;
    link.says("greeted", "the second time").await;
    for _ in 0..3 {
        drop(link);
        link = stage.router.link().await;
        link.hello().await;
        link.send_text(r#"{"type":"error","error":"authentication failed: the key file cannot be read"}"#).await;
    }
    let mut link = stage.greeted().await;
    link.says("again", "only its own words are a refusal").await;
    assert_eq!(stage.worker.lines_with("ERROR"), Vec::<String>::new());
}

/// Refuses the key until the worker accepts the refusal.
async fn refuse_twice(stage: &mut Stage) {
    for _ in 0..2 {
        let mut link = stage.router.link().await;
        link.hello().await;
        link.send_text(INVALID_KEY).await;
    }
    stage.worker.metric_until("auxot_worker_router_key_refused", &[], |value| value == 1.0).await;
}

#[tokio::test]
async fn c04_a_key_that_was_good_once_does_not_end_the_worker_when_it_is_refused() {
    let (mut stage, link) = Stage::serving("", &[SOON]).await;
    drop(link);
    refuse_twice(&mut stage).await;
    stage.worker.line("invalid GPU key").await;
    let health = stage.worker.health().await;
    assert_eq!((health.status, health.body.trim()), (503, "the router refuses the worker key"));
    // It still runs: it exits cleanly after a signal.
    stage.worker.program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c04_a_refused_worker_retries_if_the_setting_says_so() {
    let mut stage = Stage::open("", &[SOON, ("AUXOT_ROUTER__KEY_REFUSED", "retry")]).await;
    refuse_twice(&mut stage).await;
    stage.worker.program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(stage.worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn c04_a_key_file_is_read_again_for_each_connection() {
    let scratch = Scratch::new();
    let key = scratch.join("worker.key");
    let write = |text: &str| {
        std::fs::write(&key, text).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("old-key");
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let settings = [("AUXOT_GPU_KEY", ""), ("AUXOT_GPU_KEY_FILE", key.to_str().unwrap()), SOON];
    let _worker = worker(&scratch, &router.url(), &settings).await;
    let mut link = router.link().await;
    assert_eq!(link.hello().await["gpu_key"], "old-key");
    link.send_text(INVALID_KEY).await;
    drop(link);
    write("new-key");
    let mut link = router.link().await;
    assert_eq!(link.hello().await["gpu_key"], "new-key");
}

#[tokio::test]
async fn c05_a_job_before_config_ack_is_served() {
    let mut stage = Stage::open("", &[]).await;
    let mut link = stage.router.link().await;
    link.hello().await;
    link.send(&hosted()).await;
    link.send(&saying("early", "early bird")).await;
    assert_eq!(link.outcome("early").await.completed(), "early bird");
    link.next("config").await;
    link.send(&json!({"type": "config_ack", "success": true})).await;
    link.says("late", "still served").await;
}

#[tokio::test]
async fn c20_a_new_policy_is_answered_though_nothing_changes_and_the_same_one_is_not() {
    let (_stage, mut link) = Stage::serving("", &[("AUXOT_HEARTBEAT_INTERVAL", "200ms")]).await;
    let mut desired = policy("tiny-chat", "Q4_K_M", 2048, 2);
    desired["family"] = json!("Dense");
    let update = json!({"type": "policy_update", "policy": desired});
    link.send(&update).await;
    link.next("config").await;
    link.send(&update).await;
    for _ in 0..3 {
        link.next("heartbeat").await;
    }
    let reported = link.history().iter().filter(|frame| frame["type"] == "config").count();
    assert_eq!(reported, 2, "once after the greeting and once for the policy");
}

#[tokio::test]
async fn c20_refused_capabilities_are_logged_and_sent_again_with_the_next_policy() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    link.send(&json!({"type": "config_ack", "success": false, "error": "policy needs vision"})).await;
    link.says("refused", "the connection stays").await;
    stage.worker.metric_until("auxot_worker_router_config_refused_total", &[], |count| count == 1.0).await;
    assert_eq!(stage.worker.lines_with("policy needs vision").len(), 1);
    let mut changed = policy("tiny-chat", "Q4_K_M", 2048, 2);
    changed["capabilities"] = json!(["chat", "code"]);
    link.send(&json!({"type": "policy_update", "policy": changed})).await;
    link.next("config").await;
}
