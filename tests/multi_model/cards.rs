//! The devices of a model, and that its engine sees no others.

use auxot_tests::{Host, Start};

use crate::{run_job, serving};

/// MiB that an engine holds on each of so many cards.
fn held(host: &Host, start: &Start, cards: usize) -> Vec<u64> {
    (0..cards).map(|card| host.cards.held(card, start.0.pid).unwrap_or_default() >> 20).collect()
}

#[tokio::test]
async fn a_model_is_placed_where_the_least_memory_is_left() {
    let mut host = Host::with_cards(&[24_000, 8000, 80_000, 16_000]);
    host.model("small", 3000, "");
    host.model("middle", 12_000, "");
    host.model("large", 60_000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "small,middle,large")]).await;
    for (name, card) in [("small", 1), ("middle", 3), ("large", 2)] {
        assert_eq!(host.ready(name).await.cards(), [card], "{name}");
        run_job(&mut link, name).await;
    }
}

#[tokio::test]
async fn a_model_larger_than_a_card_is_spread_over_two_of_them() {
    let mut host = Host::with_cards(&[24_000, 24_000]);
    host.model("large", 34_000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "large")]).await;
    let start = host.ready("large").await;
    assert_eq!((start.cards(), start.value("--split-mode")), (vec![0, 1], "layer"));
    let parts: Vec<u64> = start.value("--tensor-split").split(',').map(|part| part.parse().unwrap()).collect();
    assert_eq!(parts.iter().sum::<u64>(), start.number("--n-gpu-layers"), "{parts:?}");
    assert!(parts[0].abs_diff(parts[1]) <= 2, "{parts:?}");
    assert!(held(&host, &start, 2).iter().all(|mib| (15_000..20_000).contains(mib)), "{:?}", held(&host, &start, 2));
    run_job(&mut link, "large").await;
}

#[tokio::test]
async fn of_eight_cards_it_gets_as_few_as_will_do_and_sees_no_other() {
    let mut host = Host::with_cards(&[8000, 24_000, 8000, 24_000, 8000, 24_000, 8000, 8000]);
    host.model("large", 60_000, "");
    host.model("small", 5000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "large,small")]).await;
    let start = host.ready("large").await;
    assert_eq!(start.cards(), [1, 3, 5]);
    let taken = held(&host, &start, 8);
    assert!((0..8).all(|card| (taken[card] > 0) == [1, 3, 5].contains(&card)), "{taken:?}");
    let small = host.ready("small").await;
    assert_eq!(small.cards().len(), 1);
    assert!(![1, 3, 5].contains(&small.cards()[0]), "{:?}", small.cards());
    for name in ["large", "small"] {
        run_job(&mut link, name).await;
    }
}

#[tokio::test]
async fn cards_that_may_not_be_used_are_not_used() {
    let mut host = Host::with_cards(&[24_000, 24_000, 8000]);
    host.model("alpha", 3000, "");
    host.model("beta", 3000, "");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta"), ("AUXOT_GPU_DEVICES", "1")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    for name in ["alpha", "beta"] {
        assert_eq!(host.ready(name).await.cards(), [1]);
        run_job(&mut link, name).await;
    }
}

#[tokio::test]
async fn where_only_the_host_s_memory_may_be_used_an_engine_sees_no_card() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("alpha", 300, "");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_GPU_DEVICES", "host")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    let start = host.ready("alpha").await;
    assert_eq!((start.value("--device"), start.variable("CUDA_VISIBLE_DEVICES")), ("none", Some("")));
    assert_eq!(held(&host, &start, 1), [0]);
    run_job(&mut link, "alpha").await;
}
