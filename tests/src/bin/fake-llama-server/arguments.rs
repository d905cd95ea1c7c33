//! The command line of the engine, read against the engine's own `--help`.
//!
//! As strict as the engine: a flag that b10434 does not list ends the program with the engine's text and exit code 1, so
//! that a wrong argument in the worker is found here and not on a user's host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::offload::Offload;

/// The flag column of the real `--help`, with the first line of each text and the environment names.
const HELP: &str = include_str!("help.txt");

/// The help text: the one of b10434, or that in the file which `FAKE_LLAMA_HELP` names, as another build has it.
pub(crate) static HELP_TEXT: LazyLock<String> = LazyLock::new(|| {
    let other = std::env::var_os("FAKE_LLAMA_HELP").and_then(|path| std::fs::read_to_string(path).ok());
    other.unwrap_or_else(|| HELP.to_owned())
});

/// Builds of 2024 indent their flags, and end with status 1 after the help.
pub(crate) fn is_of_2024() -> bool {
    HELP_TEXT.lines().any(|line| line.starts_with("  -"))
}

/// What `--version` writes, to stderr.
pub(crate) const VERSION: &str =
    "version: 0.1.0-dev (build 1, commit 7e4c0a9)\nbuilt with GNU 11.4.0 for Linux x86_64\n";

/// The switch by which the fake starts its own grandchild.
pub(crate) const GRANDCHILD: &str = "--be-a-grandchild";

/// The parsed command line.
#[derive(Debug)]
pub(crate) enum Action {
    Help,
    Version,
    ListDevices,
    Grandchild,
    Serve(Box<Arguments>),
}

/// The arguments that change the behaviour of the fake; all others are checked and dropped.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub model: PathBuf,
    pub alias: Option<String>,
    pub host: String,
    pub port: u16,
    pub api_key: Option<String>,
    pub ctx_size: u32,
    pub slots: u32,
    pub unified: bool,
    pub metrics: bool,
    pub slots_endpoint: bool,
    pub ping_seconds: i64,
    pub vision: bool,
    pub offload: Offload,
    /// The devices named by the arguments.
    pub devices: Vec<String>,
}

impl Arguments {
    /// Reads the words after the program's name; the error is the line the engine would write.
    pub(crate) fn parse(words: &[String]) -> Result<Action, String> {
        let flags = known_flags();
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if word == GRANDCHILD {
                return Ok(Action::Grandchild);
            }
            let plain = if word.starts_with("--") { word.replace('_', "-") } else { word.clone() };
            let Some(flag) = flags.get(plain.as_str()) else {
                return Err(format!("error: invalid argument: {word}"));
            };
            match flag.name {
                "--help" => return Ok(Action::Help),
                "--version" => return Ok(Action::Version),
                "--list-devices" => return Ok(Action::ListDevices),
                _ => {}
            }
            let value = match flag.takes_value {
                true => rest.next().ok_or_else(|| format!("error: invalid argument: {word}"))?.as_str(),
                false => plain_value(&plain),
            };
            given.insert(flag.name, value);
        }
        from_given(&given).map(|arguments| Action::Serve(Box::new(arguments)))
    }

    /// Context of one slot, rounded as the engine rounds it.
    pub(crate) fn ctx_per_slot(&self, trained: u32) -> u32 {
        let whole = if self.ctx_size == 0 { trained } else { self.ctx_size };
        let share = if self.unified { whole } else { whole.div_ceil(self.slots) };
        share.div_ceil(256).saturating_mul(256).min(trained)
    }
}

struct Flag {
    /// The last long name of its group; a `--no-…` form keeps the name of its group and gives the value "off".
    name: &'static str,
    takes_value: bool,
}

fn plain_value(word: &str) -> &'static str {
    if word.starts_with("--no-") || word.starts_with("-no") { "off" } else { "on" }
}

fn known_flags() -> BTreeMap<&'static str, Flag> {
    let mut flags = BTreeMap::new();
    for line in HELP_TEXT.lines().filter(|line| line.trim_start().starts_with('-') && !line.starts_with("-----")) {
        if line.len() - line.trim_start().len() > 12 {
            continue;
        }
        // The text begins in column 40, or 34; where the flags reach so far, it is on the next line.
        let text_at = if is_of_2024() { 34 } else { 40 };
        let column = if line.as_bytes().get(text_at - 1) == Some(&b' ') { &line[..text_at - 1] } else { line };
        let mut names = Vec::new();
        let mut takes_value = false;
        for word in column.split_whitespace() {
            let bare = word.trim_end_matches(',');
            if bare.starts_with('-') && bare.len() > 1 { names.push(bare) } else { takes_value = true }
        }
        let name = names
            .iter()
            .find(|name| name.starts_with("--") && !name.starts_with("--no-"))
            .or(names.last())
            .copied()
            .unwrap_or_default();
        for alias in names {
            flags.insert(alias, Flag { name, takes_value });
        }
    }
    flags
}

fn from_given(given: &BTreeMap<&str, &str>) -> Result<Arguments, String> {
    let model = given.get("--model").ok_or("error: --model is required: the fake has no router mode")?;
    let slots = number(given, "--parallel", -1)?;
    if slots == 0 {
        return Err("error while handling argument \"-np\": invalid value".into());
    }
    let unified = given.get("--kv-unified").map_or(slots < 0, |value| *value == "on");
    Ok(Arguments {
        model: PathBuf::from(model),
        alias: given.get("--alias").map(ToString::to_string),
        host: given.get("--host").unwrap_or(&"127.0.0.1").to_string(),
        port: number(given, "--port", 8080)?.try_into().unwrap_or(8080),
        api_key: given.get("--api-key").map(ToString::to_string),
        ctx_size: number(given, "--ctx-size", 0)?.try_into().unwrap_or(0),
        slots: if slots < 0 { 4 } else { slots.try_into().unwrap_or(1) },
        unified,
        metrics: given.get("--metrics") == Some(&"on"),
        slots_endpoint: given.get("--slots") != Some(&"off"),
        ping_seconds: number(given, "--sse-ping-interval", 30)?,
        vision: given.contains_key("--mmproj"),
        offload: Offload::read(given)?,
        devices: given.get("--device").map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default(),
    })
}

fn number(given: &BTreeMap<&str, &str>, name: &str, default: i64) -> Result<i64, String> {
    given
        .get(name)
        .map_or(Ok(default), |text| text.parse().map_err(|_| format!("error while handling argument \"{name}\": stoi")))
}
