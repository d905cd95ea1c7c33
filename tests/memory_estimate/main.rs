//! The computed memory of a model against the real engine's figures; and whether the engine accepts our arguments.
//!
//! The engine logs the size of every buffer at `--log-verbosity 4`; the kernel knows the memory of the process. It runs here
//! as the worker starts it, except for `--no-repack` in tests that are not about copies of weights.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what a person runs it for")]

mod architectures;

use auxot_tests::DEADLINE;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use auxot_catalog::{CHECKPOINT_STEP, Catalog, Config, Gguf, KvType, MemoryRequirements, RunParameters};
use auxot_placement::{Capacity, LayerRequirements, Placement, Rules, Share, Split, plan};
use auxot_tests::{Program, Scratch, http, real};
use serde_json::Value;

const MIB: f64 = (1 << 20) as f64;
/// The allowed error of the computed value, as a share of the engine's.
const ALLOWED: f64 = 0.05;
/// The engine prints hundredths of a MiB, which bounds the precision of the smallest buffers.
const PRINTED: f64 = 0.011;

/// Sums of the buffers of each kind, in MiB.
#[derive(Debug, Default)]
struct BufferSizes {
    weights: f64,
    /// Repacked copies of weights.
    copied: f64,
    cache: f64,
    compute: f64,
    logits: f64,
}

impl BufferSizes {
    fn read(lines: &[String]) -> BufferSizes {
        let mut printed = BufferSizes::default();
        for line in lines {
            let Some((before, after)) = line.split_once(" buffer size =") else { continue };
            let Some(mib) = after.trim().strip_suffix(" MiB").and_then(|text| text.trim().parse::<f64>().ok()) else {
                continue;
            };
            let mut words = before.split_whitespace().rev();
            match words.next() {
                Some("model") if words.next() == Some("CPU_Mapped") => printed.weights += mib,
                Some("model") => printed.copied += mib,
                Some("KV" | "RS") => printed.cache += mib,
                Some("compute") => printed.compute += mib,
                Some("output") => printed.logits += mib,
                _ => {}
            }
        }
        printed
    }
}

async fn start(scratch: &Scratch, model: &Path, parameters: &RunParameters) -> Program {
    start_with(scratch, model, parameters, &["--no-repack"]).await
}

async fn start_with(scratch: &Scratch, model: &Path, parameters: &RunParameters, arguments: &[&str]) -> Program {
    let mut command = Command::new(real::engine());
    command.env_clear().env("XDG_CONFIG_HOME", scratch.path()).env("LLAMA_SERVER_ROUTER_PORT", "1");
    command.args(["--log-verbosity", "4", "--log-colors", "off", "--no-ui", "--cache-ram", "0", "-t", "1"]);
    command.args(["--fit", "off", "--no-warmup", "--no-kv-unified", "--device", "none"]);
    command.args(arguments);
    command
        .arg("--ctx-size")
        .arg((parameters.ctx * parameters.slots).to_string())
        .arg("--parallel")
        .arg(parameters.slots.to_string());
    command.args(["--cache-type-k", parameters.keys.name(), "--cache-type-v", parameters.values.name()]);
    let step = CHECKPOINT_STEP.to_string();
    command.args(["--ctx-checkpoints", &parameters.checkpoints.to_string(), "--checkpoint-min-step", &step]);
    if parameters.embedding {
        let batch = parameters.batch.to_string();
        command.args(["--embeddings", "--batch-size", &batch, "--ubatch-size", &batch]);
    }
    if !parameters.flash {
        command.args(["--flash-attn", "off"]);
    }
    command.arg("--host").arg(scratch.join("engine.sock")).arg("--model").arg(model);
    let mut program = Program::start_held(command);
    program.line(r#""state":"ready""#, DEADLINE).await;
    program
}

async fn ask_engine(model: &Path, parameters: &RunParameters) -> BufferSizes {
    let scratch = Scratch::new();
    BufferSizes::read(&start(&scratch, model, parameters).await.lines())
}

/// Prints a line of the table and records a fault.
fn compare(what: &str, part: &str, computed: u64, printed: f64, faults: &mut Vec<String>) {
    let computed = computed as f64 / MIB;
    let error = if printed > 0.0 { (computed - printed) / printed } else { 0.0 };
    println!("{what:<44} {part:<8} {computed:>10.2} {printed:>10.2} MiB {:>+7.2} %", error * 100.0);
    if (computed - printed).abs() > (printed * ALLOWED).max(PRINTED) {
        faults.push(format!("{what}: {part} computed {computed:.2} MiB, the engine takes {printed:.2} MiB"));
    }
}

fn header(file: &Path) -> Arc<Gguf> {
    let config = Config { models_dir: Vec::new(), model_file: Some(file.to_owned()), ..Config::default() };
    let catalog = Catalog::scan(&config);
    let [model] = catalog.models() else { panic!("{catalog:?}") };
    Arc::clone(&model.header)
}

async fn check(files: Vec<PathBuf>, runs: &[(&str, RunParameters)]) {
    let mut faults = Vec::new();
    for file in files {
        let header = header(&file);
        for (name, parameters) in runs {
            let requirements = MemoryRequirements::of(&header, None, parameters).unwrap();
            let printed = ask_engine(&file, parameters).await;
            let what = format!("{} {name}", file.file_stem().unwrap().display());
            compare(&what, "weights", requirements.weights, printed.weights, &mut faults);
            compare(&what, "cache", requirements.cache(), printed.cache, &mut faults);
            compare(&what, "compute", requirements.compute, printed.compute, &mut faults);
            compare(&what, "logits", requirements.logits, printed.logits, &mut faults);
            let whole = printed.weights + printed.cache + printed.compute + printed.logits;
            let buffers = requirements.weights + requirements.cache() + requirements.compute + requirements.logits;
            compare(&what, "whole", buffers, whole, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// This many random tokens. Some are the beginning-of-message tokens of the real model, if it has any.
fn prompt(slot: u32, tokens: u32, messages: &Value) -> Value {
    let tokens: Vec<u32> = (0..tokens).map(|at| 5 + at * 7 % 240).collect();
    serde_json::json!({"prompt": tokens, "n_predict": 4, "id_slot": slot, "message_delimiters": messages})
}

/// The memory of a process once each of its slots has had a conversation that fills it. It begins with a prompt as long as a
/// window, so that its checkpoint is a full one.
/// Also returns the difference of its program's own pages from the estimate's.
async fn resident_after_work(model: &Path, parameters: &RunParameters) -> (u64, u64) {
    let scratch = Scratch::new();
    let engine = start(&scratch, model, parameters).await;
    for slot in 0..parameters.slots {
        let messages = serde_json::json!([{"role": "user", "delimiter": "<start_of_turn>"}]);
        for body in [prompt(slot, 515, &Value::Null), prompt(slot, parameters.ctx - 16, &messages)] {
            http::post_unix(&scratch.join("engine.sock"), "/completion", &body.to_string()).await.unwrap();
        }
    }
    (auxot_gpu::host_use(engine.pid()).bytes.unwrap(), real::apart(engine.pid()))
}

#[tokio::test]
async fn a_process_that_has_worked_holds_what_was_computed() {
    let tiny = |name: &str| real::tiny_models().join(format!("tiny-{name}.gguf"));
    let mut runs: Vec<(PathBuf, RunParameters)> = ["script-f16", "loop-f16", "think-f16", "tool-f16", "script-q8_0"]
        .into_iter()
        .flat_map(|name| [(tiny(name), RunParameters::new(2, 8192)), (tiny(name), RunParameters::new(4, 2048))])
        .collect();
    runs.extend([(real::model(), RunParameters::new(2, 1024)), (real::model(), RunParameters::new(1, 2048))]);
    let mut faults = Vec::new();
    for (file, parameters) in runs {
        let requirements = MemoryRequirements::of(&header(&file), None, &parameters).unwrap();
        let what = format!("{} {} x {}", file.file_stem().unwrap().display(), parameters.slots, parameters.ctx);
        let (resident, apart) = resident_after_work(&file, &parameters).await;
        let computed = requirements.on_host(0);
        let nearest = resident.clamp(computed.saturating_sub(apart), computed + apart);
        compare(&what, "resident", nearest, resident as f64 / MIB, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// For a process with repacked weights, the memory that it would hold without the originals counts.
#[tokio::test]
async fn weights_that_the_engine_holds_twice_are_subtracted_from_its_memory() {
    let tiny = |name: &str| real::tiny_models().join(format!("tiny-{name}.gguf"));
    let files = ["script-f16", "loop-f16", "think-f16", "tool-f16", "script-q8_0"].map(tiny);
    let mut faults = Vec::new();
    for file in files.into_iter().chain([real::model()]) {
        let (parameters, name) = (RunParameters::new(1, 2048), file.file_stem().unwrap().display());
        let requirements = MemoryRequirements::of(&header(&file), None, &parameters).unwrap();
        let rules = Rules { layers: Some(0), ..Rules::default() };
        let capacity = Capacity { devices: Vec::new(), host: Some(u64::MAX), ..Capacity::default() };
        let placed = plan(&LayerRequirements::of(&Arc::new(requirements)), &capacity, &rules, None).unwrap();
        for arguments in [&[][..], &["--no-repack"], &["--load-mode", "none", "--no-repack"]] {
            let scratch = Scratch::new();
            let engine = start_with(&scratch, &file, &parameters, arguments).await;
            let (printed, held) = (BufferSizes::read(&engine.lines()), auxot_gpu::host_use(engine.pid()));
            let what = format!("{name} {}", arguments.join(" "));
            // Weights that are not mapped are printed like copies; then there are no originals to subtract.
            let copied = if printed.weights > 0.0 { printed.copied } else { 0.0 };
            let true_need = held.bytes.unwrap() as f64 / MIB - copied;
            let concluded = held.bytes.unwrap() - placed.repacked_bytes(&held);
            compare(&what, "needs", concluded, true_need, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The engine accepts the arguments of a placement, with or without its devices.
#[tokio::test]
async fn the_engine_accepts_the_arguments_of_a_placement() {
    // A tensor split cannot be tried without devices; that the engine knows it is in its help.
    let help = Command::new(real::engine()).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("--split-mode {none,layer,row,tensor}"));
    let share = |device: &str, layers: std::ops::Range<usize>| Share {
        device: device.into(),
        selector: auxot_gpu::DeviceSelector::Cuda,
        layers,
        bytes: 3 << 30,
        weights: 2 << 30,
        cache: 1 << 29,
    };
    let two = vec![share("GPU-a", 0..1), share("GPU-b", 1..2)];
    for (split, shares) in [(Split::Host, Vec::new()), (Split::Whole, vec![share("GPU-a", 0..2)]), (Split::Layers, two)]
    {
        let offloaded = if split == Split::Host { 0 } else { 2 };
        let placement = Placement { shares, split, shown: None, host: 0, weights: 0, at_work: 0, offloaded, layers: 2 };
        let scratch = Scratch::new();
        let mut command = Command::new(real::engine());
        command.env_clear().env("XDG_CONFIG_HOME", scratch.path()).env("LLAMA_SERVER_ROUTER_PORT", "1");
        command.args(["--no-ui", "--cache-ram", "0", "-t", "1", "-c", "512", "-np", "1", "--fit", "off"]);
        command.args(placement.arguments()).arg("--host").arg(scratch.join("engine.sock"));
        command.arg("--model").arg(real::tiny_models().join("tiny-script-f16.gguf"));
        let mut program = Program::start_held(command);
        program.line(r#""state":"ready""#, DEADLINE).await;
    }
}

#[tokio::test]
async fn the_tiny_models_take_what_was_computed() {
    let tiny = |name: &str| real::tiny_models().join(format!("tiny-{name}.gguf"));
    let files = ["script-f16", "loop-f16", "think-f16", "tool-f16", "script-q8_0"].map(tiny);
    let four = RunParameters::new(4, 2000);
    check(
        files.to_vec(),
        &[("2 x 8192", RunParameters::new(2, 8192)), ("4 x 2000", four), ("1 x 32768", RunParameters::new(1, 32768))],
    )
    .await;
    let embeds = [("2 x 512", RunParameters::embedding(2, 512)), ("1 x 1024", RunParameters::embedding(1, 1024))];
    check(vec![tiny("embed-f16")], &embeds).await;
}

#[tokio::test]
async fn the_real_model_takes_what_was_computed() {
    let quantised = RunParameters { keys: KvType::Q8_0, values: KvType::Q8_0, ..RunParameters::new(4, 8192) };
    let mixed = RunParameters { keys: KvType::Q8_0, values: KvType::Q4_0, ..RunParameters::new(2, 4096) };
    let runs = [
        ("2 x 2048", RunParameters::new(2, 2048)),
        ("4 x 8192", RunParameters::new(4, 8192)),
        ("1 x 300", RunParameters::new(1, 300)),
        ("4 x 8192, cache in q8_0", quantised),
        ("2 x 4096, cache in q8_0 and q4_0", mixed),
        ("2 x 4096, scores written down", RunParameters { flash: false, ..RunParameters::new(2, 4096) }),
        ("embeddings, 1 x 512", RunParameters::embedding(1, 512)),
    ];
    check(vec![real::model()], &runs).await;
}

/// The weights of a loaded model are pages of its file, which the kernel counts as available; they are not promised again.
#[tokio::test]
async fn what_a_loaded_model_maps_is_not_free() {
    let (scratch, file) = (Scratch::new(), real::model());
    let engine = start(&scratch, &file, &RunParameters::new(1, 512)).await;
    let sample = auxot_gpu::sample_once(&auxot_gpu::Config::default());
    let held = sample.host.processes.iter().find(|held| held.pid == engine.pid()).unwrap();
    let (size, mapped) = (std::fs::metadata(&file).unwrap().len() as f64, held.mapped.unwrap() as f64);
    let less = (sample.host.free.unwrap() - Capacity::of(&sample, |_| 0).host.unwrap()) as f64;
    println!("file {:.1} MiB, mapped {:.1} MiB, {:.1} MiB less to promise", size / MIB, mapped / MIB, less / MIB);
    // Besides its file an engine maps its own code, and another test may run an engine at the same time.
    assert!(mapped >= size * 0.95 && mapped < size + 100.0 * MIB && less >= mapped);
}
