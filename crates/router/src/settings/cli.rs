//! The command line. `settings` parses the values, so that all faults are reported together.

use clap::{Args, Parser, Subcommand};

use super::control::{PageArgs, RouterArgs, StatusArgs};
use super::keys::KeysCommand;

/// With the commit, if built from a repository.
const VERSION: &str = env!("AUXOT_VERSION");

/// All exit codes.
const EXIT_CODES: &str = "Exit codes: 0 success, 1 the system does not allow it (a port that is taken), \
                          64 a setting, an argument or a key file cannot be used, 69 no running router was found.";

/// The embedded auxot router: connects workers to clients of the OpenAI chat API.
#[derive(Debug, Parser)]
#[command(name = "auxot-router", version = VERSION, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// The command; `serve` by default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the router.
    Serve(Box<ServeArgs>),
    /// Show what is wrong, and each worker with its health, devices, models and times; other providers; keys.
    Status(StatusArgs),
    /// Print a link, good once, to a page in a browser of this host: workers, other providers, keys.
    Page(PageArgs),
    /// Offer the status and the keys to an agent as MCP tools, on standard input and output.
    Mcp(RouterArgs),
    /// Create, list, revoke and replace keys.
    Keys {
        /// The command.
        #[command(subcommand)]
        command: KeysCommand,
    },
}

/// Arguments of `serve`.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// Address to listen on [env: AUXOT_HOST] [default: 127.0.0.1].
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port; 0 takes a free one and logs it [env: AUXOT_PORT] [default: 8080].
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Certificate for TLS, PEM, with those of its authorities behind it [env: AUXOT_TLS_CERTIFICATE].
    #[arg(long, value_name = "PATH")]
    pub tls_certificate: Option<String>,
    /// Key of the certificate, PEM [env: AUXOT_TLS_KEY].
    #[arg(long, value_name = "PATH")]
    pub tls_key: Option<String>,
    /// Key file [env: AUXOT_ROUTER_KEYS_FILE] [default: ~/.config/auxot/router-keys].
    #[arg(long, value_name = "PATH")]
    pub keys_file: Option<String>,
    /// File with `[[providers]]` beside the workers [env: AUXOT_ROUTER_PROVIDERS_FILE].
    #[arg(long, value_name = "PATH")]
    pub providers_file: Option<String>,
    /// Address for metrics, at /metrics without a key [env: AUXOT_METRICS_ADDR].
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_addr: Option<String>,
    /// Folder of the control socket, for the commands that ask this router [env: AUXOT_ROUTER_RUNTIME_DIR]
    /// [default: in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or /tmp].
    #[arg(long, value_name = "PATH")]
    pub runtime_dir: Option<String>,
    /// Port of the page on loopback; 0 takes a free one with the first request for it [env: AUXOT_ROUTER_PAGE_PORT]
    /// [default: 0].
    #[arg(long, value_name = "PORT")]
    pub page_port: Option<String>,
    /// A worker without a heartbeat for this long is dead [env: AUXOT_WORKER_DEAD_THRESHOLD] [default: 90s].
    #[arg(long, value_name = "DURATION")]
    pub worker_dead_threshold: Option<String>,
    /// How long a job may wait, and how long its worker may be silent [env: AUXOT_JOB_TIMEOUT] [default: 5m].
    #[arg(long, value_name = "DURATION")]
    pub job_timeout: Option<String>,
    /// How long running jobs may continue after SIGTERM [env: AUXOT_DRAIN_TIMEOUT] [default: 30s].
    #[arg(long, value_name = "DURATION")]
    pub drain_timeout: Option<String>,
    /// How long the verdict on a key is cached [env: AUXOT_AUTH_CACHE_TTL] [default: 5m].
    #[arg(long, value_name = "DURATION")]
    pub auth_cache_ttl: Option<String>,
    /// Jobs that may wait for a worker [env: AUXOT_MAX_WAITING] [default: 1024].
    #[arg(long, value_name = "JOBS")]
    pub max_waiting: Option<String>,
    /// Bytes of all waiting and running requests together [env: AUXOT_MAX_BODIES] [default: 256MiB].
    #[arg(long, value_name = "SIZE")]
    pub max_bodies: Option<String>,
    /// How long a connection may be idle between two requests [env: AUXOT_IDLE_TIMEOUT] [default: 75s].
    #[arg(long, value_name = "DURATION")]
    pub idle_timeout: Option<String>,
    /// Time for a request's body, plus one second for each 16 KiB [env: AUXOT_BODY_TIMEOUT] [default: 30s].
    #[arg(long, value_name = "DURATION")]
    pub body_timeout: Option<String>,
    /// Model that workers should run; unset leaves each its own [env: AUXOT_MODEL].
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Its quantisation [env: AUXOT_QUANTIZATION].
    #[arg(long, value_name = "QUANT")]
    pub quantization: Option<String>,
    /// Context that workers should use, in tokens per slot [env: AUXOT_CTX_SIZE].
    #[arg(long, value_name = "TOKENS")]
    pub ctx_size: Option<String>,
    /// Slots that workers should have [env: AUXOT_MAX_PARALLEL].
    #[arg(long, value_name = "SLOTS")]
    pub max_parallel: Option<String>,
    /// error, warn, info, debug or trace [env: AUXOT_LOG_LEVEL] [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [env: AUXOT_LOG_FORMAT] [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}
