//! An engine with a dry run, which estimates a model's memory before the load.

use auxot_tests::DEADLINE;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use auxot_tests::Host;
use auxot_tests::binaries::fake_engine;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::{run_job, serving};

/// The help of the engine's program for dry runs, as far as it is read; its arguments and devices noted; then what it says.
const PROGRAM: &str = r#"#!/bin/sh
if [ "$1" = --help ]; then
    printf '%s\n' '-m,    --model FNAME  path' '-np,   --parallel N  number' '-ngl,  --gpu-layers, --n-gpu-layers N  layers' \
        '-mg,   --main-gpu INDEX  device' '-sm,   --split-mode MODE  how' '-ts,   --tensor-split N0,N1  parts' '-fitp, --fit-print [on|off]  print'
    exit
fi
echo "$$ $CUDA_VISIBLE_DEVICES $*" >>"$0.runs"
"#;

/// An engine with a dry-run program beside it, which prints `answer`.
struct Rehearsal {
    engine: PathBuf,
    runs: PathBuf,
}

impl Rehearsal {
    fn new(host: &Host, answer: &str) -> Rehearsal {
        let folder = host.stage.scratch.join("engine");
        std::fs::create_dir(&folder).unwrap();
        let (engine, program) = (folder.join("llama-server"), folder.join("llama-fit-params"));
        symlink(fake_engine(), &engine).unwrap();
        // Moved there whole: a file that is still open for writing cannot be run.
        let draft = folder.join("draft");
        std::fs::write(&draft, format!("{PROGRAM}{answer}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&draft, &program).unwrap();
        Rehearsal { engine, runs: folder.join("llama-fit-params.runs") }
    }

    fn engine(&self) -> &str {
        self.engine.to_str().unwrap()
    }

    /// One line for each run so far: its process, its devices, its arguments.
    fn runs(&self) -> Vec<String> {
        let runs = std::fs::read_to_string(&self.runs).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn the_dry_run_decides_the_placement_and_runs_once() {
    let mut host = Host::with_cards(&[8000, 24_000]);
    host.model("alpha", 3000, "");
    let rehearsal = Rehearsal::new(&host, "echo 'CUDA0 12000 500 100'; echo 'Host 10 0 20'");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_LLAMA_BINARY", rehearsal.engine())];
    let (mut worker, mut link) = serving(&mut host, &settings).await;
    assert_eq!(host.ready("alpha").await.cards(), [1], "by its header alone it goes on the small one");
    run_job(&mut link, "alpha").await;
    let runs = rehearsal.runs();
    let [run] = runs.as_slice() else { panic!("{runs:?}") };
    let words: Vec<&str> = run.split(' ').collect();
    assert!(words[1].ends_with(&auxot_tests::FakeNvml::id(0)), "{run}");
    for pair in ["--parallel 2", "--ctx-size 4096", "--n-gpu-layers", "--main-gpu 0", "--fit-print on"] {
        assert!(run.contains(pair), "{pair} is missing: {run}");
    }
    assert!(!run.contains("--alias") && !run.contains("--metrics"), "{run}");
    worker.program.signal(Signal::SIGTERM);
    worker.program.ended(DEADLINE).await;
    let (_worker, mut link) = serving(&mut host, &settings).await;
    assert_eq!(host.ready("alpha").await.cards().len(), 1);
    run_job(&mut link, "alpha").await;
    assert_eq!(rehearsal.runs().len(), 1, "it is remembered");
}

#[tokio::test]
async fn a_load_continues_without_an_answer() {
    for answer in ["echo 'unknown argument' >&2; exit 1", "echo something else", "kill -9 $$"] {
        let mut host = Host::with_cards(&[8000, 24_000]);
        host.model("alpha", 3000, "");
        let rehearsal = Rehearsal::new(&host, answer);
        let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_LLAMA_BINARY", rehearsal.engine())];
        let (_worker, mut link) = serving(&mut host, &settings).await;
        assert_eq!(host.ready("alpha").await.cards(), [0], "{answer}");
        run_job(&mut link, "alpha").await;
        assert_eq!(rehearsal.runs().len(), 1);
    }
}

#[tokio::test]
async fn no_dry_run_is_made_if_the_setting_forbids_it() {
    let mut host = Host::with_cards(&[8000, 24_000]);
    host.model("alpha", 3000, "");
    let rehearsal = Rehearsal::new(&host, "echo 'CUDA0 12000 500 100'; echo 'Host 10 0 20'");
    let settings = [
        ("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"),
        ("AUXOT_LLAMA_BINARY", rehearsal.engine()),
        ("AUXOT_ENGINE__DRY_RUN", "false"),
    ];
    let (_worker, _link) = serving(&mut host, &settings).await;
    assert_eq!(host.ready("alpha").await.cards(), [0]);
    assert_eq!(rehearsal.runs(), [""; 0]);
}

#[tokio::test]
async fn a_dry_run_that_hangs_ends_with_the_worker() {
    let mut host = Host::with_cards(&[8000]);
    host.model("alpha", 3000, "");
    let line = host.stage.scratch.join("line");
    nix::unistd::mkfifo(&line, Mode::S_IRWXU).unwrap();
    let mut line_end = pipe::OpenOptions::new().open_receiver(&line).unwrap();
    let rehearsal = Rehearsal::new(&host, &format!("exec 3>{}; echo runs >&3; sleep 1000", line.display()));
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "alpha"), ("AUXOT_LLAMA_BINARY", rehearsal.engine())];
    let mut worker = host.worker(&settings).await;
    let mut said = [0; 5];
    line_end.read_exact(&mut said).await.unwrap();
    worker.program.signal(Signal::SIGTERM);
    worker.program.ended(DEADLINE).await;
    // Its end of the line is closed when all of its processes are gone.
    let rest = tokio::time::timeout(DEADLINE, line_end.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(rest.unwrap(), 0);
    assert_eq!(host.starts("alpha").await, 0);
}
