//! The settings of the connection to the router.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The router's address, the worker key, and the time limits of connections and jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the router, in any form that [`crate::RouterUrl`] reads; a bare host means TLS.
    pub url: String,
    /// The worker key. Prefer `key_file` or the environment over the configuration file.
    #[serde(skip_serializing)]
    pub key: Option<SecretString>,
    /// File whose first line is the worker key; readable by its owner only.
    pub key_file: Option<PathBuf>,
    /// What the worker does when the router refuses its key, twice and without ever having taken it.
    pub key_refused: KeyRefused,
    /// PEM file of certificate authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections to the router: `auto`, or a fixed number.
    pub connections: Connections,
    /// Whether the first start waits for the router's policy before it loads a model.
    pub wait_for_policy: bool,
    /// How long surplus connections stay open before they are closed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub surplus_connection_time: Duration,
    /// Time between two heartbeats; the router drops a worker after 90 s without one.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub heartbeat_interval: Duration,
    /// Upper end of the first random pause before a new connection attempt.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub reconnect_delay: Duration,
    /// Upper end that the random pause grows to.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub reconnect_max_delay: Duration,
    /// Limit for the TCP connection, TLS and the WebSocket upgrade together.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub connect_timeout: Duration,
    /// Limit for the router's answer to `hello`.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub hello_timeout: Duration,
    /// The connection is dead after this time without a received byte. `0s` means max(3 heartbeats, 45 s).
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub silence_timeout: Duration,
    /// The connection is dead when its socket takes no byte for this time.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub write_timeout: Duration,
    /// Limit for a whole job, from its arrival to its end.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub job_timeout: Duration,
    /// Limit from the request's last byte to the engine's status line.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub headers_timeout: Duration,
    /// Limit for the engine's silence inside an answer; the engine sends a comment every few seconds.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub idle_timeout: Duration,
    /// How long a job goes on after its connection is lost, until the router sends it again.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub adopt_window: Duration,
    /// Largest message accepted from the router, in bytes; a job may carry images.
    pub max_message: bytesize::ByteSize,
    /// The most bytes of all jobs together, running or waiting; a further job is refused.
    pub max_job_memory: bytesize::ByteSize,
    /// Whether to report prompt progress; some routers log a warning for each report.
    pub prompt_progress: ProgressReports,
    /// Answer a `cancel` with an error message; the hosted router expects no answer.
    pub confirm_cancel: bool,
    /// Parse `<think>` and XML tool calls in the text, for models whose template the engine does not know.
    pub text_markers: bool,
    /// Refuse a job whose last three tool rounds are identical.
    pub tool_loop_guard: bool,
    /// Hosts from which an engine may fetch images, in lower case; a job that names another host is refused.
    pub image_hosts: Vec<String>,
    /// The folder of the router's last policy; by default `~/.local/state/auxot`.
    pub state_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "auxot.com".to_owned(),
            key: None,
            key_file: None,
            key_refused: KeyRefused::End,
            ca_file: None,
            connections: Connections::Auto,
            wait_for_policy: true,
            surplus_connection_time: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(30),
            reconnect_delay: Duration::from_secs(2),
            reconnect_max_delay: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(45),
            hello_timeout: Duration::from_secs(30),
            silence_timeout: Duration::ZERO,
            write_timeout: Duration::from_secs(20),
            job_timeout: Duration::from_secs(30 * 60),
            headers_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            adopt_window: Duration::from_secs(60),
            max_message: bytesize::ByteSize::mib(256),
            max_job_memory: bytesize::ByteSize::mib(512),
            prompt_progress: ProgressReports::Auto,
            confirm_cancel: false,
            text_markers: false,
            tool_loop_guard: true,
            image_hosts: Vec::new(),
            state_dir: None,
        }
    }
}

impl Config {
    /// The silence after which a connection is dead; the automatic value is computed here.
    #[must_use]
    pub fn silence(&self) -> Duration {
        if self.silence_timeout.is_zero() {
            (self.heartbeat_interval * 3).max(Duration::from_secs(45))
        } else {
            self.silence_timeout
        }
    }
}

/// The number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ConnectionsText", into = "String")]
pub enum Connections {
    /// One; or one for each slot when the router gives a connection one job at a time.
    Auto,
    /// A fixed number; each announces its share of the slots.
    Fixed(u16),
}

/// A number or a word, as a file or the environment holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ConnectionsText {
    Word(String),
    Number(u64),
}

impl TryFrom<ConnectionsText> for Connections {
    type Error = String;

    fn try_from(text: ConnectionsText) -> Result<Self, String> {
        let word = match text {
            ConnectionsText::Word(word) => word,
            ConnectionsText::Number(number) => number.to_string(),
        };
        if word.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        match word.parse::<u16>() {
            Ok(count) if (1..=256).contains(&count) => Ok(Self::Fixed(count)),
            _ => Err(format!("expected `auto` or a number from 1 to 256, found `{word}`")),
        }
    }
}

impl From<Connections> for String {
    fn from(connections: Connections) -> Self {
        match connections {
            Connections::Auto => "auto".to_owned(),
            Connections::Fixed(count) => count.to_string(),
        }
    }
}

/// What the worker does when the router refuses the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRefused {
    /// The worker ends, unless the router has accepted the key before.
    End,
    /// The worker tries again once a minute.
    Retry,
}

/// Whether `prompt_progress` messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgressReports {
    /// Sent unless the router is the open-source one, which logs a warning for each.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
