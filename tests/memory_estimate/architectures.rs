//! The memory computed from a header, for some 110 architectures, against the engine's figures.
//!
//! `architectures.jsonl` has a line for each model that `test-llama-archs -o DIR` of Debian's `llama.cpp-tests` (b11669) writes:
//! the keys that decide about memory, and the buffers that its `llama-server` prints for two sizes, in MiB. `dry_run` is what
//! `llama-fit-params` of `llama.cpp-tools-extra` counts as intermediate results.

use std::collections::{BTreeMap, BTreeSet};

use auxot_catalog::{Gguf, MemoryRequirements, RunParameters};
use serde::Deserialize;
use serde_json::{Value, json};

const MODELS: &str = include_str!("architectures.jsonl");
const MIB: f64 = (1 << 20) as f64;
/// The allowed error of the computed value, as a share of the engine's.
const ALLOWED: f64 = 0.10;
/// The engine prints hundredths of a MiB.
const PRINTED: f64 = 0.011;
/// A dry run prints whole MiB, rounded down.
const GRAIN: u64 = 1 << 20;

/// How far a corrected value may exceed the engine's.
const MOST: f64 = 1.55;
/// The architecture that a dry run misses too, and the share of its memory that is known.
const MISSED: &str = "minimax-01-moe";
const MISSING: f64 = 0.75;

/// Architectures that only the dry run estimates: attention by a computed index, hyper-connections, gates, and graphs
/// with a few rows more or less than ours.
const LEFT: [&str; 41] = [
    "bailingmoe-moe",
    "bailingmoe2-moe",
    "command-r-dense",
    "deepseek32-moe",
    "deepseek4-moe",
    "dots3note-moe",
    "falcon-h1-dense",
    "glm-dsa-moe",
    "glm5-next-moe",
    "granitehybrid-dense",
    "grok-moe",
    "hrm_text-dense",
    "hy_v4-moe",
    "jais-dense",
    "jamba-dense",
    "k2-horizon-dense",
    "k2-horizon-moe",
    "kimi-k3-moe",
    "kimi-linear-moe",
    "laguna-moe",
    "lfm2-dense",
    "llama4-moe",
    "maion-coder-moe",
    "mamba-dense",
    "mamba2-dense",
    "maple-moe",
    "mimo2-moe",
    "minicpm3-dense",
    "minimax-01-moe",
    "minimax-m3-moe",
    "nemotron_h-dense",
    "nemotron_h_moe-dense",
    "openelm-dense",
    "plamo-dense",
    "plamo2-dense",
    "qwen35moe-moe",
    "qwen3next-moe",
    "qwen4exp-moe",
    "refact-moe",
    "smallthinker-moe",
    "talkie-dense",
];

#[derive(Deserialize)]
struct Line {
    file: String,
    arch: String,
    keys: BTreeMap<String, Value>,
    vocabulary: u64,
    /// Whether each layer has experts.
    experts: Vec<u64>,
    engine: BTreeMap<String, PrintedSizes>,
}

#[derive(Deserialize)]
struct PrintedSizes {
    cache: f64,
    compute: f64,
    dry_run: [u64; 2],
}

impl Line {
    /// The header in the form of the catalog's cache.
    fn header(&self) -> Gguf {
        let value = |value: &Value| match value {
            Value::Bool(holds) => json!({"Bool": holds}),
            Value::Array(list) => json!({"Ints": list}),
            number if number.as_u64().is_some() => json!({"Uint": number}),
            number => json!({"Int": number}),
        };
        let mut kv: Vec<(String, Value)> =
            self.keys.iter().map(|(key, of)| (format!("{}.{key}", self.arch), value(of))).collect();
        kv.push((format!("{}.vocab_size", self.arch), json!({"Uint": self.vocabulary})));
        kv.push(("general.architecture".to_owned(), json!({"Text": self.arch})));
        kv.sort_by(|one, other| one.0.cmp(&other.0));
        kv.dedup_by(|one, other| one.0 == other.0);
        let blocks: Vec<Value> = self.experts.iter().map(|has| json!({"bytes": 0, "experts": has})).collect();
        let weights = json!({"total": 0, "blocks": blocks, "token_embd": 0, "output": 0, "tied": false, "other": 0,
            "tensors": 1, "parameters": 0});
        serde_json::from_value(json!({"version": 3, "kv": kv, "weights": weights, "file_len": 0})).unwrap()
    }
}

fn holds(computed: u64, printed: f64, grain: f64) -> bool {
    (computed as f64 / MIB - printed).abs() <= (printed * ALLOWED).max(grain)
}

fn parameters(size: &str) -> RunParameters {
    let (slots, ctx) = size.split_once('x').unwrap();
    RunParameters::new(slots.parse().unwrap(), ctx.parse().unwrap())
}

#[test]
fn what_is_computed_holds_for_every_architecture() {
    let (mut faults, mut left) = (Vec::new(), BTreeSet::new());
    for line in MODELS.lines().map(|line| serde_json::from_str::<Line>(line).unwrap()) {
        for (size, printed) in &line.engine {
            let requirements = match MemoryRequirements::of(&line.header(), None, &parameters(size)) {
                Ok(requirements) => requirements,
                Err(unknown) => {
                    faults.push(format!("{} {size}: {unknown}", line.file));
                    continue;
                }
            };
            let [dry_cache, dry_compute] = printed.dry_run.map(|mib| mib << 20);
            // The correction of a load, see `engine::binary::dry_run`.
            let cache =
                if requirements.cache().abs_diff(dry_cache) <= GRAIN { requirements.cache() } else { dry_cache };
            let compute = requirements.compute.max(dry_compute.saturating_sub(requirements.all_rows));
            let parts = [
                ("cache", requirements.cache(), cache, printed.cache),
                ("compute", requirements.compute, compute, printed.compute),
            ];
            for (part, computed, corrected, printed) in parts {
                let mib = computed as f64 / MIB;
                println!(
                    "{:<20} {size} {part:<8} {mib:>9.2} {printed:>9.2} MiB {:>+8.1} %",
                    line.file,
                    (mib / printed - 1.0) * 100.0
                );
                if holds(computed, printed, PRINTED) {
                    continue;
                }
                left.insert(line.file.clone());
                // A dry run is as exact as whole MiB and its rows. It is a lower bound: more is no fault, up to a limit.
                let exact = (GRAIN + requirements.all_rows) as f64 / MIB;
                let (corrected, known) = (corrected as f64 / MIB, if MISSED == line.file { MISSING } else { 1.0 });
                let is_good = (printed * known - exact..=printed * MOST).contains(&corrected);
                if !LEFT.contains(&&*line.file) || !is_good {
                    faults.push(format!(
                        "{} {size}: {part} computed {mib:.2} MiB, the engine takes {printed:.2} MiB",
                        line.file
                    ));
                }
            }
        }
    }
    for file in LEFT.iter().filter(|file| !left.contains(**file)) {
        faults.push(format!("{file} is left to the dry run, and need not be"));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
