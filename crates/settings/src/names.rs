//! The external names of settings: historical variables, and the variables of sibling programs.

use crate::nearest::nearest;

/// A key with a flat variable and a flag of the same name.
#[derive(Debug, Clone, Copy)]
pub struct SettingName {
    /// Dotted key in the tree.
    pub key: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// Flag without dashes; the name of the variable in another case, which a test ensures.
    pub flag: &'static str,
    /// The upstream worker's name for the flag, if it differs.
    pub alias: Option<&'static str>,
    /// Placeholder for the value in the help text.
    pub value: &'static str,
    /// One sentence for the help text.
    pub help: &'static str,
}

/// A key that had another name in the last release.
#[derive(Debug, Clone, Copy)]
pub struct RenamedSetting {
    /// The old dotted key.
    pub old: &'static str,
    /// The dotted key.
    pub key: &'static str,
    /// The old flat variable and its flag, for a key that has such names.
    pub flat: Option<FlatNames>,
}

/// A flat variable and the flag of the same name.
#[derive(Debug, Clone, Copy)]
pub struct FlatNames {
    /// Environment variable.
    pub variable: &'static str,
    /// Flag without dashes.
    pub flag: &'static str,
}

/// All external names of one program.
#[derive(Debug, Clone, Copy)]
pub struct SettingNames {
    /// Keys with a flat name. Every other key has only the nested form `AUXOT_SECTION__KEY`.
    pub table: &'static [SettingName],
    /// Keys that had another name in the last release.
    pub renamed: &'static [RenamedSetting],
    /// Variables of sibling programs, which are ignored; `AUXOT_MCP_*` matches all with that prefix.
    pub foreign: &'static [&'static str],
    /// Refused variables, each with the reason.
    pub refused: &'static [(&'static str, &'static str)],
}

impl SettingNames {
    /// The key of a flat variable, under its present or its old name.
    pub(crate) fn by_variable(&self, variable: &str) -> Option<&'static str> {
        let present = self.table.iter().find(|name| name.variable == variable).map(|name| name.key);
        let old = |renamed: &&RenamedSetting| renamed.flat.is_some_and(|flat| flat.variable == variable);
        present.or_else(|| self.renamed.iter().find(old).map(|renamed| renamed.old))
    }

    pub(crate) fn is_foreign(&self, variable: &str) -> bool {
        self.foreign.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => variable.starts_with(start),
            None => variable == *name,
        })
    }

    pub(crate) fn refusal(&self, variable: &str) -> Option<&'static str> {
        self.refused.iter().find(|(name, _)| *name == variable).map(|(_, why)| *why)
    }

    /// The known name most similar to an unknown one; `nested` are the nested variables.
    pub(crate) fn nearest_variable(&self, variable: &str, nested: &[String]) -> Option<String> {
        let flat = self.table.iter().map(|name| name.variable).chain(["AUXOT_CONFIG"]);
        nearest(variable, flat.chain(nested.iter().map(String::as_str)))
    }
}

/// The nested variable of a key: `engine.cache_ram` is `AUXOT_ENGINE__CACHE_RAM`.
#[must_use]
pub fn nested_variable(key: &[String]) -> String {
    format!("{PREFIX}{}", key.iter().map(|part| part.to_ascii_uppercase()).collect::<Vec<_>>().join("__"))
}

/// The prefix of every variable of these programs.
pub(crate) const PREFIX: &str = "AUXOT_";

/// The variable that names the configuration file.
pub(crate) const CONFIG: &str = "AUXOT_CONFIG";

/// The worker's names: those of the upstream worker where it has them, others in the same style.
pub const NAMES: SettingNames = SettingNames {
    table: &[
        name("router.url", "AUXOT_ROUTER_URL", "router-url", "URL", "Address of the router; a bare host means TLS"),
        name("router.key", "AUXOT_GPU_KEY", "gpu-key", "KEY", "The worker key; moved to the environment at the start"),
        name("router.key_file", "AUXOT_GPU_KEY_FILE", "gpu-key-file", "FILE", "File that holds the worker key"),
        name(
            "router.ca_file",
            "AUXOT_CA_FILE",
            "ca-file",
            "FILE",
            "PEM file of authorities trusted in addition to the system's",
        ),
        name(
            "router.connections",
            "AUXOT_ROUTER_CONNECTIONS",
            "router-connections",
            "auto|N",
            "Connections to the router",
        ),
        name(
            "router.heartbeat_interval",
            "AUXOT_HEARTBEAT_INTERVAL",
            "heartbeat-interval",
            "TIME",
            "Time between heartbeats",
        ),
        name(
            "router.reconnect_delay",
            "AUXOT_RECONNECT_DELAY",
            "reconnect-delay",
            "TIME",
            "First pause before a new attempt",
        ),
        name(
            "router.reconnect_max_delay",
            "AUXOT_RECONNECT_MAX_DELAY",
            "reconnect-max-delay",
            "TIME",
            "Longest pause before a new attempt",
        ),
        name("router.job_timeout", "AUXOT_JOB_TIMEOUT", "job-timeout", "TIME", "Longest time for a whole job"),
        name(
            "fleet.autoload",
            "AUXOT_GPU_AUTOLOAD_MODELS",
            "gpu-autoload-models",
            "A,B",
            "Models to load at start, the primary one first",
        ),
        name("catalog.models_dir", "AUXOT_MODELS_DIR", "models-dir", "DIR:DIR", "Folders that hold models"),
        SettingName {
            alias: Some("model-path"),
            ..name("catalog.model_file", "AUXOT_MODEL_FILE", "model-file", "FILE", "One more model file, at any path")
        },
        SettingName {
            alias: Some("llama-server-path"),
            ..name(
                "engine.binary",
                "AUXOT_LLAMA_BINARY",
                "llama-binary",
                "FILE",
                "The llama-server program, or its name in PATH",
            )
        },
        name("engine.slots", "AUXOT_MAX_PARALLEL", "max-parallel", "N", "Requests that one model answers in parallel"),
        name("engine.ctx_size", "AUXOT_CTX_SIZE", "ctx-size", "TOKENS", "Context of one slot"),
        name(
            "engine.gpu_layers",
            "AUXOT_GPU_LAYERS",
            "gpu-layers",
            "auto|all|N",
            "Layers kept on devices; 0 is CPU only",
        ),
        name("engine.threads", "AUXOT_THREADS", "threads", "N", "Threads for decoding"),
        name(
            "engine.runtime_dir",
            "AUXOT_RUNTIME_DIR",
            "runtime-dir",
            "DIR",
            "Private directory for sockets and records",
        ),
        name(
            "gateway.addr",
            "AUXOT_GATEWAY_ADDR",
            "gateway-addr",
            "A,B",
            "Addresses for programs of this host, as 127.0.0.1:8080; unset is off",
        ),
        name("gpu.devices", "AUXOT_GPU_DEVICES", "gpu-devices", "A,B", "Devices that may be used, by index or id"),
        name("gpu.nvml_path", "AUXOT_NVML_PATH", "nvml-path", "FILE", "NVIDIA's management library"),
        name("metrics.host", "AUXOT_METRICS_HOST", "metrics-host", "ADDRESS", "Address to serve /metrics on"),
        name(
            "metrics.port",
            "AUXOT_METRICS_PORT",
            "metrics-port",
            "PORT",
            "Port to serve /metrics on; 0 takes a free one",
        ),
        name(
            "metrics.allowed_hosts",
            "AUXOT_METRICS_ALLOWED_HOSTS",
            "metrics-allowed-hosts",
            "A,B",
            "Further host names accepted in requests for metrics",
        ),
        name(
            "log.level",
            "AUXOT_LOG_LEVEL",
            "log-level",
            "LEVEL",
            "off, error, warn, info, debug, trace, or target=level,...",
        ),
        name("log.format", "AUXOT_LOG_FORMAT", "log-format", "text|json", "Log lines as text or as JSON"),
    ],
    renamed: &[
        renamed("engine.restart_heal", "engine.restart_reset_after"),
        renamed("fleet.patience", "fleet.preempt_after"),
        renamed("fleet.residency", "fleet.min_loaded_time"),
        RenamedSetting {
            flat: Some(FlatNames { variable: "AUXOT_METRICS_NAMES", flag: "metrics-names" }),
            ..renamed("metrics.names", "metrics.allowed_hosts")
        },
        renamed("router.ask_first", "router.wait_for_policy"),
        renamed("router.max_held", "router.max_job_memory"),
        renamed("router.surplus_time", "router.surplus_connection_time"),
    ],
    foreign: &[
        "AUXOT_ADMIN_KEY_HASH",
        "AUXOT_ALLOWED_TOOLS",
        "AUXOT_API_KEY_HASH",
        "AUXOT_AUTH_CACHE_TTL",
        "AUXOT_CLI_*",
        "AUXOT_DEAD_WORKER_TIMEOUT",
        "AUXOT_HEARTBEAT_CHECK_INTERVAL",
        "AUXOT_HOST",
        "AUXOT_HTTP_PORT",
        "AUXOT_LLAMA_CACHE_DIR",
        "AUXOT_MCP_*",
        "AUXOT_MODEL",
        "AUXOT_PORT",
        "AUXOT_QUANTIZATION",
        "AUXOT_REDIS_URL",
        "AUXOT_REGISTRY_FILE",
        "AUXOT_ROUTER_KEYS_FILE",
        "AUXOT_TOOLS_*",
        "AUXOT_WORKER_DEAD_THRESHOLD",
        "AUXOT_WORKER_TIMEOUT",
        "AUXOT_WORKER_TYPE",
    ],
    refused: &[(
        "AUXOT_LLAMA_URL",
        "not supported: an engine that another program started cannot be supervised; \
         unset it and name the program to start in AUXOT_LLAMA_BINARY",
    )],
};

const fn name(
    key: &'static str,
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    help: &'static str,
) -> SettingName {
    SettingName { key, variable, flag, alias: None, value, help }
}

const fn renamed(old: &'static str, key: &'static str) -> RenamedSetting {
    RenamedSetting { old, key, flat: None }
}
