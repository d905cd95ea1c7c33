//! Settings of single models: how each runs, and how long it stays loaded.

use auxot_tests::scripted_router::{Link, job_for};
use auxot_tests::{FakeNvml, Host, Start, Worker};
use serde_json::Value;

use crate::{run_job, serving};

/// Settings of single models as a file has them.
pub(crate) fn file(host: &Host, tables: &str) -> String {
    let path = host.stage.scratch.join("worker.toml");
    std::fs::write(&path, tables).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn each_model_is_run_as_its_own_table_says() {
    let mut host = Host::with_cards(&[24_000, 24_000]);
    for name in ["alpha", "beta"] {
        host.model(name, 3000, "");
    }
    let config = file(
        &host,
        r#"
        [fleet.models.alpha]
        slots = 3
        ctx_size = 1024
        kv_type = "q8_0"
        args = ["--threads", "7"]
        env = { GGML_LOG = "quiet" }
        devices = ["1"]
        "#,
    );
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta"), ("AUXOT_CONFIG", config.as_str())];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    let alpha = host.ready("alpha").await;
    assert_eq!((alpha.number("--parallel"), alpha.number("--ctx-size")), (3, 3072));
    assert_eq!((alpha.value("--cache-type-k"), alpha.value("--cache-type-v")), ("q8_0", "q8_0"));
    assert_eq!((alpha.value("--threads"), alpha.variable("GGML_LOG")), ("7", Some("quiet")));
    assert_eq!(alpha.cards(), [1]);
    let beta = host.ready("beta").await;
    assert_eq!((beta.number("--parallel"), beta.number("--ctx-size")), (2, 4096));
    assert!(!beta.has("--cache-type-k") && !beta.has("--threads") && beta.variable("GGML_LOG").is_none(), "{beta:?}");
    for name in ["alpha", "beta"] {
        run_job(&mut link, name).await;
    }
}

#[tokio::test]
async fn a_model_lies_on_the_cards_of_its_table_only_and_sees_no_other() {
    let mut host = Host::with_cards(&[24_000, 24_000, 24_000]);
    host.model("large", 34_000, "");
    host.model("small", 12_000, "");
    // Whole words and beginnings of ids, in any order: the engine's is its own.
    let config = file(&host, &format!("[fleet.models.large]\ndevices = [\"{}\", \"0\"]\n", FakeNvml::id(2)));
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "large,small"), ("AUXOT_CONFIG", config.as_str())];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    let large = host.ready("large").await;
    assert_eq!((large.cards(), large.value("--split-mode")), (vec![0, 2], "layer"));
    let held = |card| host.cards.held(card, large.0.pid).unwrap_or_default() >> 20;
    assert!(held(0) > 15_000 && held(1) == 0 && held(2) > 15_000, "{} {} {}", held(0), held(1), held(2));
    assert_eq!(host.ready("small").await.cards(), [1], "one without a table goes where there is room");
    for name in ["large", "small"] {
        run_job(&mut link, name).await;
    }
}

#[tokio::test]
async fn a_card_keeps_its_number_whichever_others_may_be_used() {
    let mut host = Host::with_cards(&[24_000, 24_000, 24_000]);
    host.model("alpha", 3000, "");
    let config = file(&host, "[fleet.models.alpha]\ndevices = [\"2\"]\n");
    let settings =
        [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_CONFIG", config.as_str()), ("AUXOT_GPU_DEVICES", "1,2")];
    let (_worker, mut link) = serving(&mut host, &settings).await;
    assert_eq!(host.ready("alpha").await.cards(), [2]);
    run_job(&mut link, "alpha").await;
}

#[tokio::test]
async fn where_memory_cannot_be_read_a_model_sees_the_cards_of_its_table_and_no_other() {
    for (devices, table, seen) in [("1,2", "devices = [\"2\"]", vec![2]), ("0,2", "", vec![0, 2])] {
        let mut host = Host::with_cards(&[24_000, 24_000, 24_000]);
        host.mute();
        host.model("alpha", 3000, "");
        let config = file(&host, &format!("[fleet.models.alpha]\n{table}\n"));
        let settings =
            [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_CONFIG", config.as_str()), ("AUXOT_GPU_DEVICES", devices)];
        let (_worker, mut link) = serving(&mut host, &settings).await;
        let alpha = host.ready("alpha").await;
        assert_eq!(alpha.cards(), seen);
        assert!(!alpha.has("--n-gpu-layers") && !alpha.has("--tensor-split"), "nothing else is decided: {alpha:?}");
        run_job(&mut link, "alpha").await;
    }
}

#[tokio::test]
async fn a_missing_card_is_reported_and_the_others_are_used() {
    let mut host = Host::with_cards(&[24_000, 24_000]);
    for name in ["alpha", "beta", "gamma"] {
        host.model(name, 3000, "");
    }
    let config = file(
        &host,
        "[fleet.models.alpha]\ndevices = [\"7\"]\n[fleet.models.beta]\ndevices = [\"GPU-nowhere\", \"1\"]\n",
    );
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha,beta,gamma"), ("AUXOT_CONFIG", config.as_str())];
    let (mut worker, mut link) = serving(&mut host, &settings).await;
    assert_eq!(host.ready("beta").await.cards(), [1], "of two the one that is there");
    for name in ["beta", "gamma"] {
        run_job(&mut link, name).await;
    }
    for (name, device) in [("alpha", "7"), ("beta", "GPU-nowhere")] {
        let reported = worker.line(&format!("lets {name}-q4_0 lie on device {device}, which is not here")).await;
        assert!(reported.contains("devices") && reported.contains(&format!("0 ({})", FakeNvml::id(0))), "{reported}");
    }
    link.send(&job_for("in-vain", "alpha", "hello")).await;
    let outcome = link.outcome("in-vain").await;
    assert!(outcome.failed().contains("none of the devices that it may use is present"), "{}", outcome.failed());
    let unmet = |frame: &Value| frame["capabilities"]["unmet"].to_string();
    link.take("a config that says so", |frame| unmet(frame).contains("device 7") && unmet(frame).contains("nowhere"))
        .await;
    assert_eq!(worker.lines_with("which is not here").len(), 2, "each once");
}

/// One card that holds one of two, of which the first has a table.
async fn contested(table: &str) -> (Host, Worker, Link, Start) {
    let mut host = Host::with_cards(&[12_000]);
    for name in ["alpha", "beta"] {
        host.model(name, 8000, "");
    }
    let config = file(&host, &format!("[fleet.models.alpha]\n{table}\n"));
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_CONFIG", config.as_str())];
    let (worker, link) = serving(&mut host, &settings).await;
    let alpha = host.ready("alpha").await;
    (host, worker, link, alpha)
}

#[tokio::test]
async fn a_pinned_model_stays_and_the_other_job_gets_the_reason() {
    let (mut host, _worker, mut link, _) = contested("pin = true").await;
    link.send(&job_for("in-vain", "beta", "hello")).await;
    let outcome = link.outcome("in-vain").await;
    let reported = outcome.failed();
    assert!(
        reported.contains("beta") && reported.contains("needs 8.") && reported.contains("on 1 device"),
        "{reported}"
    );
    run_job(&mut link, "alpha").await;
    assert_eq!((host.living().await, host.starts("beta").await), (vec!["alpha".to_owned()], 0));
}

#[tokio::test]
async fn an_idle_model_is_unloaded_after_its_ttl_and_comes_back_with_the_next_job() {
    let (mut host, _worker, mut link, alpha) = contested("ttl = \"300ms\"").await;
    run_job(&mut link, "alpha").await;
    host.ended(&alpha).await;
    run_job(&mut link, "alpha").await;
    assert_eq!(host.starts("alpha").await, 2);
}

#[tokio::test]
async fn a_busy_model_of_higher_priority_is_not_evicted() {
    let (mut host, _worker, mut link, alpha) = contested("priority = 1").await;
    let gate = host.stage.scratch.join("gate");
    let held = format!("fake: --count w --tokens 4 --hold 2:{}", gate.display());
    link.send(&job_for("long", "alpha", &held)).await;
    host.event(&alpha, "held").await;
    link.send(&job_for("waits", "beta", "fake: --text 'at last'")).await;
    // If it were draining, it would take no more jobs.
    run_job(&mut link, "alpha").await;
    std::fs::write(gate, "").unwrap();
    assert_eq!(link.outcome("long").await.completed(), "w0 w1 w2 w3 ");
    assert_eq!(link.outcome("waits").await.completed(), "at last");
    assert_eq!(host.living().await, ["beta"]);
}
