//! What an operator may set about the router's door.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where the router is, how to prove who we are, and how long each silence may last.
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
    /// Connections to the router: one, a fixed number, or as many as its kind needs.
    pub connections: Connections,
    /// Ask the router for its policy before the first start loads anything.
    pub ask_first: bool,
    /// How long connections that are more than wanted stay open before they are closed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub surplus_time: Duration,
    /// Time between two heartbeats; the router forgets a worker after 90 s without one.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub heartbeat_interval: Duration,
    /// Upper end of the first random pause before a new connection attempt.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub reconnect_delay: Duration,
    /// Upper end that the random pause grows to.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub reconnect_max_delay: Duration,
    /// How long dialling, TLS and the WebSocket upgrade may take together.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub connect_timeout: Duration,
    /// How long the router may take to answer `hello`.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub hello_timeout: Duration,
    /// Nothing at all received for so long: the link is dead. `0s` means max(3 heartbeats, 45 s).
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub silence_timeout: Duration,
    /// A router that takes no byte for so long: the link is dead.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub write_timeout: Duration,
    /// A whole job, from its arrival to its end.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub job_timeout: Duration,
    /// From the request's last byte to the engine's status line.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub headers_timeout: Duration,
    /// The engine's longest silence inside an answer; it sends a comment every few seconds.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub idle_timeout: Duration,
    /// How long an answer is kept going after its link was lost, for the router to ask again.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub adopt_window: Duration,
    /// Largest message accepted from the router, in bytes; a job may carry images.
    pub max_message: bytesize::ByteSize,
    /// Bytes of all jobs that are held at once, running or waiting; one more is refused.
    pub max_held: bytesize::ByteSize,
    /// Whether to report how far a prompt is; some routers log a warning for each report.
    pub prompt_progress: ProgressReports,
    /// Answer a `cancel` with an error message too; the hosted router expects silence.
    pub confirm_cancel: bool,
    /// Read `<think>` and XML tool calls out of the text, for models whose template the engine does not know.
    pub text_markers: bool,
    /// Refuse a job whose last three tool rounds are identical.
    pub tool_loop_guard: bool,
    /// Hosts that an engine may fetch pictures from, in lower case; a job that names another is refused.
    pub image_hosts: Vec<String>,
    /// Where the router's last policy is remembered; by default `~/.local/state/auxot`.
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
            ask_first: true,
            surplus_time: Duration::from_secs(45),
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
            max_held: bytesize::ByteSize::mib(512),
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
    /// The silence after which a link is dead, with the automatic value worked out.
    #[must_use]
    pub fn silence(&self) -> Duration {
        if self.silence_timeout.is_zero() {
            (self.heartbeat_interval * 3).max(Duration::from_secs(45))
        } else {
            self.silence_timeout
        }
    }
}

/// How many connections to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub enum Connections {
    /// One; or one per slot where the router gives a connection one job at a time.
    Auto,
    /// Exactly so many, each announcing its share of the slots.
    Fixed(u16),
}

/// A number or a word, as a file or the environment may hold it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Word(String),
    Number(u64),
}

impl TryFrom<Text> for Connections {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let word = match text {
            Text::Word(word) => word,
            Text::Number(number) => number.to_string(),
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

/// What follows when the router refuses the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRefused {
    /// The worker ends, unless the router has taken the key before.
    End,
    /// The worker asks once a minute.
    Retry,
}

/// Whether `prompt_progress` messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgressReports {
    /// Unless the router is the open-source one, which warns about each.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
