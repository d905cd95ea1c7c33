//! The command line and environment of an engine; pure functions.
//!
//! Every value that the worker relies on is passed, even where it is the engine's default: defaults differ between builds,
//! and a configuration file of the host can change them. A flag is passed only if this build knows it, because an engine
//! exits over an unknown flag.

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use auxot_llama::Flags;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, GpuLayers};
use crate::spec::{Spec, Task};

/// Where the engine listens.
#[derive(Debug)]
pub(crate) enum Listen {
    /// On a socket in a directory that only our user can enter.
    Unix(PathBuf),
    /// On the loopback address, with a key against other users of this host.
    Tcp { port: u16, key: SecretString },
}

/// The arguments for one model.
///
/// `threads` is the number of threads where the operator sets none.
pub(crate) fn arguments(
    spec: &Spec,
    config: &Config,
    flags: &Flags,
    threads: Option<u32>,
    listen: &Listen,
) -> Vec<OsString> {
    let mut line = Arguments { args: Vec::new(), flags };
    line.pair("--model", &spec.file);
    if let Some(projector) = &spec.mmproj {
        line.pair("--mmproj", projector);
    }
    // Exactly one alias: of several the engine would answer with the alphabetically first.
    line.pair("--alias", &spec.model);
    match listen {
        Listen::Unix(path) => line.pair("--host", path),
        Listen::Tcp { port, .. } => {
            line.pair("--host", "127.0.0.1");
            line.pair("--port", port.to_string());
        }
    }
    capacity(&mut line, spec, config);
    if let Some(threads) = threads.filter(|_| !sets_threads(spec, config)) {
        line.pair("--threads", threads.to_string());
        line.known_pair("--threads-batch", threads.to_string());
    }
    layout(&mut line, spec, config);
    server_flags(&mut line, spec, config);
    line.args.extend(config.extra_args.iter().map(OsString::from));
    line.args.extend(spec.extra_args.iter().map(OsString::from));
    line.args
}

/// The optional flags that a build does not know, or knows in another form.
pub(crate) fn missing_flags(flags: &Flags) -> Vec<&'static str> {
    let (switches, valued) = (
        ["--no-kv-unified", "--jinja", "--metrics", "--slots", "--offline"],
        [
            "--device",
            "--threads-http",
            "--cache-ram",
            "--ctx-checkpoints",
            "--checkpoint-min-step",
            "--fit",
            "--reasoning-format",
            "--sse-ping-interval",
            "--sleep-idle-seconds",
            "--log-colors",
        ],
    );
    let switches = switches.into_iter().filter(|flag| flags.takes_value(flag) != Some(false));
    switches.chain(valued.into_iter().filter(|flag| flags.takes_value(flag) != Some(true))).collect()
}

/// Whether the operator has set the number of threads.
fn sets_threads(spec: &Spec, config: &Config) -> bool {
    let mut words = config.extra_args.iter().chain(&spec.extra_args);
    config.threads.is_some()
        || words.any(|word| matches!(&*word.replace('_', "-"), "-t" | "--threads" | "-tb" | "--threads-batch"))
        || spec.env.iter().any(|(name, _)| name == "LLAMA_ARG_THREADS")
}

/// The arguments of one model that decide its memory, for the program of the dry run. Extra arguments can be among them;
/// those that this program does not know are left out, because it exits over an unknown flag.
pub(crate) fn memory_arguments(spec: &Spec, config: &Config, flags: &Flags) -> Vec<OsString> {
    let mut line = Arguments { args: Vec::new(), flags };
    line.pair("--model", &spec.file);
    size(&mut line, spec);
    layout(&mut line, spec, config);
    line.args.extend(known(&config.extra_args, flags));
    line.args.extend(known(&spec.extra_args, flags));
    line.args
}

/// Removes the long flags that a program does not know, and their values.
fn known<'a>(words: &'a [String], flags: &'a Flags) -> impl Iterator<Item = OsString> + 'a {
    let mut is_known = true;
    words.iter().filter_map(move |word| {
        // Short flags are not among the parsed ones; a number below zero is a value.
        if word.starts_with('-') && word.parse::<f64>().is_err() {
            is_known = !word.starts_with("--") || flags.has(word);
        }
        is_known.then(|| word.into())
    })
}

/// Slots, context, threads and caches: always together, because each one's default depends on the others.
fn capacity(line: &mut Arguments<'_>, spec: &Spec, config: &Config) {
    size(line, spec);
    if let Some(threads) = config.threads {
        line.pair("--threads", threads.to_string());
    }
    // Each connection uses a thread; without spare ones a busy engine stops answering health checks.
    line.known_pair("--threads-http", spec.slots.max(1).saturating_add(config.threads_http_spare).to_string());
    line.known_pair("--cache-ram", (config.cache_ram.as_u64() >> 20).to_string());
    // For a large model with windows each is some hundred MiB, in every slot: the engine's 32 would exceed the model.
    line.known_pair("--ctx-checkpoints", config.ctx_checkpoints.to_string());
    line.known_pair("--checkpoint-min-step", spec.checkpoint_step.to_string());
}

fn size(line: &mut Arguments<'_>, spec: &Spec) {
    let slots = spec.slots.max(1);
    let ctx = spec.ctx_per_slot;
    line.pair("--ctx-size", (u64::from(slots) * u64::from(ctx)).to_string());
    line.pair("--parallel", slots.to_string());
    // With a shared pool, one overflow fails all running requests.
    line.known("--no-kv-unified");
    match spec.task {
        Task::Chat => {}
        Task::Embedding { pooling } => {
            line.known("--embeddings");
            line.known_pair("--pooling", pooling);
        }
        Task::Rerank => line.known("--reranking"),
    }
    if spec.task.reads_only() {
        // An input longer than the physical batch is refused, so the batch is as long as the context.
        line.pair("--batch-size", ctx.to_string());
        line.pair("--ubatch-size", ctx.to_string());
    }
}

/// The flag for the number of layers on devices.
const LAYERS: &str = "--n-gpu-layers";

fn layout(line: &mut Arguments<'_>, spec: &Spec, config: &Config) {
    if !spec.layout.iter().any(|word| word == LAYERS) {
        match config.gpu_layers {
            GpuLayers::Auto => {}
            // More than any model has: older builds accept numbers only.
            GpuLayers::All => line.pair(LAYERS, "9999"),
            GpuLayers::Count(count) => line.pair(LAYERS, count.to_string()),
        }
    }
    // Builds of 2024 have no flag for devices; variables select them.
    let layout: Vec<OsString> = known(&spec.layout, line.flags).collect();
    line.args.extend(layout);
    if let Some(kv_type) = &spec.kv_type {
        line.pair("--cache-type-k", kv_type);
        line.pair("--cache-type-v", kv_type);
    }
}

/// The flags for its log, its endpoints and its defaults.
fn server_flags(line: &mut Arguments<'_>, spec: &Spec, config: &Config) {
    // With it the engine loads everything twice and still does not fail when nothing fits.
    line.known_pair("--fit", "off");
    if !spec.task.reads_only() {
        line.known("--jinja");
        if line.flags.says("--reasoning-format", "deepseek") {
            line.known_pair("--reasoning-format", "deepseek");
        }
        // The default changed in autumn 2026, which changes the prompts of long conversations.
        line.known("--no-reasoning-preserve");
    }
    line.known_pair("--sse-ping-interval", config.ping_interval.as_secs().max(1).to_string());
    line.known_pair("--sleep-idle-seconds", "-1");
    line.known("--metrics");
    line.known("--slots");
    if line.flags.has("--no-ui") {
        line.known("--no-ui")
    } else {
        line.known("--no-webui")
    }
    line.known("--offline");
    // A prefix in a configuration file of the host would hide every path that the worker requests.
    line.known_pair("--api-prefix", "");
    line.known_pair("--log-colors", "off");
    // In older builds the same number means to log everything, and their default is enough.
    if line.flags.says("--log-verbosity", "3: info") {
        line.known_pair("--log-verbosity", "3");
    }
}

/// The arguments, and the flags that the build knows.
struct Arguments<'a> {
    args: Vec<OsString>,
    flags: &'a Flags,
}

impl Arguments<'_> {
    /// Adds two words, never `flag=value`, which the engine does not parse.
    fn pair(&mut self, flag: &str, value: impl AsRef<OsStr>) {
        self.args.extend([flag.into(), value.as_ref().to_owned()]);
    }

    /// Adds a switch, if this build knows it as one.
    fn known(&mut self, flag: &str) {
        if self.flags.takes_value(flag) == Some(false) {
            self.args.push(flag.into());
        }
    }

    /// Adds a flag with a value, if this build knows it as such.
    fn known_pair(&mut self, flag: &str, value: impl AsRef<OsStr>) {
        if self.flags.takes_value(flag) == Some(true) {
            self.pair(flag, value);
        }
    }
}

/// Variables of our own environment that an engine gets.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
];
/// Prefixes of such variables: those of device runtimes and the maths library.
const PASSED_PREFIXES: &[&str] =
    &["CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "GPU_", "GGML_", "VK_", "MESA_", "OMP_", "GOMP_", "ONEAPI_", "ZE_"];

/// The part of our environment that every engine gets. This is an allow list: our keys and settings for llama.cpp
/// (`LLAMA_ARG_…`, which would change the meaning of our arguments) stay out without being known by name.
pub(crate) fn scrubbed(ours: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    ours.filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    })
    .collect()
}

/// The environment of every program of the engine for one model: the scrubbed one, the model's own, and what the worker
/// relies on.
pub(crate) fn inherited(
    spec: &Spec,
    scrubbed: &[(OsString, OsString)],
    config_home: &Path,
) -> Vec<(OsString, OsString)> {
    let mut env = scrubbed.to_vec();
    let asked = spec.env.iter().filter(|(name, _)| !name.starts_with("AUXOT_"));
    env.extend(asked.map(|(name, value)| (name.into(), value.into())));
    // An empty directory of ours: the user's own llama.cpp settings must not apply.
    env.push(("XDG_CONFIG_HOME".into(), config_home.as_os_str().to_owned()));
    // A debugger that is forked on abort delays the exit by half a second, and its output hides the cause.
    env.push(("GGML_NO_BACKTRACE".into(), "1".into()));
    env
}

/// The environment for one model, on top of the scrubbed one.
pub(crate) fn environment(
    spec: &Spec,
    scrubbed: &[(OsString, OsString)],
    config_home: &Path,
    listen: &Listen,
) -> Vec<(OsString, OsString)> {
    let mut env = inherited(spec, scrubbed, config_home);
    let mut own = |name: &str, value: &OsStr| env.push((name.into(), value.to_owned()));
    // Child mode: state lines on standard output, and an exit when standard input ends. The number has no meaning.
    own("LLAMA_SERVER_ROUTER_PORT", OsStr::new("1"));
    if let Listen::Tcp { key, .. } = listen {
        // Never as an argument, which every user of this host can read.
        own("LLAMA_API_KEY", OsStr::new(key.expose_secret()));
    }
    env
}
