//! The commands `models`, `models show`, `fit` and `config import`, without key, router and engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod fit;
mod import;
mod models;
mod service;
mod stores;

use std::process::{Command, Output};

use auxot_tests::{FakeNvml, Scratch, binaries};
use serde_json::Value;

/// A host with models and possibly cards.
struct TestHost {
    scratch: Scratch,
    cards: Option<FakeNvml>,
}

impl TestHost {
    fn new() -> TestHost {
        TestHost { scratch: Scratch::new(), cards: None }
    }

    /// A host with cards, each with its total and used MiB and its name.
    fn with_cards(cards: &[(u64, u64, &str)]) -> TestHost {
        let scratch = Scratch::new();
        let driver = FakeNvml::new(scratch.path());
        driver.cards(cards);
        TestHost { scratch, cards: Some(driver) }
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

    /// Standard output of a command that must exit with this code and print no error.
    fn text(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*errors), (Some(code), ""), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\x1b'), "no colours without a terminal");
        // The folder differs from run to run.
        text.replace(&self.scratch.models().display().to_string(), "MODELS")
    }

    fn json(&self, arguments: &[&str], code: i32) -> Value {
        serde_json::from_str(&self.text(arguments, code)).unwrap()
    }
}
