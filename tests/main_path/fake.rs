//! The chain with the fake engine: guarantees that hold for every fault of the engine.

use std::time::Duration;

use auxot_tests::gguf::ModelFile;

use auxot_tests::{Reports, Scratch, binaries, processes, set_switches};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::chain::{Chain, DEADLINE};
use crate::client::{Stream, ask, whole, whole_with_head};

async fn chain(scratch: &Scratch, switches: &str) -> Chain {
    scratch.fake_model("tiny-q8_0.gguf", switches);
    Chain::start(scratch, &binaries::fake_engine(), "tiny-q8_0").await
}

#[tokio::test]
async fn an_answer_comes_back_word_for_word() {
    let scratch = Scratch::new();
    let chain = chain(&scratch, "--text 'one two three four'").await;
    let heard = ask(&chain, "tiny-q8_0", "hello").await;
    assert_eq!((heard.text.trim(), heard.finish_reason.as_deref()), ("one two three four", Some("stop")));
}

#[tokio::test]
async fn parameters_without_a_job_field_reach_the_engine() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let chain = chain(&scratch, &format!("--text done --report {}", reports.path().display())).await;
    let parameters = json!({"seed": 7, "stop": ["\n"], "top_k": 3, "chat_template_kwargs": {"a": 1}, "user": "u",
        "response_format": {"type": "json_object"}});
    let heard = Stream::open(&chain, "TINY.Q8-0", "a", parameters).await.all().await;
    assert_eq!(heard.finish_reason.as_deref(), Some("stop"), "{heard:?}");
    let request = reports.next("request", DEADLINE).await;
    let body = &request.detail["body"];
    assert_eq!((&body["seed"], &body["stop"], &body["top_k"]), (&json!(7), &json!(["\n"]), &json!(3)));
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    assert_eq!((&body["chat_template_kwargs"], &body["user"]), (&json!({"a": 1}), &json!("u")));
}

#[tokio::test]
async fn a_name_from_a_header_a_folder_or_a_link_means_the_same_to_router_and_worker() {
    let scratch = Scratch::new();
    let folder = scratch.models().join("owner_Some-Repo-GGUF");
    std::fs::create_dir_all(&folder).unwrap();
    let file = ModelFile::named("Title of 7B").write(&folder, "ggml-model-q8_0.gguf");
    set_switches(&file, "--text here");
    std::os::unix::fs::symlink(&file, scratch.models().join("linked-q8_0.gguf")).unwrap();
    let chain = Chain::start(&scratch, &binaries::fake_engine(), "ggml-model-q8_0").await;
    for name in ["title-of-7b", "owner/Some-Repo:Q8_0", "some-repo", "Linked", "GGML model"] {
        let heard = ask(&chain, name, "hello").await;
        assert_eq!((heard.text.trim(), heard.error), ("here", None), "{name}");
    }
    let (status, answer) = whole(&chain, "owner/Some-Repo:Q4_0", json!("hello")).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")), "{answer}");
}

#[tokio::test]
async fn as_many_jobs_run_at_once_as_there_are_slots() {
    let scratch = Scratch::new();
    let chain = chain(&scratch, "--tokens 100000 --token-us 1000").await;
    let mut first = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    let mut second = Stream::open(&chain, "tiny-q8_0", "b", json!({})).await;
    first.first_text().await;
    second.first_text().await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_slot() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let switches = format!("--tokens 100000 --token-us 1000 --report {}", reports.path().display());
    let chain = chain(&scratch, &switches).await;
    let mut stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    stream.first_text().await;
    drop(stream);
    reports.next("released", DEADLINE).await;
}

#[tokio::test]
async fn a_job_whose_engine_dies_before_the_first_token_gets_its_answer_from_the_next_one() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let switches = format!("--prompt-ms 300 --text 'still here' --report {}", reports.path().display());
    let chain = chain(&scratch, &switches).await;
    let stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    let request = reports.next("slot", DEADLINE).await;
    kill(Pid::from_raw(request.pid.cast_signed()), Signal::SIGKILL).unwrap();
    assert_eq!(stream.all().await.text.trim(), "still here");
}

#[tokio::test]
async fn a_job_whose_engine_dies_after_text_ends_with_one_error_and_the_engine_comes_back() {
    let scratch = Scratch::new();
    let chain = chain(&scratch, "--tokens 100000 --token-us 1000").await;
    let mut stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    stream.first_text().await;
    for engine in chain.engines() {
        kill(Pid::from_raw(engine.cast_signed()), Signal::SIGKILL).unwrap();
    }
    let heard = stream.all().await;
    assert!(heard.error.as_deref().is_some_and(|error| error.contains("stopped in the middle")), "{heard:?}");
    let labels = [r#"ending="engine_gone""#];
    assert_eq!(chain.worker.metric("auxot_worker_jobs_total", &labels).await, 1.0);
    chain.loaded("tiny-q8_0", true).await;
    let mut again = Stream::open(&chain, "tiny-q8_0", "fake: --tokens 3", json!({})).await;
    again.first_text().await;
}

#[tokio::test]
async fn a_client_without_streaming_gets_a_lost_answer_once_more_and_no_third_run() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let switches = format!("--prompt-ms 300 --text 'still here' --report {}", reports.path().display());
    let chain = chain(&scratch, &switches).await;
    // Before a token the worker itself runs it once more.
    let (answered, ()) = tokio::join!(whole(&chain, "tiny-q8_0", json!("hello")), async {
        let slot = reports.next("slot", DEADLINE).await;
        kill(Pid::from_raw(slot.pid.cast_signed()), Signal::SIGKILL).unwrap();
    });
    assert_eq!((answered.0, &answered.1["choices"][0]["message"]["content"]), (200, &json!("still here")));
    // After a token too, since the client has nothing of the answer. A request that crashes that run as well is the cause; a
    // client that repeats it does not have it run again.
    for _ in 0..2 {
        chain.loaded("tiny-q8_0", true).await;
        let content = json!("fake: --prompt-ms 0 --tokens 10 --crash-after 3");
        let (got, head, body) = whole_with_head(&chain, "tiny-q8_0", content).await;
        assert_eq!((got, &body["error"]["code"]), (400, &json!("request_crashes_model")), "{body}");
        assert!(head.contains("x-should-retry: false") && !head.contains("retry-after"), "{head}");
    }
    assert_eq!(whole(&chain, "tiny-q8_0", json!("goodbye")).await.0, 200);
    let mut runs = 0;
    while !reports.next("request", DEADLINE).await.detail.to_string().contains("goodbye") {
        runs += 1;
    }
    assert_eq!(runs, 3, "the second of the first, two of the other, and no third");
}

#[tokio::test]
async fn a_term_lets_the_running_job_finish_and_leaves_nothing() {
    let scratch = Scratch::new();
    let mut chain = chain(&scratch, "--tokens 300 --token-us 2000").await;
    let mut stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    stream.first_text().await;
    let engines = chain.engines();
    chain.worker.program.signal(Signal::SIGTERM);
    let heard = stream.all().await;
    assert_eq!((heard.finish_reason.as_deref(), heard.error), (Some("stop"), None));
    assert_eq!(chain.worker.exit_code().await, Some(0));
    processes::ended(&engines, Duration::ZERO).await;
    let left: Vec<_> =
        std::fs::read_dir(scratch.join("run")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == "lock"), "left behind: {left:?}");
}

#[tokio::test]
async fn a_killed_worker_takes_its_engines_with_it_in_every_state() {
    for (switches, wait_for) in [
        ("--load-ms 600000", "start"),
        ("--hang-load", "start"),
        ("--load-ms 1", "ready"),
        ("--ignore-sigterm --fork-grandchild", "grandchild"),
    ] {
        let scratch = Scratch::new();
        let mut reports = Reports::listen(scratch.path());
        scratch.fake_model("tiny-q8_0.gguf", &format!("{switches} --report {}", reports.path().display()));
        let mut command = auxot_tests::Worker::command(&scratch, "http://127.0.0.1:1");
        command.env("AUXOT_GPU_AUTOLOAD_MODELS", "tiny-q8_0");
        let worker = auxot_tests::Worker::start(command).await;
        let engine = reports.next(wait_for, DEADLINE).await.pid;
        worker.program.signal(Signal::SIGKILL);
        processes::ended(&[engine], DEADLINE).await;
        // What an engine itself has started is ended by the worker's next start, which does not come here.
        processes::end_group(engine);
    }
}

#[tokio::test]
async fn a_killed_worker_takes_a_streaming_engine_with_it_and_the_next_one_cleans_up() {
    let scratch = Scratch::new();
    let mut chain = chain(&scratch, "--tokens 100000 --token-us 1000").await;
    let mut stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    stream.first_text().await;
    let engines = chain.engines();
    assert!(!engines.is_empty());
    chain.worker.program.signal(Signal::SIGKILL);
    processes::ended(&engines, DEADLINE).await;
    chain.worker.exit_code().await;
    chain.restart_worker(&scratch, &binaries::fake_engine(), "tiny-q8_0").await;
    let folders = std::fs::read_dir(scratch.join("run")).unwrap().flatten().filter(|entry| entry.path().is_dir());
    assert_eq!(folders.count(), 1, "the dead worker's folder is swept");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let scratch = Scratch::new();
    let mut chain = chain(&scratch, "--tokens 100000 --token-us 1000").await;
    let mut stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
    stream.first_text().await;
    let engines = chain.engines();
    chain.worker.program.signal(Signal::SIGTERM);
    chain.worker.line("the connections to the router close").await;
    chain.worker.program.signal(Signal::SIGTERM);
    assert_eq!(chain.worker.exit_code().await, Some(1));
    processes::ended(&engines, DEADLINE).await;
    drop(chain.router);
}
