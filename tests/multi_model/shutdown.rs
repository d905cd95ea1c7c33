//! The worker leaves nothing behind, however it ends.

use auxot_tests::DEADLINE;

use auxot_tests::{Host, leftovers, processes};
use nix::sys::signal::Signal;

use crate::{occupies, run_job, serving};

async fn three_busy() -> (Host, auxot_tests::Worker, auxot_tests::scripted_router::Link) {
    let mut host = Host::with_cards(&[24_000, 24_000]);
    for name in ["alpha", "beta", "gamma"] {
        host.model(name, 5000, "");
    }
    let (worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta")]).await;
    run_job(&mut link, "gamma").await;
    for name in ["alpha", "beta", "gamma"] {
        occupies(&mut link, name, name).await;
    }
    (host, worker, link)
}

#[tokio::test]
async fn a_killed_worker_leaves_no_engine() {
    let (mut host, mut worker, _link) = three_busy().await;
    let engines = processes::descendants(worker.program.pid());
    assert!(engines.len() >= 3, "{engines:?}");
    worker.program.signal(Signal::SIGKILL);
    worker.program.ended(DEADLINE).await;
    processes::ended(&engines, DEADLINE).await;
    assert_eq!(host.living().await, [""; 0]);
    leftovers::processes(host.stage.scratch.path(), &[], DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_second_signal_ends_all_engines_at_once() {
    let (mut host, mut worker, _link) = three_busy().await;
    worker.program.signal(Signal::SIGTERM);
    worker.line("SIGTERM").await;
    worker.program.signal(Signal::SIGTERM);
    worker.program.ended(DEADLINE).await;
    assert_eq!(host.living().await, [""; 0]);
}
