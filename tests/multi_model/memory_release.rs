//! Memory that is released after its engine has exited.

use auxot_tests::Host;
use auxot_tests::scripted_router::job_for;

use crate::serving;

/// One device that holds one of two models; the memory of the first is released slowly.
fn slow_release(gate: &str) -> Host {
    let host = Host::with_cards(&[12_000]);
    let gate = host.stage.scratch.join(gate);
    host.model("alpha", 8000, &format!("--release {}", gate.display()));
    host.model("beta", 8000, "");
    host
}

#[tokio::test]
async fn the_next_load_waits_until_memory_is_seen_free() {
    let mut host = slow_release("gate");
    let (worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    let alpha = host.ready("alpha").await;
    // Of a model that ends before it was ever read only its absence can be seen.
    worker.metric_until("auxot_worker_device_memory_used_bytes", &[], |used| used > 7_000.0 * 1_048_576.0).await;
    link.send(&job_for("next", "beta", "fake: --text 'at last'")).await;
    host.ended(&alpha).await;
    for _ in 0..3 {
        link.next("heartbeat").await;
    }
    assert_eq!(host.starts("beta").await, 0);
    std::fs::write(host.stage.scratch.join("gate"), "").unwrap();
    assert_eq!(link.outcome("next").await.completed(), "at last");
    assert_eq!(host.starts("beta").await, 1);
}

#[tokio::test]
async fn memory_that_never_comes_back_is_not_waited_for_without_end() {
    let mut host = slow_release("never");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_FLEET__RELEASE_TIMEOUT", "300ms")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    let alpha = host.ready("alpha").await;
    link.send(&job_for("next", "beta", "fake: --text 'at last'")).await;
    host.ended(&alpha).await;
    let reported = link.outcome("next").await;
    assert!(reported.failed().contains("needs"), "{}", reported.failed());
    assert_eq!(host.living().await, [""; 0]);
}
