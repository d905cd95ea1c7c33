//! The settings of engine processes.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// Which engine is run, how, and how long each step may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The llama-server program: a path, or a name in `PATH`.
    pub binary: PathBuf,
    /// Requests that one model answers at the same time; unset means what the router's policy asks for, else 4.
    pub slots: Option<u32>,
    /// Context of one slot in tokens; unset means the model's training context, 8192 at most.
    pub ctx_size: Option<u32>,
    /// Layers on devices: `auto` (the engine decides), `all`, or a number; 0 is CPU only.
    pub gpu_layers: GpuLayers,
    /// Threads for decoding; unset means that the engine decides.
    pub threads: Option<u32>,
    /// Host memory that one engine may use to keep the state of earlier prompts.
    pub cache_ram: ByteSize,
    /// Checkpoints of windowed and recurrent layers that one engine may keep for each slot, in host memory.
    pub ctx_checkpoints: u32,
    /// Whether the engine's own dry run estimates a model's memory, where it has one.
    pub dry_run: bool,
    /// HTTP threads of the engine beyond one for each slot, for health checks and connections that wait.
    pub threads_http_spare: u32,
    /// Silence after which a streaming engine sends a comment; it is also how soon it notices a lost client.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub ping_interval: Duration,
    /// Arguments added to every engine's command line; they override ours.
    pub extra_args: Vec<String>,
    /// Private directory for sockets and records; unset means `$RUNTIME_DIRECTORY/engines`, else
    /// `$XDG_RUNTIME_DIR/auxot-worker`, else `/tmp/auxot-worker-UID`.
    pub runtime_dir: Option<PathBuf>,
    /// Folder of a log file for each model, with all that its engines print; unset means `$LOGS_DIRECTORY`, else `logs` in the
    /// state directory.
    pub log_dir: Option<PathBuf>,
    /// The most bytes of one log file; a full one is kept until the next one is full.
    pub log_file_size: ByteSize,
    /// The most bytes of all log files; beyond it those that were written longest ago are removed. 0 means no files.
    pub log_total_size: ByteSize,
    /// Longest silence of a loading engine: no state line, no output, nothing read.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub load_stall: Duration,
    /// From the first TERM to the second: time to finish the present computation, and the cost of a lost TERM.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub stop_grace: Duration,
    /// From the second TERM to KILL.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub stop_again: Duration,
    /// From KILL until the process counts as unkillable.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub stop_kill: Duration,
    /// Failures in a row after which a model has failed; the first is followed by an immediate restart.
    pub restart_budget: u32,
    /// Upper bound of the second restart's delay, which is random above its half; it doubles with each further one.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub restart_delay: Duration,
    /// Upper bound of every restart delay.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub restart_max_delay: Duration,
    /// After being ready for this long, earlier failures are forgotten.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub restart_reset_after: Duration,
    /// How often the health of an idle engine is checked.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub liveness_interval: Duration,
    /// How often it is checked while it has requests and makes progress with none.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub liveness_busy_interval: Duration,
    /// How long one check may take; three in a row without an answer end the process.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub liveness_timeout: Duration,
    /// Longest time in which a busy engine that answers health checks may neither make progress nor use the processor;
    /// an engine that uses it has ten times as long.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub liveness_stall: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            binary: PathBuf::from("llama-server"),
            slots: None,
            ctx_size: None,
            gpu_layers: GpuLayers::Auto,
            threads: None,
            cache_ram: ByteSize::mib(1024),
            ctx_checkpoints: 8,
            dry_run: true,
            threads_http_spare: 16,
            ping_interval: Duration::from_secs(10),
            extra_args: Vec::new(),
            runtime_dir: None,
            log_dir: None,
            log_file_size: ByteSize::mib(4),
            log_total_size: ByteSize::mib(128),
            load_stall: Duration::from_secs(120),
            stop_grace: Duration::from_secs(3),
            stop_again: Duration::from_secs(2),
            stop_kill: Duration::from_secs(5),
            restart_budget: 6,
            restart_delay: Duration::from_millis(500),
            restart_max_delay: Duration::from_secs(30),
            restart_reset_after: Duration::from_secs(60),
            liveness_interval: Duration::from_secs(10),
            liveness_busy_interval: Duration::from_millis(2500),
            liveness_timeout: Duration::from_millis(1500),
            liveness_stall: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// The longest time that a stop can take.
    #[must_use]
    pub fn stop_worst_case(&self) -> Duration {
        self.stop_grace + self.stop_again + self.stop_kill
    }
}

/// How many layers of a model are on devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "LayersText", into = "String")]
pub enum GpuLayers {
    /// The engine decides.
    #[default]
    Auto,
    /// Every layer.
    All,
    /// This many; 0 keeps the model off the devices.
    Count(u32),
}

/// A number from the file, or text from the environment: both are one setting.
#[derive(Deserialize)]
#[serde(untagged)]
enum LayersText {
    Number(u32),
    Word(String),
}

impl TryFrom<LayersText> for GpuLayers {
    type Error = String;

    fn try_from(text: LayersText) -> Result<Self, Self::Error> {
        match text {
            LayersText::Number(count) => Ok(GpuLayers::Count(count)),
            LayersText::Word(word) => match word.as_str() {
                "auto" => Ok(GpuLayers::Auto),
                "all" => Ok(GpuLayers::All),
                other => other
                    .parse()
                    .map(GpuLayers::Count)
                    .map_err(|_| format!("cannot read {other:?} as a number of layers: use auto, all or a number")),
            },
        }
    }
}

impl From<GpuLayers> for String {
    fn from(layers: GpuLayers) -> String {
        match layers {
            GpuLayers::Auto => "auto".into(),
            GpuLayers::All => "all".into(),
            GpuLayers::Count(count) => count.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_survives_a_round_trip() {
        let text = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), Config::default());
    }

    #[test]
    fn layers_are_a_number_or_a_word() {
        let read = |text: &str| serde_json::from_str::<GpuLayers>(text);
        assert_eq!(read("17").unwrap(), GpuLayers::Count(17));
        assert_eq!(read("\"0\"").unwrap(), GpuLayers::Count(0));
        assert_eq!(read("\"all\"").unwrap(), GpuLayers::All);
        assert_eq!(read("\"auto\"").unwrap(), GpuLayers::Auto);
        assert!(read("\"some\"").unwrap_err().to_string().contains("use auto, all or a number"));
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"slotz": 3}"#).is_err());
    }
}
