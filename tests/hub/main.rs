//! `auxot-worker pull` before a fake hub with a switch for every fault.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod downloads;
mod faults;
mod interruptions;
mod missing_models;
mod names;
mod refusals;
mod upkeep;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use auxot_tests::gguf::ModelFile;
use auxot_tests::{DEADLINE, Scratch, binaries};
use serde_json::Value;

/// Bytes of a model's file here, more than a few pieces of a body.
const SIZE: usize = 3_000_000;
/// The pause between two looks at a file.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A hub and a host that downloads from it.
struct TestHub {
    scratch: Scratch,
    program: Child,
    endpoint: String,
}

impl TestHub {
    /// A hub with the repository `owner/m-GGUF`: one model in two quantisations, one of them in two shards, and a projector.
    fn new() -> Self {
        let scratch = Scratch::new();
        let program =
            Command::new(binaries::program("fake-hub")).arg(scratch.join("hub")).stdout(Stdio::piped()).spawn();
        let mut program = program.unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.split_whitespace().nth(1).unwrap_or_else(|| panic!("no address: {line}")).to_owned();
        let hub = Self { scratch, program, endpoint };
        hub.add("m-Q4_K_M.gguf", &ModelFile::named("m"));
        for part in 0..2 {
            let file = ModelFile { split: Some((part, 2)), ..ModelFile::named("m") };
            hub.add(&format!("Q8_0/m-Q8_0-0000{}-of-00002.gguf", part + 1), &file);
        }
        hub.add("mmproj-F16.gguf", &ModelFile { arch: "clip".to_owned(), ..ModelFile::named("m") });
        hub
    }

    fn repository(&self) -> PathBuf {
        self.scratch.join("hub/owner/m-GGUF")
    }

    /// Adds a file to the repository, with other bytes behind each other file's end.
    fn add(&self, path: &str, model: &ModelFile) {
        let place = self.repository().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let mut bytes = model.bytes();
        let mut number = path.bytes().fold(1_u32, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
        while bytes.len() < SIZE {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.extend(number.to_le_bytes());
        }
        std::fs::write(place, bytes).unwrap();
    }

    /// Sets the hub's switches.
    fn switch(&self, switches: &str) {
        std::fs::write(self.scratch.join("hub/switches"), switches).unwrap();
    }

    /// A pull of this source, with short pauses.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::program("auxot-worker"));
        command.args(arguments).current_dir(self.scratch.path()).env_clear().env("HOME", self.scratch.path());
        command.env("AUXOT_MODELS_DIR", self.scratch.models()).env("HF_ENDPOINT", &self.endpoint).env("COLUMNS", "100");
        command.env("AUXOT_HUB__RETRY_DELAY", "1ms").env("AUXOT_HUB__RETRY_MAX_DELAY", "2ms");
        command
    }

    fn pull(&self, source: &str) -> Output {
        self.command(&["pull", source]).output().unwrap()
    }

    /// A pull that must succeed; its events.
    #[track_caller]
    fn pulled(&self, source: &str) -> Vec<Value> {
        let output = self.command(&["pull", source, "--json"]).output().unwrap();
        assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    /// A pull that must fail with this exit code; its error.
    #[track_caller]
    fn fails(&self, source: &str, code: i32) -> String {
        let output = self.pull(source);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{source}: {error}");
        error.lines().last().unwrap_or_default().to_owned()
    }

    /// Where a file of the repository comes to lie.
    fn place(&self, path: &str) -> PathBuf {
        self.scratch.models().join("owner_m-GGUF").join(path)
    }

    /// The file must be as the hub has it.
    #[track_caller]
    fn assert_whole(&self, path: &str) {
        let (here, there) = (std::fs::read(self.place(path)), std::fs::read(self.repository().join(path)).unwrap());
        assert!(here.unwrap_or_default() == there, "{path} differs");
    }

    /// The requests so far that contain this text.
    fn requests(&self, text: &str) -> Vec<String> {
        let all = std::fs::read_to_string(self.scratch.join("hub/requests")).unwrap_or_default();
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        let _ended_already = self.program.kill().and_then(|()| self.program.wait());
    }
}

/// Waits until a condition of the file system holds.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} does not happen");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// The events of this name.
fn events<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}
