//! Failed loads, models that are too large, lost devices and memory of other processes.

use auxot_tests::Host;
use auxot_tests::scripted_router::job_for;

use crate::{occupies, run_job, serving};

#[tokio::test]
async fn a_model_larger_than_everything_is_refused_with_numbers() {
    let mut host = Host::with_cards(&[24_000, 24_000]);
    host.model("alpha", 10_000, "");
    host.model("huge", 60_000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    host.ready("alpha").await;
    link.send(&job_for("too-much", "huge", "hello")).await;
    let outcome = link.outcome("too-much").await;
    let reported = outcome.failed();
    assert!(
        reported.contains("huge") && reported.contains("needs 59.") && reported.contains("on 2 devices"),
        "{reported}"
    );
    assert_eq!(host.starts("huge").await, 0);
    run_job(&mut link, "alpha").await;
    assert_eq!(host.living().await, ["alpha"]);
}

#[tokio::test]
async fn a_load_that_fails_says_why_and_harms_no_other() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("alpha", 10_000, "");
    host.model("broken", 5000, "--exit-at-load \"1:unknown model architecture: 'nonsense'\"");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    let alpha = host.ready("alpha").await;
    link.send(&job_for("in-vain", "broken", "hello")).await;
    let outcome = link.outcome("in-vain").await;
    let reported = outcome.failed();
    assert!(reported.contains("broken") && reported.contains("does not know this kind of model"), "{reported}");
    run_job(&mut link, "alpha").await;
    assert_eq!((host.living().await, host.starts("alpha").await), (vec!["alpha".to_owned()], 1), "{alpha:?}");
}

#[tokio::test]
async fn a_worker_whose_own_model_has_failed_serves_the_others() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("broken", 5000, "--exit-at-load \"1:unknown model architecture: 'nonsense'\"");
    host.model("other", 5000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "broken")]).await;
    link.take("a config that says so", |frame| {
        let about = &frame["capabilities"];
        about["model"] == "other" && about["unmet"].to_string().contains("broken-q4_0 has failed")
    })
    .await;
    link.says("nameless", "from the other").await;
    link.send(&job_for("in-vain", "broken", "hello")).await;
    let outcome = link.outcome("in-vain").await;
    assert!(outcome.failed().contains("does not know this kind of model"), "{}", outcome.failed());
    assert_eq!((host.living().await, host.starts("broken").await), (vec!["other".to_owned()], 1));
}

#[tokio::test]
async fn no_model_is_evicted_for_one_whose_last_load_has_failed() {
    let mut host = Host::with_cards(&[12_000]);
    host.model("alpha", 8000, "");
    host.model("broken", 8000, "--abort-at-load");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_ENGINE__RESTART_BUDGET", "1")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    host.ready("alpha").await;
    link.send(&job_for("in-vain", "broken", "hello")).await;
    assert!(!link.outcome("in-vain").await.failed().is_empty());
    run_job(&mut link, "alpha").await;
    link.send(&job_for("again", "broken", "hello")).await;
    assert!(!link.outcome("again").await.failed().is_empty());
    run_job(&mut link, "alpha").await;
    assert_eq!(host.starts("alpha").await, 2, "once before and once after the first try");
}

#[tokio::test]
async fn a_model_whose_card_is_lost_comes_back_on_another() {
    let mut host = Host::with_cards(&[12_000, 12_000]);
    host.model("alpha", 8000, "");
    let (_worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    let first = host.ready("alpha").await;
    let [lost] = first.cards()[..] else { panic!("{first:?}") };
    occupies(&mut link, "cut-off", "alpha").await;
    host.lose(lost);
    assert!(!link.outcome("cut-off").await.failed().is_empty());
    host.ended(&first).await;
    run_job(&mut link, "alpha").await;
    // The supervisor may have restarted it in its place before a reading showed the loss; that run served no job.
    let mut again = host.ready("alpha").await;
    while again.cards() != [1 - lost] {
        again = host.ready("alpha").await;
    }
    assert_eq!(host.living().await, ["alpha"]);
}

#[tokio::test]
async fn memory_of_other_processes_is_not_promised() {
    let mut host = Host::with_cards(&[24_000]);
    host.model("alpha", 8000, "");
    host.model("beta", 8000, "");
    let (worker, mut link) = serving(&mut host, &[("AUXOT_GPU_AUTOLOAD_MODELS", "alpha")]).await;
    host.ready("alpha").await;
    host.other_process(0, 12_000);
    worker.metric_until("auxot_worker_device_memory_used_bytes", &[], |used| used > 19_000.0 * 1_048_576.0).await;
    run_job(&mut link, "beta").await;
    assert_eq!(host.living().await, ["beta"], "there was no room beside the other any more");
    host.other_process(0, 20_000);
    worker.metric_until("auxot_worker_device_memory_used_bytes", &[], |used| used > 23_000.0 * 1_048_576.0).await;
    run_job(&mut link, "beta").await;
    assert_eq!(host.living().await, ["beta"], "the running model stays");
}
