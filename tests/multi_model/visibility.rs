//! Engines that cannot use the devices under the driver's names, or not at all.

use auxot_tests::Host;

use crate::{run_job, serving};

#[tokio::test]
async fn an_engine_that_was_not_built_for_the_cards_runs_its_models_in_host_memory_and_says_so() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("alpha", 300, "");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("GGML_FAKE_DEVICES", "")];
    let (mut worker, mut link) = serving(&mut host, &settings).await;
    let reported = worker.line("the engine cannot use a device of this host").await;
    assert!(reported.contains("GPU-fake-0000"), "{reported}");
    let alpha = host.ready("alpha").await;
    assert!(!alpha.has("--main-gpu") && !alpha.has("--n-gpu-layers"), "{alpha:?}");
    run_job(&mut link, "alpha").await;
    let heartbeat = link.next("heartbeat").await;
    assert!(heartbeat["devices"].is_null(), "a card that no model can lie on is nothing for a router: {heartbeat}");
    // It is counted where it lies.
    worker.line("place=\"host ").await;
}

#[tokio::test]
async fn an_engine_with_vulkan_gets_its_own_device_names() {
    let mut host = Host::with_cards(&[8000, 24_000]);
    host.model("alpha", 3000, "");
    host.model("beta", 12_000, "");
    // In its driver's order, which is not that of the slots.
    let listed = "Vulkan0: NVIDIA large (24000 MiB, 24000 MiB free)|Vulkan1: NVIDIA small (8000 MiB, 8000 MiB free)";
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta"), ("GGML_FAKE_DEVICES", listed)];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    for (name, device, card) in [("alpha", "Vulkan1", 0), ("beta", "Vulkan0", 1)] {
        let start = host.ready(name).await;
        assert_eq!((start.value("--device"), start.variable("CUDA_VISIBLE_DEVICES")), (device, None));
        assert!(host.cards.held(card, start.0.pid).is_some_and(|held| held > 0), "{name} lies elsewhere");
        run_job(&mut link, name).await;
    }
}

#[tokio::test]
async fn of_two_equal_devices_the_allowed_one_is_named() {
    let mut host = Host::with_cards(&[8000, 8000]);
    host.model("alpha", 3000, "");
    let listed = "Vulkan0: NVIDIA card (8000 MiB, 8000 MiB free)|Vulkan1: NVIDIA card (8000 MiB, 8000 MiB free)";
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("GGML_FAKE_DEVICES", listed), ("AUXOT_GPU_DEVICES", "1")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    assert_eq!(host.ready("alpha").await.value("--device"), "Vulkan1");
    run_job(&mut link, "alpha").await;
}
