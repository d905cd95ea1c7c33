//! The operator's list of models: unavailable ones are reported, the others are served.

use auxot_tests::gguf::ModelFile;
use auxot_tests::scripted_router::{HOSTED_ID, ack, job, job_for, policy};
use auxot_tests::{Reports, Scratch, ScriptedRouter, set_switches};
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL, MODEL_FILE, Stage, hosted, reporting, worker};

fn sentences(config: &Value) -> Vec<&str> {
    config["capabilities"]["unmet"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

#[tokio::test]
async fn m1_unknown_and_ambiguous_names_are_reported_and_the_rest_is_served() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    scratch.fake_model("twin-q4_0.gguf", "");
    scratch.fake_model("twin-q8_0.gguf", "");
    let mut router = ScriptedRouter::start();
    let list = format!("no-such-model-q8_0,twin,{MODEL}");
    let worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", &list)]).await;
    let mut link = router.greeted(&hosted()).await;
    let config = link.next("config").await;
    let reported = sentences(&config);
    let unknown = reported.iter().find(|reported| reported.contains("no-such-model-q8_0")).unwrap();
    assert!(unknown.contains(MODEL) && unknown.contains("twin-q4_0"), "it lists what there is: {unknown}");
    let ambiguous = reported.iter().find(|reported| reported.contains("for twin:")).unwrap();
    assert!(ambiguous.contains("twin-q4_0") && ambiguous.contains("twin-q8_0"), "it lists the candidates: {ambiguous}");
    assert_eq!(worker.lines_with("ERROR").len(), 2, "in the log too");
    link.says("one", "the third one serves").await;
}

#[tokio::test]
async fn m2_names_are_read_in_any_case_and_punctuation_and_each_model_is_addressed_by_its_own() {
    let scratch = Scratch::new();
    scratch.fake_model("Llama-3.3-70B-Instruct-Q4_K_M.gguf", "--text 'the first'");
    scratch.fake_model("qwen-2.5-coder-q6_k.gguf", "--text 'the second'");
    let mut router = ScriptedRouter::start();
    let list = "llama_3.3-70b-instruct-q4-k-m,QWEN-2.5-CODER-Q6_K";
    let _worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", list)]).await;
    let mut link = router.greeted(&ack(HOSTED_ID, &Value::Null)).await;
    link.take("both models ready", |frame| {
        let models = frame["capabilities"]["models"].as_array().map(Vec::as_slice).unwrap_or_default();
        frame["type"] == "config" && models.len() == 2 && models.iter().all(|model| model["state"] == "ready")
    })
    .await;
    for (id, model, text) in
        [("a", "llama-3.3-70b-instruct-q4_k_m", "the first"), ("b", "qwen-2.5-coder-q6_k", "the second")]
    {
        let mut frame = job(id, "hello");
        frame["model"] = json!(model);
        link.send(&frame).await;
        assert_eq!(link.outcome(id).await.completed(), text);
    }
    link.send(&job("unnamed", "hello")).await;
    assert_eq!(link.outcome("unnamed").await.completed(), "the first", "the first of the list");
    let mut unknown = job("unknown", "hello");
    unknown["model"] = json!("gpt-x");
    link.send(&unknown).await;
    let outcome = link.outcome("unknown").await;
    assert!(outcome.failed().contains("gpt-x") && outcome.failed().contains("qwen-2.5-coder-q6_k"), "{}", outcome.end);
}

#[tokio::test]
async fn m3_serving_begins_with_the_first_that_is_ready_and_the_primary_one_stays_the_first_of_the_list() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "--hang-load");
    scratch.fake_model("quick-q4_0.gguf", "--text 'here already'");
    let mut router = ScriptedRouter::start();
    let list = format!("{MODEL},quick-q4_0");
    let _worker = worker(&scratch, &router.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", &list)]).await;
    let mut link = router.link().await;
    let hello = link.hello().await;
    assert_eq!(hello["capabilities"]["model"], "tiny-chat", "the primary one, though a later one is ready first");
    link.send(&ack(HOSTED_ID, &Value::Null)).await;
    let mut named = job("one", "hello");
    named["model"] = json!("quick");
    link.send(&named).await;
    assert_eq!(link.outcome("one").await.completed(), "here already");
}

#[tokio::test]
async fn m4_a_policy_for_a_missing_model_is_reported_on_the_wire_and_in_the_log() {
    let mut stage = Stage::open("", &[]).await;
    let mut link = stage.router.greeted(&ack(HOSTED_ID, &policy("Qwen3-0.6B", "Q4_K_S", 4096, 2))).await;
    let reported = |frame: &Value| sentences(frame).iter().any(|reported| reported.contains("Qwen3-0.6B-Q4_K_S"));
    link.take("a config that says so", |frame| frame["type"] == "config" && reported(frame)).await;
    stage.worker.line("cannot honour the router's policy").await;
    link.says("one", "served by what is here").await;
    // A policy that can be met removes it from the list.
    link.send(&json!({"type": "policy_update", "policy": policy("tiny-chat", "Q4_K_M", 2048, 2)})).await;
    link.take("a config without it", |frame| frame["type"] == "config" && sentences(frame).is_empty()).await;
}

#[tokio::test]
async fn m5_sizes_that_the_operator_decides_against_the_policy_are_reported() {
    let mut stage = Stage::open("", &[]).await;
    let mut link = stage.router.greeted(&ack(HOSTED_ID, &policy("tiny-chat", "Q4_K_M", 4096, 8))).await;
    let config =
        link.take("a config with gaps", |frame| frame["type"] == "config" && !sentences(frame).is_empty()).await;
    let reported = sentences(&config).join("; ");
    assert!(reported.contains("8 slots") && reported.contains("4096 tokens"), "{reported}");
}

#[tokio::test]
async fn m6_another_model_serves_while_the_policy_s_is_missing_and_hello_names_it() {
    let scratch = Scratch::new();
    scratch.fake_model("other-q8_0.gguf", "--text 'the other one'");
    let mut router = ScriptedRouter::start();
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "")];
    let mut worker = worker(&scratch, &router.url(), &settings).await;
    // No existing model is named, so the worker waits for the router's policy.
    let _asked = router.greeted(&hosted()).await;
    let mut link = router.link().await;
    let hello = link.hello().await;
    assert_eq!(hello["capabilities"]["model"], "other", "the actual model, not the desired one");
    assert!(sentences(&hello)[0].contains("tiny-chat-Q4_K_M"), "{hello}");
    link.send(&hosted()).await;
    let reported = worker.line("other models of the folders are served").await;
    assert!(reported.contains("other-q8_0") && reported.contains("tiny-chat-Q4_K_M"), "{reported}");
    link.send(&job("one", "hello")).await;
    assert_eq!(link.outcome("one").await.completed(), "the other one");
    // A model that arrives later is the router's, and nothing is unmet any more.
    scratch.fake_model(MODEL_FILE, "--text 'the desired one'");
    let now = |frame: &Value| frame["capabilities"]["model"] == "tiny-chat" && sentences(frame).is_empty();
    link.take("a config with the policy's model", |frame| frame["type"] == "config" && now(frame)).await;
    link.send(&job("two", "hello")).await;
    assert_eq!(link.outcome("two").await.completed(), "the desired one");
    assert_eq!(router.connections(), 2);
}

#[tokio::test]
async fn m7_without_on_demand_the_worker_waits_for_the_policy_s_model() {
    let scratch = Scratch::new();
    scratch.fake_model("other-q8_0.gguf", "");
    let mut router = ScriptedRouter::start();
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", ""), ("AUXOT_FLEET__ON_DEMAND", "false")];
    let mut worker = worker(&scratch, &router.url(), &settings).await;
    let _asked = router.greeted(&hosted()).await;
    let reported = worker.line("nothing to serve").await;
    assert!(reported.contains("tiny-chat-Q4_K_M"), "{reported}");
    assert_eq!(router.connections(), 1, "a link would only attract jobs");
}

#[tokio::test]
async fn m8_an_alias_without_a_model_is_reported_once_at_the_start() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let mut router = ScriptedRouter::start();
    let settings = [("AUXOT_CATALOG__ALIASES", "gpt-4o=phi, chat=tiny-chat")];
    let mut worker = worker(&scratch, &router.url(), &settings).await;
    let reported = worker.line("an alias means no model").await;
    assert!(reported.contains("`gpt-4o`") && reported.contains("phi: there is tiny-chat"), "{reported}");
    let _link = router.greeted(&hosted()).await;
    assert_eq!(worker.lines_with("an alias means no model").len(), 1, "and the other one is good");
}

#[tokio::test]
async fn m9_a_text_that_no_context_can_hold_is_refused_before_anything_is_loaded_for_it() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    scratch.fake_model(MODEL_FILE, &reporting(&reports, ""));
    let file = ModelFile { tokenizer: Some("llama".to_owned()), ..ModelFile::named("unread-q8_0") };
    set_switches(&file.write(&scratch.models(), "unread-q8_0.gguf"), &reporting(&reports, ""));
    let mut router = ScriptedRouter::start();
    let _worker = worker(&scratch, &router.url(), &[]).await;
    let mut link = router.greeted(&hosted()).await;
    // Its longest token has five bytes. The engine may round its context of 2048 tokens up.
    let text = |tokens: usize| "12 4 ".repeat(tokens).trim().to_owned();
    link.send(&job_for("too-long", "unread-q8_0", &text(2048 + 256 + 2))).await;
    let refused = link.outcome("too-long").await.end;
    assert_eq!((&refused["status"], &refused["code"]), (&json!(400), &json!("context_length_exceeded")), "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("11529 bytes"), "{refused}");
    let starts = |reports: &Reports| reports.past().iter().filter(|event| event.name == "start").count();
    link.says("other", "served as ever").await;
    reports.next("released", DEADLINE).await;
    assert_eq!(starts(&reports), 1, "no engine was started for it");
    link.send(&job_for("may-fit", "unread-q8_0", &text(100))).await;
    assert_eq!(link.outcome("may-fit").await.end["type"], "complete");
    reports.next("released", DEADLINE).await;
    assert_eq!(starts(&reports), 2);
    link.send(&job_for("again", "unread-q8_0", &text(2048 + 256 + 2))).await;
    assert_eq!(link.outcome("again").await.end["code"], "context_length_exceeded");
}

#[tokio::test]
async fn m10_hello_has_its_numbers_also_while_the_primary_one_loads_and_another_serves() {
    let scratch = Scratch::new();
    let start = scratch.join("start");
    scratch.fake_model(MODEL_FILE, &format!("--hold start:{}", start.display()));
    scratch.fake_model("other-q8_0.gguf", "");
    let mut router = ScriptedRouter::start();
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "tiny-chat,other-q8_0")];
    let _worker = worker(&scratch, &router.url(), &settings).await;
    let mut link = router.link().await;
    let hello = link.hello().await;
    let said = &hello["capabilities"];
    assert_eq!((&said["model"], &said["models"][0]["state"]), (&json!("tiny-chat"), &json!("starting")), "{said}");
    assert_eq!((&said["total_slots"], &said["ctx_size"]), (&json!(2), &json!(2048)), "what it will have");
    link.send(&hosted()).await;
    std::fs::write(&start, "").unwrap();
    let is_ready = |frame: &Value| frame["capabilities"]["models"][0]["state"] == "ready";
    let config = link.take("the primary one ready", |frame| frame["type"] == "config" && is_ready(frame)).await;
    assert_eq!(
        (&config["capabilities"]["total_slots"], &config["capabilities"]["ctx_size"]),
        (&json!(2), &json!(2048))
    );
}
