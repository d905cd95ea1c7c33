//! The small endpoints: health, properties, slots, models, metrics.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::model::TRAINED_CTX;

/// `GET /props`, without the sampling parameters, which no test reads.
pub(crate) fn props(engine: &Engine) -> Value {
    let vision = engine.arguments.vision;
    json!({
        "default_generation_settings": {"params": {}, "n_ctx": engine.ctx_per_slot()},
        "total_slots": engine.arguments.slots,
        "model_alias": engine.arguments.alias.as_deref().unwrap_or(""),
        "model_ftype": "F16",
        "model_path": engine.arguments.model.display().to_string(),
        "modalities": {"vision": vision, "video": false, "audio": false},
        "endpoint_slots": engine.arguments.slots_endpoint,
        "endpoint_props": false,
        "endpoint_metrics": engine.arguments.metrics,
        "ui": false,
        "chat_template": "",
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "build_info": "b1-7e4c0a9",
        "is_sleeping": false,
    })
}

/// `GET /slots`.
pub(crate) fn slots(engine: &Engine) -> Value {
    let n_ctx = engine.ctx_per_slot();
    let slot = |(id, busy)| json!({"id": id, "n_ctx": n_ctx, "speculative": false, "is_processing": busy});
    Value::Array(engine.slots.busy().into_iter().enumerate().map(slot).collect())
}

/// `GET /v1/models`.
pub(crate) fn models(engine: &Engine) -> Value {
    let name = engine.model_name();
    json!({
        "models": [{
            "name": name, "model": name, "modified_at": "", "size": "", "digest": "", "type": "model",
            "description": "", "tags": [""], "capabilities": ["completion"], "parameters": "",
            "details": {"parent_model": "", "format": "gguf", "family": "", "families": [""],
                        "parameter_size": "", "quantization_level": ""},
        }],
        "object": "list",
        "data": [model_entry(engine)],
    })
}

/// The entry of one model, which is also the payload of the `ready` state line.
pub(crate) fn model_entry(engine: &Engine) -> Value {
    let name = engine.model_name();
    json!({
        "id": name, "aliases": [name], "tags": [], "object": "model", "created": engine.created,
        "owned_by": "llamacpp",
        "meta": {"vocab_type": 1, "n_vocab": 581, "n_ctx": engine.ctx_per_slot(), "n_ctx_train": TRAINED_CTX,
                 "n_embd": 256, "n_params": 1_478_400, "size": 2_959_360, "ftype": "F16"},
    })
}

/// `GET /metrics`: the engine's names, those figures that the fake knows.
pub(crate) fn metrics(engine: &Engine) -> String {
    let counters = &engine.counters;
    let busy = engine.slots.busy().iter().filter(|busy| **busy).count() as u64;
    let rows = [
        ("counter", "prompt_tokens_total", counters.prompt_tokens.load(Ordering::Relaxed)),
        ("counter", "tokens_predicted_total", counters.predicted_tokens.load(Ordering::Relaxed)),
        ("counter", "n_decode_total", counters.decodes.load(Ordering::Relaxed)),
        ("gauge", "requests_processing", busy),
        ("gauge", "requests_deferred", engine.slots.waiting()),
    ];
    let mut text = String::new();
    for (kind, name, value) in rows {
        // A String takes all that is written to it.
        let _ = writeln!(text, "# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}");
    }
    text
}
