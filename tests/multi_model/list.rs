//! The models of the operator's list.

use auxot_tests::Host;
use auxot_tests::scripted_router::{HOSTED_ID, Link, ack, job_for, policy};
use serde_json::Value;

use crate::{run_job, serving};

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
        run_job(&mut link, name).await;
    }
    assert_eq!(host.living().await, ["alpha", "beta"]);
}

#[tokio::test]
async fn a_model_that_does_not_fit_at_the_start_loads_for_its_first_job() {
    let mut host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta", "gamma"] {
        host.model(name, 4500, "");
    }
    let (worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta,gamma")]).await;
    for name in ["alpha", "beta"] {
        host.ready(name).await;
        // The worker learns of it a moment after the engine's report, and the order of last use counts from then.
        let label = format!("model=\"{name}-q4_0\"");
        worker.metric_until("auxot_worker_model_loaded", &[&label], |loaded| loaded == 1.0).await;
    }
    run_job(&mut link, "alpha").await;
    assert_eq!(host.living().await, ["alpha", "beta"], "no model is evicted for one that no job names");
    run_job(&mut link, "gamma").await;
    assert_eq!(host.living().await, ["alpha", "gamma"]);
}

/// A model that is larger than the memory, and two that fit together.
fn with_a_huge_one() -> Host {
    let host = Host::with_cards(&[12_000]);
    for (name, mib) in [("huge", 60_000), ("alpha", 5000), ("beta", 5000)] {
        host.model(name, mib, "");
    }
    host
}

/// The others serve, with and without a name; the huge one is refused with numbers and no process was started for it.
async fn others_serve(host: &mut Host, link: &mut Link) {
    link.says("nameless", "from one that fits").await;
    run_job(link, "alpha").await;
    run_job(link, "beta").await;
    link.send(&job_for("too-much", "huge", "hello")).await;
    let outcome = link.outcome("too-much").await;
    assert!(outcome.failed().contains("needs 59."), "{}", outcome.end);
    assert_eq!((host.starts("huge").await, host.living().await), (0, vec!["alpha".to_owned(), "beta".to_owned()]));
}

#[tokio::test]
async fn a_model_that_does_not_fit_delays_no_other() {
    for list in ["huge,alpha,beta", "alpha,huge,beta", "alpha,beta,huge"] {
        let mut host = with_a_huge_one();
        let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", list)]).await;
        others_serve(&mut host, &mut link).await;
    }
}

/// A first start: the worker waits for the policy, which names no model, or the one that does not fit.
#[tokio::test]
async fn a_model_that_does_not_fit_delays_no_other_at_a_first_start() {
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "huge,alpha,beta"), ("AUXOT_ROUTER__WAIT_FOR_POLICY", "true")];
    for desired in [Value::Null, policy("huge", "Q4_0", 1024, 1)] {
        let mut host = with_a_huge_one();
        let worker = host.worker(&[&crate::SHORT_WAITS[..], &settings].concat()).await;
        let mut asking = host.stage.router.link().await;
        assert_eq!(asking.hello().await["capabilities"]["backend"], "pending");
        asking.send(&ack(HOSTED_ID, &desired)).await;
        let mut link = host.greeted(&desired).await;
        others_serve(&mut host, &mut link).await;
        drop(worker);
    }
}
