//! `auxot-worker pull` over loopback, beside `curl` of the same file and `sha256sum` of it; and four files at once, each limited.
//!
//! The files are in memory (`/dev/shm`), so that no disk is measured. A figure whose comparison is not installed here is
//! left out.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use auxot_tests::binaries;
use nix::sys::resource::{UsageWho, getrusage};

use crate::figure::Figure;
use crate::samples::Samples;

/// Bytes of the large file.
const LARGE: u64 = 1 << 30;
/// Bytes of each of the four files, and what their connections may carry in a second.
const SMALL: u64 = 100 << 20;
const RATE: u64 = 50 << 20;
const FILES: usize = 4;
const ROUNDS: usize = 5;

pub(crate) fn run() -> anyhow::Result<Vec<Figure>> {
    let hub = Hub::start()?;
    let mut figures = Vec::new();
    let (mut pulled, mut curled, mut pulled_cpu, mut summed_cpu) = <(Samples, Samples, Samples, Samples)>::default();
    for _ in 0..ROUNDS {
        let (time, cpu) = measure(hub.pull("large").stdin(Stdio::null()))?;
        pulled.push(time.as_secs_f64());
        pulled_cpu.push(cpu.as_secs_f64());
        hub.empty()?;
        if has("curl") {
            let address = format!("{}/owner/large/resolve/main/m-Q8_0.gguf", hub.endpoint);
            let target = hub.folder.path().join("curled");
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--fail", "--location", "--output"]).arg(&target).arg(address);
            curled.push(measure(&mut curl)?.0.as_secs_f64());
            std::fs::remove_file(target)?;
        }
        if has("sha256sum") {
            summed_cpu.push(measure(Command::new("sha256sum").arg(hub.large()).stdout(Stdio::null()))?.1.as_secs_f64());
        }
    }
    if has("curl") {
        let ratio = pulled.median() / curled.median();
        figures.push(Figure::at_most("pull of 1 GiB over loopback, over curl", "x", ratio, 1.05).direct(1.0));
    }
    if has("sha256sum") {
        let ratio = pulled_cpu.median() / summed_cpu.median();
        figures.push(Figure::at_most("processor time of that pull, over sha256sum", "x", ratio, 1.2).direct(1.0));
    }
    std::fs::write(hub.folder.path().join("hub/switches"), format!("rate {RATE}"))?;
    let (mut four, mut one) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        one.push(measure(&mut hub.pull("one"))?.0.as_secs_f64());
        four.push(measure(&mut hub.pull("four"))?.0.as_secs_f64());
        hub.empty()?;
    }
    let ratio = four.median() / one.median();
    figures.push(Figure::at_most("pull of 4 files at 50 MiB/s each, over one of them", "x", ratio, 1.1).direct(1.0));
    Ok(figures)
}

/// The wall time and the processor time of a command.
fn measure(command: &mut Command) -> anyhow::Result<(Duration, Duration)> {
    let children = || -> anyhow::Result<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let time = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
        Ok(time(usage.user_time()) + time(usage.system_time()))
    };
    let (before, begun) = (children()?, Instant::now());
    let ended = command.status().with_context(|| format!("cannot run {command:?}"))?;
    anyhow::ensure!(ended.success(), "{command:?} ends with {ended}");
    Ok((begun.elapsed(), children()?.saturating_sub(before)))
}

fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// A fake hub with one large file, one small one, and a model of four small shards.
struct Hub {
    program: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl Hub {
    fn start() -> anyhow::Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let root = folder.path().join("hub");
        write(&root.join("owner/large/m-Q8_0.gguf"), LARGE)?;
        write(&root.join("owner/one/m-Q8_0.gguf"), SMALL)?;
        for part in 1..=FILES {
            write(&root.join(format!("owner/four/m-Q8_0-0000{part}-of-0000{FILES}.gguf")), SMALL)?;
        }
        let mut program = Command::new(binaries::program("fake-hub")).arg(&root).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(program.stdout.take().context("no output")?).read_line(&mut line)?;
        let endpoint = line.split_whitespace().nth(1).context("no address")?.to_owned();
        Ok(Self { program, endpoint, folder })
    }

    fn large(&self) -> PathBuf {
        self.folder.path().join("hub/owner/large/m-Q8_0.gguf")
    }

    fn pull(&self, repository: &str) -> Command {
        let mut command = Command::new(binaries::program("auxot-worker"));
        let models = self.folder.path().join("models");
        command.args(["pull", &format!("owner/{repository}:Q8_0"), "--to"]).arg(models).env_clear();
        command.env("HF_ENDPOINT", &self.endpoint).env("HOME", self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Removes what was pulled.
    fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.folder.path().join("models"))?)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ended_already = self.program.kill().and_then(|()| self.program.wait());
    }
}

/// A file that begins as a model and goes on with other bytes in each piece.
fn write(path: &Path, size: u64) -> anyhow::Result<()> {
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    file.write_all(b"GGUF")?;
    let mut piece = vec![0_u8; 1 << 20];
    for at in 0..size >> 20 {
        piece[..8].copy_from_slice(&at.to_le_bytes());
        file.write_all(&piece)?;
    }
    Ok(file.flush()?)
}
