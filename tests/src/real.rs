//! The real engine and real models, found or fetched by the scripts.
//!
//! `make test` runs the scripts once and passes their results on; a test run by hand runs them itself.

use std::path::PathBuf;
use std::process::Command;

/// A `llama-server` that works on this machine.
pub fn engine() -> PathBuf {
    found("REAL_ENGINE", "get-engine.sh")
}

/// By how many bytes an engine holds more or less of its own program than the sums have for it. That is no fault: a build of
/// fewer parts maps less, and a program that was written a moment ago is in memory whole, so that each fault maps more of it.
pub fn apart(pid: u32) -> u64 {
    // Parts that it lacks would have kept something too.
    let kept = if is_small(pid) { 2 << 20 } else { 0 };
    program_pages(pid).abs_diff(PROGRAM_PAGES) + kept
}

/// Whether an engine is of fewer parts than the one that the sums were made with.
pub fn is_small(pid: u32) -> bool {
    program_pages(pid) < PROGRAM_PAGES / 4 * 3
}

/// What was measured for the sum, see `auxot_catalog`'s `need::process`.
const PROGRAM_PAGES: u64 = 23_040 << 10;

/// Bytes of a process that are pages of files other than models: its program and its libraries.
fn program_pages(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let (mut sum, mut is_program) = (0, false);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(kib)) if is_program => sum += kib.parse::<u64>().unwrap_or(0) << 10,
            // A mapping begins with its addresses, and ends with its file's path if it has one.
            (Some(first), _) if first.contains('-') => {
                let path = words.nth(3).unwrap_or_default();
                is_program = path.starts_with('/') && !path.ends_with(".gguf");
            }
            _ => {}
        }
    }
    sum
}

/// gemma-3-270m, 253 MB: real words at a real pace.
pub fn model() -> PathBuf {
    found("REAL_MODEL", "get-model.sh")
}

/// The folder of the tiny models, see `scripts/make-tiny-models.py`: `tiny-script-f16.gguf` and its like.
pub fn tiny_models() -> PathBuf {
    found("TINY_MODELS", "make-tiny-models.py")
}

/// The answer of `tiny-script-f16.gguf` to every prompt.
pub const SENTENCE: &str = "Hello from a tiny model. It always says exactly this and then it stops.";

fn found(variable: &str, script: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return PathBuf::from(path);
    }
    // Read at run time: the target folder is shared between checkouts, and the one that compiled this may be gone.
    let here =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let script = here.join("../scripts").join(script);
    let output = Command::new(&script).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed:\n{said}", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
