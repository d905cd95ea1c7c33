//! Preemption: the times and priorities that decide it, also with a driver that reports little.

use auxot_tests::DEADLINE;
use std::time::{Duration, Instant};

use auxot_tests::Host;
use auxot_tests::scripted_router::{job_for, policy};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::model_settings::file;
use crate::{SHORT_WAITS, run_job, serving};

#[tokio::test]
async fn models_are_swapped_without_a_list_of_processes_on_a_device() {
    let mut host = Host::with_cards(&[12_000]);
    host.hide_processes();
    for name in ["alpha", "beta"] {
        host.model(name, 8000, "");
    }
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    for model in ["alpha", "beta", "alpha"] {
        run_job(&mut link, model).await;
        assert_eq!(host.living().await, [model]);
    }
}

#[tokio::test]
async fn a_job_waits_for_a_loading_model_of_unknown_memory() {
    let mut host = Host::with_cards(&[12_000]);
    host.hide_processes();
    let gate = host.stage.scratch.join("gate");
    host.model("alpha", 8000, &format!("--hold taken:{}", gate.display()));
    host.model("beta", 8000, "");
    host.model("small", 1000, "");
    let (worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "small")]).await;
    link.send(&job_for("first", "alpha", "fake: --text 'soon'")).await;
    worker.metric_until("auxot_worker_device_memory_used_bytes", &[], |used| used > 9_000.0 * 1_048_576.0).await;
    link.send(&job_for("second", "beta", "fake: --text 'at last'")).await;
    worker.metric_until("auxot_worker_jobs_waiting", &["beta"], |waiting| waiting == 1.0).await;
    std::fs::write(gate, "").unwrap();
    assert_eq!(link.outcome("first").await.completed(), "soon");
    assert_eq!(link.outcome("second").await.completed(), "at last");
    let beta = host.ready("beta").await;
    assert_eq!((beta.number("--parallel"), beta.number("--ctx-size")), (2, 4096), "in its whole size");
}

#[tokio::test]
async fn a_model_that_has_just_loaded_stays_for_its_minimum_loaded_time() {
    let mut host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta"] {
        host.model(name, 8000, "");
    }
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_FLEET__MIN_LOADED_TIME", "1500ms")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    run_job(&mut link, "alpha").await;
    // From before the load of beta, so that a slow machine only makes it longer.
    let begun = Instant::now();
    for model in ["beta", "alpha"] {
        run_job(&mut link, model).await;
        assert_eq!(host.living().await, [model]);
    }
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_waiting_model_of_higher_priority_loads_first() {
    let mut host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta", "gamma"] {
        host.model(name, 8000, "");
    }
    let gate = host.stage.scratch.join("gate");
    let config = file(&host, "[fleet.models.gamma]\npriority = 5\n[fleet.models.alpha]\npriority = 9\n");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_CONFIG", config.as_str())];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    let alpha = host.ready("alpha").await;
    let held = format!("fake: --count w --tokens 4 --hold 2:{}", gate.display());
    link.send(&job_for("long", "alpha", &held)).await;
    host.event(&alpha, "held").await;
    for name in ["beta", "gamma"] {
        link.send(&job_for(name, name, "fake: --text word")).await;
    }
    // The worker has read both before this one.
    run_job(&mut link, "alpha").await;
    std::fs::write(gate, "").unwrap();
    assert_eq!(link.outcome("gamma").await.completed(), "word");
    assert_eq!(host.starts("beta").await, 0);
    assert_eq!(link.outcome("beta").await.completed(), "word");
}

#[tokio::test]
async fn what_a_model_took_is_known_after_a_restart() {
    let mut host = Host::with_cards(&[12_000, 24_000]);
    // Far more than its file lets one expect, and more than may be promised of the small card.
    host.model("alpha", 8000, "--card-mib 11700");
    for card in [0, 1] {
        let (mut worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
        assert_eq!(host.ready("alpha").await.cards(), [card]);
        run_job(&mut link, "alpha").await;
        worker.metric_until("auxot_worker_memory_estimate_error_ratio", &[], |error| error > 0.1).await;
        worker.program.signal(Signal::SIGTERM);
        worker.program.ended(DEADLINE).await;
    }
    let fit = host.fit("alpha");
    let takes = |card: usize| fit["devices"][card]["takes"].as_u64().unwrap() >> 20;
    assert_eq!((takes(0), takes(1), fit["measured_with"].is_string()), (0, 11_700, true), "{fit}");
}

#[tokio::test]
async fn a_policy_of_another_size_drains_the_model_and_places_it_anew() {
    let mut host = Host::with_cards(&[12_000, 24_000]);
    host.model("alpha", 10_500, "");
    let open = [("AUXOT_MAX_PARALLEL", ""), ("AUXOT_CTX_SIZE", "")];
    let worker = host.worker(&[&SHORT_WAITS[..], &open].concat()).await;
    // Without a model, the first connection only waits for the policy.
    let _asked = host.greeted(&policy("alpha", "Q4_0", 1024, 1)).await;
    let mut link = host.greeted(&policy("alpha", "Q4_0", 1024, 1)).await;
    let first = host.ready("alpha").await;
    assert_eq!((first.cards(), first.number("--ctx-size")), (vec![0], 1024));
    let gate = host.stage.scratch.join("gate");
    let held = format!("fake: --count w --tokens 4 --hold 2:{}", gate.display());
    link.send(&job_for("long", "alpha", &held)).await;
    host.event(&first, "held").await;
    // So much context that the small card does not hold it.
    link.send(&json!({"type": "policy_update", "policy": policy("alpha", "Q4_0", 8192, 4)})).await;
    link.send(&job_for("behind", "alpha", "fake: --text 'at last'")).await;
    std::fs::write(gate, "").unwrap();
    assert_eq!(link.outcome("long").await.completed(), "w0 w1 w2 w3 ");
    assert_eq!(link.outcome("behind").await.completed(), "at last");
    let second = host.ready("alpha").await;
    assert_eq!((second.cards(), second.number("--ctx-size"), second.number("--parallel")), (vec![1], 4 * 8192, 4));
    drop(worker);
}
