//! Workers that are replaced and started again under one router.

use auxot_tests::{Reports, Scratch, binaries};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::chain::{Chain, DEADLINE};
use crate::client::{Stream, ask};

/// Two of six jobs run on the worker that ends, two wait there for a model that loads, two wait in the router.
#[tokio::test]
async fn a_worker_that_is_replaced_gives_back_what_it_has_not_begun() {
    let (old, new) = (Scratch::new(), Scratch::new());
    let mut reports = Reports::listen(old.path());
    old.fake_model("tiny-q8_0.gguf", "--tokens 1000000 --token-us 1000");
    old.fake_model("other-q8_0.gguf", &format!("--hang-load --report {}", reports.path().display()));
    let mut chain = Chain::start(&old, &binaries::fake_engine(), "tiny-q8_0").await;
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::open(&chain, "tiny-q8_0", "a", json!({})).await;
        stream.first_text().await;
        running.push(stream);
    }
    let mut waiting = Vec::new();
    for model in ["other-q8_0", "other-q8_0", "tiny-q8_0", "tiny-q8_0"] {
        waiting.push(Stream::open(&chain, model, "b", json!({})).await);
    }
    reports.next("start", DEADLINE).await;
    let of_other = [r#"model="other-q8_0""#];
    chain.worker.metric_until("auxot_worker_jobs_waiting", &of_other, |jobs| jobs == 2.0).await;

    for model in ["tiny-q8_0.gguf", "other-q8_0.gguf"] {
        new.fake_model(model, "--text 'of the new one'");
    }
    let _new = chain.another_worker(&new, &binaries::fake_engine(), "tiny-q8_0,other-q8_0").await;
    chain.worker.program.signal(Signal::SIGTERM);
    for stream in waiting {
        let heard = stream.all().await;
        assert_eq!((heard.text.trim(), heard.error), ("of the new one", None));
    }
    for stream in &mut running {
        stream.first_text().await;
    }
    drop(running);
    assert_eq!(chain.worker.exit_code().await, Some(0));
}

/// The policy of a router without a desired model repeats the worker's announcement, and reloads nothing.
#[tokio::test]
async fn a_model_that_was_taken_off_the_list_is_not_loaded_again() {
    let scratch = Scratch::new();
    scratch.fake_model("a-q8_0.gguf", "--text 'of a'");
    scratch.fake_model("b-q8_0.gguf", "--text 'of b'");
    let mut chain = Chain::start(&scratch, &binaries::fake_engine(), "a-q8_0").await;
    chain.loaded("a-q8_0", true).await;
    assert_eq!(ask(&chain, "a-q8_0", "x").await.text.trim(), "of a");
    chain.worker.program.signal(Signal::SIGTERM);
    assert_eq!(chain.worker.exit_code().await, Some(0));

    chain.restart_worker(&scratch, &binaries::fake_engine(), "b-q8_0").await;
    chain.loaded("b-q8_0", true).await;
    assert_eq!(ask(&chain, "b-q8_0", "x").await.text.trim(), "of b");
    let of_a = [r#"model="a-q8_0""#];
    assert_eq!(chain.worker.metric("auxot_worker_model_loaded", &of_a).await, 0.0);
    assert_eq!(chain.worker.lines_with("model is loaded").iter().filter(|line| line.contains("a-q8_0")).count(), 0);
}
