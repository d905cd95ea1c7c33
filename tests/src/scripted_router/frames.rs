//! The frames a router sends, as JSON.

use serde_json::{Value, json};

/// A connection id that is not the open-source router's.
pub const HOSTED_ID: &str = "gpu-1";
/// A connection id in the form of the open-source router.
pub const OPEN_SOURCE_ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A policy.
pub fn policy(model: &str, quantization: &str, context_size: u32, max_parallelism: u32) -> Value {
    json!({
        "model_name": model, "quantization": quantization, "context_size": context_size,
        "max_parallelism": max_parallelism, "capabilities": ["chat"],
    })
}

/// The `hello_ack` of a router that accepts the key.
pub fn ack(gpu_id: &str, policy: &Value) -> Value {
    json!({"type": "hello_ack", "success": true, "gpu_id": gpu_id, "policy": policy})
}

/// A job with one user message.
pub fn job(job_id: &str, content: &str) -> Value {
    json!({"type": "job", "job_id": job_id, "messages": [{"role": "user", "content": content}]})
}

/// The same for one of several models.
pub fn job_for(job_id: &str, model: &str, content: &str) -> Value {
    let mut job = job(job_id, content);
    job["model"] = model.into();
    job
}

/// A job that the fake engine answers with `text`.
pub fn saying(job_id: &str, text: &str) -> Value {
    job(job_id, &format!("fake: --text '{text}'"))
}
