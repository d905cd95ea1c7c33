//! Which model is evicted when there is no room for another.

use auxot_tests::scripted_router::job_for;
use auxot_tests::{Host, processes};

use crate::{occupies, run_job, serving};

/// One card that holds two of three.
fn three() -> Host {
    let host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta", "gamma"] {
        // Load times are long and equal: the choice depends on the cost of a reload.
        host.model(name, 4500, "--load-ms 50");
    }
    host
}

/// One card that holds one of two.
fn two() -> Host {
    let host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta"] {
        host.model(name, 8000, "");
    }
    host
}

#[tokio::test]
async fn the_longest_idle_model_is_evicted() {
    let mut host = three();
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    for (model, living) in [
        ("alpha", &["alpha"][..]),
        ("beta", &["alpha", "beta"]),
        ("alpha", &["alpha", "beta"]),
        ("gamma", &["alpha", "gamma"]),
        ("beta", &["beta", "gamma"]),
    ] {
        run_job(&mut link, model).await;
        assert_eq!(host.living().await, living, "after {model}");
    }
}

#[tokio::test]
async fn a_busy_model_may_finish_its_jobs() {
    let mut host = two();
    let gate = host.stage.scratch.join("gate");
    let (mut worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    let alpha = host.ready("alpha").await;
    let held = format!("fake: --count w --tokens 4 --hold 2:{}", gate.display());
    link.send(&job_for("long", "alpha", &held)).await;
    host.event(&alpha, "held").await;
    link.send(&job_for("next", "beta", "fake: --text 'at last'")).await;
    // It drains, so a new job for it waits; its running jobs continue.
    worker.line("to=\"draining\"").await;
    link.send(&job_for("behind", "alpha", "fake: --text 'once more'")).await;
    assert_eq!(host.living().await, ["alpha"]);
    std::fs::write(gate, "").unwrap();
    assert_eq!(link.outcome("long").await.completed(), "w0 w1 w2 w3 ");
    host.ready("beta").await;
    assert!(!processes::alive(alpha.0.pid), "there is no room for both");
    assert_eq!(link.outcome("next").await.completed(), "at last");
    assert_eq!(link.outcome("behind").await.completed(), "once more");
    assert_eq!(host.living().await, ["alpha"]);
}

#[tokio::test]
async fn a_busy_model_is_evicted_at_its_drain_bound() {
    let mut host = two();
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_FLEET__DRAIN_TIMEOUT", "700ms")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    occupies(&mut link, "endless", "alpha").await;
    let since = std::time::Instant::now();
    run_job(&mut link, "beta").await;
    assert!(since.elapsed().as_millis() >= 700, "{:?}", since.elapsed());
    assert!(!link.outcome("endless").await.failed().is_empty());
    assert_eq!(host.living().await, ["beta"]);
}
