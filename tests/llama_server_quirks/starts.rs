//! Quirks of the command line and the environment: 6 to 8, 11 to 15 and 17.

use std::path::Path;

use auxot_tests::gguf::ModelFile;
use auxot_tests::{Stage, Worker, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DEADLINE, MODEL, MODEL_FILE, served};

#[tokio::test]
async fn quirk_06_every_slot_has_a_context_of_its_own() {
    let start = served("", &[]).await.start;
    assert!(start.has("--no-kv-unified"));
    assert_eq!(start.number("--parallel"), 2);
}

#[tokio::test]
async fn quirk_07_slots_never_come_without_the_whole_context() {
    let start = served("", &[("AUXOT_MAX_PARALLEL", "3"), ("AUXOT_CTX_SIZE", "1000")]).await.start;
    assert_eq!((start.number("--parallel"), start.number("--ctx-size")), (3, 3000));
}

#[tokio::test]
async fn quirk_08_fit_is_off_and_a_size_that_does_not_fit_is_reduced() {
    let mut served = served("--device-tokens 2048", &[]).await;
    // The first start was of two slots, and did not fit.
    assert_eq!((served.start.value("--fit"), served.start.number("--parallel")), ("off", 2));
    served.link.says("one", "one slot serves").await;
    let starts = served.stage.reports.past().iter().filter(|event| event.name == "start").count();
    assert_eq!(starts, 2);
}

#[tokio::test]
async fn quirk_11_nothing_of_the_host_leaks_into_an_engine() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
    let leaks = ["LLAMA_ARG_CTX_SIZE", "LLAMA_API_KEY", "LLAMA_CONFIG", "HF_TOKEN", "AIP_MODE", "XDG_CONFIG_DIRS"];
    command.envs(leaks.map(|name| (name, "1"))).env("LLAMA_SERVER_ROUTER_PORT", "4711");
    let _worker = Worker::start(command).await;
    let start = stage.next_start().await;
    for name in leaks.iter().chain(&["AUXOT_GPU_KEY", "AUXOT_ROUTER_URL"]) {
        assert_eq!(start.variable(name), None, "{name}");
    }
    assert_eq!(start.variable("LLAMA_SERVER_ROUTER_PORT"), Some("1"), "ours");
    let configuration = start.variable("XDG_CONFIG_HOME").unwrap();
    assert!(configuration.starts_with(stage.scratch.join("run").to_str().unwrap()), "{configuration}");
    assert_eq!(std::fs::read_dir(configuration).unwrap().count(), 0);
}

#[tokio::test]
async fn quirk_12_flags_that_newer_builds_refuse_are_never_passed() {
    let start = served("", &[]).await.start;
    for flag in ["--mlock", "--mmap", "--no-mmap", "-dio", "--direct-io", "-ndio", "--no-direct-io"] {
        assert!(!start.has(flag), "{flag}");
    }
    // A value is a word of its own: `--flag=value` is refused by every build.
    assert!(start.arguments().iter().all(|word| !(word.starts_with("--") && word.contains('='))));
}

#[tokio::test]
async fn quirk_13_an_encoder_is_started_as_one() {
    let mut stage = Stage::new();
    let model = ModelFile { arch: "bert".into(), pooling_type: Some(1), ..ModelFile::named("tiny-bert") };
    model.write(&stage.scratch.models(), "tiny-bert-f16.gguf");
    stage.switch("tiny-bert-f16.gguf", "");
    let _worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", "tiny-bert-f16")]).await;
    let start = stage.next_start().await;
    assert!(start.has("--embeddings"));
    // An input longer than the physical batch is refused.
    let context = start.number("--ctx-size") / start.number("--parallel");
    assert_eq!((start.number("--batch-size"), start.number("--ubatch-size")), (context, context));
}

#[tokio::test]
async fn quirk_14_the_memory_for_prompts_is_bounded() {
    assert_eq!(served("", &[]).await.start.number("--cache-ram"), 1024);
    assert_eq!(served("", &[("AUXOT_ENGINE__CACHE_RAM", "64MiB")]).await.start.number("--cache-ram"), 64);
    assert_eq!(served("", &[("AUXOT_ENGINE__CTX_CHECKPOINTS", "2")]).await.start.number("--ctx-checkpoints"), 2);
}

#[tokio::test]
async fn quirk_15_a_socket_file_left_behind_stops_no_start() {
    let mut served = served("", &[]).await;
    let socket = served.start.value("--host").to_owned();
    assert!(Path::new(&socket).exists());
    kill(Pid::from_raw(served.start.0.pid.cast_signed()), Signal::SIGKILL).unwrap();
    let next = served.stage.next_start().await;
    assert_ne!(next.value("--host"), socket);
    served.stage.reports.next("ready", DEADLINE).await;
    served.link.says("one", "the next one serves").await;
    processes::ended(&[served.start.0.pid], DEADLINE).await;
    assert!(!Path::new(&socket).exists(), "and nothing is left of the first");
}

#[tokio::test]
async fn quirk_17_there_is_exactly_one_alias() {
    let start = served("", &[]).await.start;
    assert_eq!(start.arguments().iter().filter(|word| **word == "--alias" || **word == "-a").count(), 1);
    assert_eq!(start.value("--alias"), MODEL);
    assert!(!start.value("--alias").contains(','));
}
