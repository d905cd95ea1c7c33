//! The real engine and real models, as the scripts find or get them.
//!
//! `make test` asks the scripts once and hands their answers on; a test run by hand asks them itself.

use std::path::PathBuf;
use std::process::Command;

/// A `llama-server` that works on this machine.
pub fn engine() -> PathBuf {
    found("REAL_ENGINE", "get-engine.sh")
}

/// By how many bytes the engine's own pages may be others than those that sums were made with. What a program takes for itself
/// was measured with the prebuilt engine; one that was built here is one file with fewer parts, and takes some 12 MiB less.
pub fn apart() -> u64 {
    let engine = engine();
    let is_measured = ["prebuilt", "portable"].iter().any(|build| engine.to_string_lossy().contains(build));
    if is_measured { 0 } else { 16 << 20 }
}

/// gemma-3-270m, 253 MB: real words at a real pace.
pub fn model() -> PathBuf {
    found("REAL_MODEL", "get-model.sh")
}

/// The folder of the tiny models, see `scripts/make-tiny-models.py`: `tiny-script-f16.gguf` and its like.
pub fn tiny_models() -> PathBuf {
    found("TINY_MODELS", "make-tiny-models.py")
}

/// What `tiny-script-f16.gguf` says, whatever it is asked.
pub const SENTENCE: &str = "Hello from a tiny model. It always says exactly this and then it stops.";

fn found(variable: &str, script: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return PathBuf::from(path);
    }
    // Asked for at run time: the target folder is shared between checkouts, and the one that compiled this may be gone.
    let here =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let script = here.join("../scripts").join(script);
    let output = Command::new(&script).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed:\n{said}", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
