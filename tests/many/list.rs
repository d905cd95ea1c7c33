//! The models of the operator's list.

use auxot_tests::Host;

use crate::{asks, serving};

#[tokio::test]
async fn all_that_fit_are_loaded_at_the_start_each_on_its_card() {
    let mut host = Host::with_cards(&[8000, 12_000]);
    host.model("alpha", 6000, "");
    host.model("beta", 10_000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta")]).await;
    for (name, mib, card) in [("alpha", 6000, 0), ("beta", 10_000, 1)] {
        let start = host.ready(name).await;
        assert_eq!(start.cards(), [card], "{name} sees no other card");
        assert_eq!((start.value("--split-mode"), start.value("--main-gpu")), ("none", "0"));
        let held = host.cards.held(card, start.0.pid).unwrap() >> 20;
        assert!(held.abs_diff(mib) < mib / 20, "{name} holds {held} MiB");
        asks(&mut link, name).await;
    }
    assert_eq!(host.living().await, ["alpha", "beta"]);
}

#[tokio::test]
async fn what_does_not_fit_comes_with_its_first_job() {
    let mut host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta", "gamma"] {
        host.model(name, 4500, "");
    }
    let (worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta,gamma")]).await;
    for name in ["alpha", "beta"] {
        host.ready(name).await;
        // The worker hears of it a moment after the engine has said so, and counts from then who was used last.
        let label = format!("model=\"{name}-q4_0\"");
        worker.metric_until("auxot_worker_model_loaded", &[&label], |loaded| loaded == 1.0).await;
    }
    asks(&mut link, "alpha").await;
    assert_eq!(host.living().await, ["alpha", "beta"], "nobody goes for a model that no job asks for");
    asks(&mut link, "gamma").await;
    assert_eq!(host.living().await, ["alpha", "gamma"]);
}
