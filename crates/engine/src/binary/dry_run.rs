//! The engine's own dry run: what a model would take of each device, told before any weight is read.
//!
//! Beside its server llama.cpp builds `llama-fit-params`, which lays a model out without allocating anything and prints what
//! it counts. It knows every architecture that the engine knows, also those of which our own sum knows nothing. Where an
//! engine has it, it stands in the same folder.
//!
//! Its `compute` counts a row of results for each token of a batch, where the server wants one for each slot: with a large
//! vocabulary that is far too much (524 against 23 MiB for Gemma 3 270M). Weights and cache are exact.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use auxot_llama::Flags;

use crate::binary::question::{self, Unanswered};
use crate::command_line;
use crate::config::Config;
use crate::spawner::Spawner;
use crate::spec::Spec;

/// The program's name, beside the server's.
const PROGRAM: &str = "llama-fit-params";
/// What it calls the host's memory.
const HOST: &str = "Host";
const MIB: u64 = 1 << 20;

/// The program that does it.
#[derive(Debug, Clone)]
pub(crate) struct DryRun {
    program: PathBuf,
    flags: Flags,
}

/// What a model would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlay {
    /// Of each device that the engine was shown and uses, in its order.
    pub devices: Vec<Part>,
    /// Of the host's memory.
    pub host: Part,
}

/// What it would take of one of them, in bytes; whole MiB, rounded down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Weights.
    pub weights: u64,
    /// What is kept of the slots.
    pub cache: u64,
    /// Intermediate results, with a row of the vocabulary for each token of a batch.
    pub compute: u64,
}

/// Why there is no outlay.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The program gave no answer.
    #[error("cannot ask {}: {fault}", program.display())]
    Unanswered {
        /// The program.
        program: PathBuf,
        /// Why.
        fault: Unanswered,
    },
    /// It cannot do it.
    #[error("cannot learn from {} what a model would take: it ended with {status}: {words}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it said.
        words: String,
    },
    /// It said something else.
    #[error("cannot read what {} says: {words:?}", program.display())]
    Unreadable {
        /// The program.
        program: PathBuf,
        /// What it said, at most 200 characters.
        words: String,
    },
}

impl DryRun {
    /// Looks for the program beside an engine, and asks it what it can.
    pub(crate) async fn of(spawner: &Spawner, engine: &Path, env: &[(OsString, OsString)]) -> Option<DryRun> {
        let beside = |engine: &Path| Some(engine.with_file_name(PROGRAM)).filter(|program| program.is_file());
        // A link to an engine stands alone.
        let program = beside(engine).or_else(|| beside(&engine.canonicalize().ok()?))?;
        let help = question::ask(spawner, &program, &["--help".into()], env.iter().cloned()).await.ok()?;
        let flags = Flags::parse(&help.out);
        flags.has("--fit-print").then_some(DryRun { program, flags })
    }

    /// Asks what a model would take.
    pub(crate) async fn ask(
        &self,
        spawner: &Spawner,
        spec: &Spec,
        config: &Config,
        env: Vec<(OsString, OsString)>,
    ) -> Result<Outlay, DryRunError> {
        let mut arguments = command_line::of_memory(spec, config, &self.flags);
        arguments.extend(["--fit-print".into(), "on".into()]);
        let program = || self.program.clone();
        let answer = question::ask(spawner, &self.program, &arguments, env)
            .await
            .map_err(|fault| DryRunError::Unanswered { program: program(), fault })?;
        if !answer.status.success() {
            let (status, words) = (answer.status.to_string(), answer.last_words().to_owned());
            return Err(DryRunError::Failed { program: program(), status, words });
        }
        let words = || answer.out.chars().take(200).collect();
        Outlay::parse(&answer.out).ok_or_else(|| DryRunError::Unreadable { program: program(), words: words() })
    }
}

impl Outlay {
    /// Reads a line for each device and one for the host: a name without spaces, and three numbers in MiB.
    fn parse(text: &str) -> Option<Outlay> {
        let mut devices = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            // More than that nobody has: it is a number below zero, printed as if it were none.
            let mut bytes = || Some(u64::from(words.next()?.parse::<u32>().ok()?) * MIB);
            let part = Part { weights: bytes()?, cache: bytes()?, compute: bytes()? };
            if words.next().is_some() {
                return None;
            }
            if name == HOST {
                return Some(Outlay { devices, host: part });
            }
            devices.push(part);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_device_is_read() {
        let part = |weights: u64, cache: u64, compute: u64| Part {
            weights: weights * MIB,
            cache: cache * MIB,
            compute: compute * MIB,
        };
        let outlay = Outlay::parse("CUDA0 1504 112 304 \nCUDA1 1400 104 304 \nHost 166 0 20 \n").unwrap();
        assert_eq!(
            outlay,
            Outlay { devices: vec![part(1504, 112, 304), part(1400, 104, 304)], host: part(166, 0, 20) }
        );
        assert_eq!(Outlay::parse("Host 222 30 524\n").unwrap().devices, []);
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for text in ["", "CUDA0 1 2 3\n", "-c 8192 -ngl -1\n", "Host 1 2\n", "Host 1 2 3 4\n", "Host 1 2 -3\n"] {
            assert_eq!(Outlay::parse(text), None, "{text}");
        }
        for lie in [u64::MAX, u64::MAX / MIB, 1 << 32] {
            assert_eq!(Outlay::parse(&format!("Host {lie} 0 0")), None, "{lie}");
        }
    }
}
