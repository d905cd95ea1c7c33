//! The engine's own dry run: estimates a model's memory on each device before any weight is read.
//!
//! Beside its server llama.cpp builds `llama-fit-params`, which plans a model without allocating anything and prints the
//! result. It knows every architecture that the engine knows, also those that our own computation does not know. Where an
//! engine has it, it is in the same folder.
//!
//! Its `compute` counts one row of results for each token of a batch, where the server needs one for each slot: with a
//! large vocabulary that is far too much (524 against 23 MiB for Gemma 3 270M). Weights and cache are exact.

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
/// Its name for the host's memory.
const HOST: &str = "Host";
const MIB: u64 = 1 << 20;

/// The program for dry runs.
#[derive(Debug, Clone)]
pub(crate) struct DryRun {
    program: PathBuf,
    flags: Flags,
}

/// The memory that a model would need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// On each device that the engine sees and uses, in its order.
    pub devices: Vec<MemoryParts>,
    /// In the host's memory.
    pub host: MemoryParts,
}

/// The memory on one device or in the host, in bytes; whole MiB, rounded down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryParts {
    /// Weights.
    pub weights: u64,
    /// The cache of the slots.
    pub cache: u64,
    /// Intermediate results, with a row of the vocabulary for each token of a batch.
    pub compute: u64,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The program could not be run, or did not end in time.
    #[error("cannot run {}: {fault}", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// Why.
        fault: CaptureError,
    },
    /// It failed.
    #[error("cannot learn from {} what a model would take: it ended with {status}: {output}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: String,
        /// Its last line of output.
        output: String,
    },
    /// It printed something else.
    #[error("cannot read what {} says: {output:?}", program.display())]
    Unreadable {
        /// The program.
        program: PathBuf,
        /// Its output, at most 200 characters.
        output: String,
    },
}

impl DryRun {
    /// Looks for the program beside an engine, and reads its flags.
    pub(crate) async fn find(spawner: &Spawner, engine: &Path, env: &[(OsString, OsString)]) -> Option<DryRun> {
        let beside = |engine: &Path| Some(engine.with_file_name(PROGRAM)).filter(|program| program.is_file());
        // Beside a link to an engine there is no such program.
        let program = beside(engine).or_else(|| beside(&engine.canonicalize().ok()?))?;
        let help = run_and_capture(spawner, &program, &["--help".into()], env.iter().cloned()).await.ok()?;
        let flags = Flags::parse(&help.out);
        flags.has("--fit-print").then_some(DryRun { program, flags })
    }

    /// Estimates the memory of a model.
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
            // No host has more: it is a number below zero that was printed as unsigned.
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
    fn incomplete_output_is_no_estimate() {
        for text in ["", "CUDA0 1 2 3\n", "-c 8192 -ngl -1\n", "Host 1 2\n", "Host 1 2 3 4\n", "Host 1 2 -3\n"] {
            assert_eq!(MemoryEstimate::parse(text), None, "{text}");
        }
        for impossible in [u64::MAX, u64::MAX / MIB, 1 << 32] {
            assert_eq!(MemoryEstimate::parse(&format!("Host {impossible} 0 0")), None, "{impossible}");
        }
    }
}
