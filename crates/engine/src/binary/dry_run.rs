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

use crate::binary::run_and_capture::{CaptureError, run_and_capture};
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
pub struct MemoryEstimate {
    /// Of each device that the engine was shown and uses, in its order.
    pub devices: Vec<MemoryParts>,
    /// Of the host's memory.
    pub host: MemoryParts,
}

/// What it would take of one of them, in bytes; whole MiB, rounded down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryParts {
    /// Weights.
    pub weights: u64,
    /// What is kept of the slots.
    pub cache: u64,
    /// Intermediate results, with a row of the vocabulary for each token of a batch.
    pub compute: u64,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The program gave no answer.
    #[error("cannot ask {}: {fault}", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// Why.
        fault: CaptureError,
    },
    /// It cannot do it.
    #[error("cannot learn from {} what a model would take: it ended with {status}: {output}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// It said something else.
    #[error("cannot read what {} says: {output:?}", program.display())]
    Unreadable {
        /// The program.
        program: PathBuf,
        /// What it said, at most 200 characters.
        output: String,
    },
}

impl DryRun {
    /// Looks for the program beside an engine, and asks it what it can.
    pub(crate) async fn find(spawner: &Spawner, engine: &Path, env: &[(OsString, OsString)]) -> Option<DryRun> {
        let beside = |engine: &Path| Some(engine.with_file_name(PROGRAM)).filter(|program| program.is_file());
        // A link to an engine stands alone.
        let program = beside(engine).or_else(|| beside(&engine.canonicalize().ok()?))?;
        let help = run_and_capture(spawner, &program, &["--help".into()], env.iter().cloned()).await.ok()?;
        let flags = Flags::parse(&help.out);
        flags.has("--fit-print").then_some(DryRun { program, flags })
    }

    /// Asks what a model would take.
    pub(crate) async fn run(
        &self,
        spawner: &Spawner,
        spec: &Spec,
        config: &Config,
        env: Vec<(OsString, OsString)>,
    ) -> Result<MemoryEstimate, DryRunError> {
        let mut arguments = command_line::memory_arguments(spec, config, &self.flags);
        arguments.extend(["--fit-print".into(), "on".into()]);
        let program = || self.program.clone();
        let answer = run_and_capture(spawner, &self.program, &arguments, env)
            .await
            .map_err(|fault| DryRunError::NotRun { program: program(), fault })?;
        if !answer.status.success() {
            let (status, output) = (answer.status.to_string(), answer.last_line().to_owned());
            return Err(DryRunError::Failed { program: program(), status, output });
        }
        let output = || answer.out.chars().take(200).collect();
        MemoryEstimate::parse(&answer.out)
            .ok_or_else(|| DryRunError::Unreadable { program: program(), output: output() })
    }
}

impl MemoryEstimate {
    /// Reads a line for each device and one for the host: a name without spaces, and three numbers in MiB.
    fn parse(text: &str) -> Option<MemoryEstimate> {
        let mut devices = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut fields = line.split_whitespace();
            let name = fields.next()?;
            // More than that nobody has: it is a number below zero, printed as if it were none.
            let mut bytes = || Some(u64::from(fields.next()?.parse::<u32>().ok()?) * MIB);
            let part = MemoryParts { weights: bytes()?, cache: bytes()?, compute: bytes()? };
            if fields.next().is_some() {
                return None;
            }
            if name == HOST {
                return Some(MemoryEstimate { devices, host: part });
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
        let part = |weights: u64, cache: u64, compute: u64| MemoryParts {
            weights: weights * MIB,
            cache: cache * MIB,
            compute: compute * MIB,
        };
        let estimate = MemoryEstimate::parse("CUDA0 1504 112 304 \nCUDA1 1400 104 304 \nHost 166 0 20 \n").unwrap();
        assert_eq!(
            estimate,
            MemoryEstimate { devices: vec![part(1504, 112, 304), part(1400, 104, 304)], host: part(166, 0, 20) }
        );
        assert_eq!(MemoryEstimate::parse("Host 222 30 524\n").unwrap().devices, []);
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for text in ["", "CUDA0 1 2 3\n", "-c 8192 -ngl -1\n", "Host 1 2\n", "Host 1 2 3 4\n", "Host 1 2 -3\n"] {
            assert_eq!(MemoryEstimate::parse(text), None, "{text}");
        }
        for lie in [u64::MAX, u64::MAX / MIB, 1 << 32] {
            assert_eq!(MemoryEstimate::parse(&format!("Host {lie} 0 0")), None, "{lie}");
        }
    }
}
