//! Phrases in the output of engines that show the cause of an exit.

use super::ExitClass;

/// Phrases of llama-server and of the system, with the class that they mean. Order matters where one failure prints
/// several: the most exact cause comes first, and the general "failed to load model" has no entry.
const PHRASES: &[(ExitClass, &[&str])] = &[
    (
        ExitClass::DeviceMemory,
        &[
            "cudamalloc failed: out of memory",
            "hipmalloc failed: out of memory",
            "cuda error: out of memory",
            "rocm error: out of memory",
            "device memory allocation of size",
            "erroroutofdevicememory",
            "kiogpucommandbuffercallbackerroroutofmemory",
            "unable to allocate cuda",
            "unable to allocate rocm",
            "unable to allocate vulkan",
            "unable to allocate metal",
        ],
    ),
    (
        ExitClass::HostMemory,
        &[
            "ggml_aligned_malloc: insufficient memory",
            "std::bad_alloc",
            "cannot allocate memory",
            "unable to allocate cpu",
        ],
    ),
    // Also printed where a limit on memory left no space for the stack of one more thread.
    (
        ExitClass::TaskLimit,
        &["what():  resource temporarily unavailable", "thread creation failed: resource temporarily unavailable"],
    ),
    (
        ExitClass::DriverLost,
        &["vk::", "errordevicelost", "gpu is lost", "gpu has fallen off the bus", "driver shutting down"],
    ),
    // A disk or a network file system that fails is no property of the file.
    (
        ExitClass::Other,
        &[
            "input/output error",
            "stale file handle",
            "too many open files",
            "no space left on device",
            "compatible buffer type",
            "suitable buffer type",
            "failed to create ggml context",
        ],
    ),
    (
        ExitClass::UnknownArchitecture,
        &[
            "unknown model architecture",
            "this gguf file is version",
            "unknown (pre-)tokenizer",
            "unknown pre-tokenizer type",
        ],
    ),
    (
        ExitClass::BadFile,
        &[
            "gguf_init_from",
            "failed to open gguf file",
            "invalid magic characters",
            "failed to read magic",
            "failed to read header",
            "failed to read key-value pairs",
            "failed to read tensor info",
            "data is not within the file bounds",
            "key not found in model",
            "missing tensor",
            "failed to load multimodal model",
            "failed to load lora adapter",
            "model is corrupted or incomplete",
            "failed to read tensor data",
        ],
    ),
    (
        ExitClass::BadArgument,
        &[
            "error: invalid argument",
            // Builds of 2024.
            "error: unknown argument",
            "error while handling argument",
            "error while handling environment variable",
            "supplied chat template is not supported",
            "n_seq_max must be <=",
            "quantized v cache requires",
            "not found in its backend reg",
            "does not support split buffers",
            "llama_split_mode_tensor",
            "the argument has been removed",
        ],
    ),
    (
        ExitClass::SpawnRefused,
        &[
            "error while loading shared libraries",
            "symbol lookup error",
            "no backends are loaded",
            "no cpu backend found",
        ],
    ),
    (ExitClass::Bind, &["couldn't bind http server socket"]),
    (ExitClass::DriverLost, &["cuda error:", "rocm error:"]),
    // All other faults that the loader finds: a tensor of another shape, too many tensors, an unknown tokenizer.
    (
        ExitClass::BadFile,
        &["error loading model: ", "error loading model hyperparameters:", "error loading model vocabulary:"],
    ),
    (ExitClass::Assertion, &["ggml_assert", "ggml_abort", "assertion failed"]),
];

/// The line that matches the most exact phrase, and the class of that phrase.
pub(super) fn find_reason(lines: &[String], loaded: bool) -> Option<(ExitClass, &String)> {
    let lower: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    PHRASES.iter().filter(|(class, _)| !(loaded && class.is_about_loading())).find_map(|(class, phrases)| {
        let at = lower.iter().position(|line| phrases.iter().any(|phrase| line.contains(phrase)))?;
        Some((*class, &lines[at]))
    })
}

/// The last line of every engine, whatever it exits for.
const LAST_LINE: &str = "cleaning up before exit";

/// The line to show where no phrase matches: the first error of a load, the last line of an engine that has served.
pub(super) fn fallback_line(lines: &[String], loaded: bool) -> Option<&String> {
    let said = |line: &&String| !line.trim().is_empty() && !line.contains(LAST_LINE);
    let first_error = || lines.iter().find(|line| is_error(line));
    let last = || lines.iter().rev().find(said);
    if loaded { last() } else { first_error().or_else(last) }
}

/// Whether a line of the engine's log is an error: a time, then a letter for the level.
fn is_error(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let time = words.next().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    time && words.next() == Some("E")
}
