//! Settings that change while the worker runs: good ones, bad ones, and those that must wait for the next start.

use std::fs;
use std::path::PathBuf;

use auxot_tests::scripted_router::policy;
use auxot_tests::{Stage, Worker, processes};
use nix::sys::signal::Signal;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// A stage whose workers find this text as their settings file.
fn stage_with(text: &str) -> Stage {
    let stage = Stage::new();
    fs::create_dir_all(stage.scratch.join("config/auxot")).unwrap();
    fs::write(path(&stage), text).unwrap();
    stage
}

fn path(stage: &Stage) -> PathBuf {
    stage.scratch.join("config/auxot/auxot-worker.toml")
}

/// Puts another file into its place, as editors do.
fn replace(stage: &Stage, text: &str) {
    let draft = stage.scratch.join("config/auxot/.draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path(stage)).unwrap();
}

/// The one engine that a worker has.
#[track_caller]
fn only_engine(worker: &Worker) -> u32 {
    let engines = processes::descendants(worker.program.pid());
    let [engine] = engines[..] else { panic!("one engine, not {engines:?}") };
    engine
}

#[tokio::test]
async fn a_file_with_faults_changes_nothing_and_every_fault_is_logged() {
    let good = format!("[fleet]\nautoload = ['{MODEL}']\n");
    let mut stage = stage_with(&good);
    stage.put(MODEL_FILE, "");
    let mut worker = stage.worker(&[]).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;

    replace(&stage, "[fleet]\nautolaod = []\nmax_wait = 'soon'\n[fleet.models.x]\nslots = 0\n");
    let reported = worker.line("autolaod").await;
    assert!(
        reported.contains("ERROR")
            && reported.contains(":2:1: `fleet.autolaod`: unknown key; did you mean `autoload`?"),
        "{reported}"
    );
    assert!(reported.contains("the current ones stay"), "{reported}");
    worker.line(":3:1: `fleet.max_wait`: expected a duration").await;
    worker.line(":5:1: `fleet.models.x.slots`: must be 1 to 256, found 0").await;
    fs::remove_file(path(&stage)).unwrap();
    worker.line("cannot read the configuration file").await;
    link.says("one", "it serves as before").await;
    assert_eq!(only_engine(&worker), engine);

    // A corrected file is applied, and changes nothing for the model.
    replace(&stage, &format!("{good}max_wait = '5m'\n"));
    let reported = worker.line("changes applied").await;
    assert!(reported.contains("keys=\"fleet.max_wait\""), "{reported}");
    link.says("two", "it serves as before").await;
    assert_eq!(only_engine(&worker), engine);
}

#[tokio::test]
async fn settings_used_only_at_the_start_are_named_and_sighup_reads_the_file_again() {
    let mut stage = stage_with("");
    stage.put(MODEL_FILE, "");
    let mut worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let engine = only_engine(&worker);

    worker.program.signal(Signal::SIGHUP);
    worker.line("no changes").await;
    replace(&stage, "[router]\nheartbeat_interval = '20s'\n[log]\nlevel = 'debug'\n");
    let (at, reported) = worker.program.line_after(0, "used only at the start", DEADLINE).await;
    assert!(reported.contains("log.level, router.heartbeat_interval"), "{reported}");
    // With the running settings again, no setting waits for a restart.
    replace(&stage, "# nothing\n");
    worker.program.line_after(at, "no changes", DEADLINE).await;
    link.says("one", "it serves").await;
    assert_eq!(only_engine(&worker), engine);
}

#[tokio::test]
async fn models_come_go_and_change_their_size_while_the_others_are_not_touched() {
    let both = format!("[fleet]\nautoload = ['{MODEL}', 'second-q8_0']\n");
    let mut stage = stage_with(&format!("[fleet]\nautoload = ['{MODEL}']\n"));
    stage.put(MODEL_FILE, "");
    stage.put("second-q8_0.gguf", "");
    let mut worker = stage.worker(&[]).await;
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.next_start().await;
    stage.reports.next("ready", DEADLINE).await;
    let untouched = only_engine(&worker);

    replace(&stage, &both);
    let start = stage.next_start().await;
    assert_eq!((start.value("--alias"), start.number("--parallel")), ("second-q8_0", 2));
    let second = stage.reports.next("ready", DEADLINE).await.pid;

    replace(&stage, &format!("{both}[fleet.models.SECOND-Q8_0]\nslots = 3\nargs = ['--threads', '3']\n"));
    let (at, reported) = worker.program.line_after(0, "keys=\"fleet.models.SECOND-Q8_0\"", DEADLINE).await;
    assert!(reported.contains("changes applied"), "{reported}");
    let start = stage.next_start().await;
    assert_eq!((start.value("--alias"), start.number("--parallel")), ("second-q8_0", 3));
    assert_eq!(start.number("--threads"), 3);
    processes::ended(&[second], DEADLINE).await;
    let second = stage.reports.next("ready", DEADLINE).await.pid;

    replace(&stage, &format!("[fleet]\nautoload = ['{MODEL}']\n"));
    worker.program.line_after(at, "keys=\"fleet.autoload, fleet.models.SECOND-Q8_0\"", DEADLINE).await;
    processes::ended(&[second], DEADLINE).await;
    link.says("one", "it serves all the time").await;
    assert_eq!(only_engine(&worker), untouched);
}

#[tokio::test]
async fn an_old_name_of_a_setting_is_warned_about_once_and_old_names_of_metrics_have_the_same_samples() {
    let mut stage = stage_with("[fleet]\nresidency = '1s'\n");
    stage.put(MODEL_FILE, "");
    let mut worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let warning = worker.line("`fleet.residency`: renamed to `fleet.min_loaded_time`").await;
    assert!(warning.contains("WARN"), "{warning}");
    // The same name in another line is not warned about again, and the value is applied.
    replace(&stage, "\n[fleet]\nresidency = '2s'\n");
    let applied = worker.line("changes applied").await;
    assert!(applied.contains("keys=\"fleet.min_loaded_time\""), "{applied}");
    assert_eq!(worker.lines_with("renamed to").len(), 1);

    worker.metric_until("auxot_worker_router_connections", &[], |count| count == 1.0).await;
    let text = worker.metrics().await;
    for (old, new) in [
        ("auxot_worker_router_links", "auxot_worker_router_connections"),
        ("auxot_worker_wishes_unmet", "auxot_worker_settings_unmet"),
        ("auxot_worker_instance_load_seconds_count", "auxot_worker_engine_load_seconds_count"),
        ("auxot_worker_instance_starts_total", "auxot_worker_engine_starts_total"),
    ] {
        let value = |name| auxot_tests::http::metric(&text, name, &[]);
        assert!(value(new).is_some() && value(old) == value(new), "{old} and {new} in {text}");
    }
    assert!(
        text.contains("# HELP auxot_worker_wishes_unmet Deprecated: the old name of auxot_worker_settings_unmet\n")
    );
}
