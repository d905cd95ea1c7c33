//! Models that are loaded for a job.

use auxot_tests::Host;
use auxot_tests::scripted_router::job_for;

use crate::{run_job, serving};

#[tokio::test]
async fn the_first_job_for_a_model_loads_it() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("alpha", 3000, "");
    host.model("beta", 3000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    host.ready("alpha").await;
    assert_eq!(host.living().await, ["alpha"]);
    run_job(&mut link, "beta").await;
    run_job(&mut link, "alpha").await;
    assert_eq!(host.living().await, ["alpha", "beta"]);
}

#[tokio::test]
async fn several_first_jobs_join_one_load() {
    let mut host = Host::with_cards(&[24_000]);
    let gate = host.stage.scratch.join("gate");
    host.model("alpha", 3000, "");
    host.model("beta", 3000, &format!("--hold load:{}", gate.display()));
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    let jobs = ["one", "two", "three", "four", "five"];
    for job in jobs {
        link.send(&job_for(job, "beta", &format!("fake: --text '{job}'"))).await;
    }
    let start = host.started("beta").await;
    host.event(&start, "held").await;
    // Jobs that arrived during the load wait with the others.
    link.send(&job_for("six", "beta", "fake: --text six")).await;
    run_job(&mut link, "alpha").await;
    std::fs::write(gate, "").unwrap();
    for job in jobs.into_iter().chain(["six"]) {
        assert_eq!(link.outcome(job).await.completed(), job);
    }
    assert_eq!(host.starts("beta").await, 1);
}

#[tokio::test]
async fn a_load_without_waiters_is_finished() {
    let mut host = Host::with_cards(&[24_000]);
    let gate = host.stage.scratch.join("gate");
    host.model("alpha", 3000, "");
    host.model("beta", 3000, &format!("--hold load:{}", gate.display()));
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    link.send(&job_for("given-up", "beta", "hello")).await;
    let start = host.started("beta").await;
    host.event(&start, "held").await;
    link.cancel("given-up").await;
    // The worker has read the one before the other.
    run_job(&mut link, "alpha").await;
    std::fs::write(gate, "").unwrap();
    host.event(&start, "ready").await;
    run_job(&mut link, "beta").await;
    assert_eq!(host.starts("beta").await, 1);
}

#[tokio::test]
async fn an_unknown_model_is_refused_by_its_name() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("alpha", 3000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    link.send(&job_for("lost", "omega", "hello")).await;
    let outcome = link.outcome("lost").await;
    assert!(outcome.failed().contains("omega"), "{}", outcome.failed());
}
