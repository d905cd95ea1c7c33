//! Models of the list: loaded at the start, on the cards.

use auxot_tests::Host;
use auxot_tests::scripted_router::{job_for, policy};

#[tokio::test]
async fn the_models_of_the_list_are_loaded_and_each_answers_its_own_jobs() {
    let mut host = Host::with_cards(&[24_000, 24_000]);
    host.model("alpha", 3000, "--text 'from alpha'");
    host.model("beta", 5000, "--text 'from beta'");
    let _worker = host.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta")]).await;
    let mut link = host.greeted(&policy("alpha", "Q4_0", 2048, 2)).await;
    for name in ["alpha", "beta"] {
        let start = host.ready(name).await;
        let held: u64 = (0..2).filter_map(|card| host.cards.held(card, start.0.pid)).sum();
        assert!(held >> 20 >= 2900, "{name} holds {held} bytes");
        link.send(&job_for(name, name, "hello")).await;
        assert_eq!(link.outcome(name).await.completed(), format!("from {name}"));
    }
    assert_eq!(host.living(), ["alpha", "beta"]);
}
