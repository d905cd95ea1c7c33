//! `models`, `models show` and `fit` as a person or a script runs them: no key, no router, no engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fit;
mod models;

use std::process::{Command, Output};

use auxot_tests::{FakeNvml, Scratch, binaries};
use serde_json::Value;

/// A host with models, and perhaps cards.
struct Host {
    scratch: Scratch,
    cards: Option<FakeNvml>,
}

impl Host {
    fn new() -> Host {
        Host { scratch: Scratch::new(), cards: None }
    }

    /// Each card has so many MiB in total and in use, and a name.
    fn with_cards(cards: &[(u64, u64, &str)]) -> Host {
        let scratch = Scratch::new();
        let driver = FakeNvml::new(scratch.path());
        driver.cards(cards);
        Host { scratch, cards: Some(driver) }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::program("auxot-worker"));
        command.args(arguments).current_dir(self.scratch.path()).env_clear().env("HOME", self.scratch.path());
        command.env("AUXOT_MODELS_DIR", self.scratch.models()).env("COLUMNS", "100");
        if let Some(cards) = &self.cards {
            cards.show(&mut command);
        }
        command
    }

    /// Standard output of a command that must end with this code and complain of nothing.
    fn text(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*complaint), (Some(code), ""), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\x1b'), "no colours where no terminal is");
        // What differs from run to run.
        text.replace(&self.scratch.models().display().to_string(), "MODELS")
    }

    fn json(&self, arguments: &[&str], code: i32) -> Value {
        serde_json::from_str(&self.text(arguments, code)).unwrap()
    }
}
