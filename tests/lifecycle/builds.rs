//! Older and newer engines, with another layout of their help and fewer flags.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use auxot_tests::scripted_router::policy;
use auxot_tests::{Stage, binaries};

use crate::{MODEL, MODEL_FILE};

/// An engine with this help text: it prints it, and refuses other flags.
fn build(stage: &Stage, help: &str) -> PathBuf {
    let (text, path) = (stage.scratch.join("help.txt"), stage.scratch.join("engine.sh"));
    std::fs::write(&text, help).unwrap();
    let engine = binaries::fake_engine();
    let script =
        format!("#!/bin/sh\nexport FAKE_LLAMA_HELP='{}'\nexec '{}' \"$@\"\n", text.display(), engine.display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn serves(help: &str, left_out: &[&str]) {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let engine = build(&stage, help);
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("AUXOT_LLAMA_BINARY", engine.to_str().unwrap())];
    let mut worker = stage.worker(&settings).await;
    let line = worker.line("this build of the engine does not know all flags").await;
    for flag in left_out {
        assert!(line.contains(flag), "{flag} in {line}");
    }
    let mut link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    link.says("one", "by an old one").await;
}

/// August 2024: flags are indented, the text begins in column 34, the help ends with status 1, and there are no sockets
/// but those with a port.
const AUGUST_2024: &str = "usage: llama-server [options]

general:

  -h,    --help, --usage          the options
         --version                show version and build info
  -m,    --model FNAME            model path
  -a,    --alias ALIAS            an alias of the model
         --host HOST              ip address to listen (default: 127.0.0.1)
         --port PORT              port to listen (default: 8080)
  -c,    --ctx-size N             size of the prompt context
  -np,   --parallel N             number of parallel sequences
  -ngl,  --gpu-layers, --n-gpu-layers N
                                  number of layers to store in VRAM
  -t,    --threads N              number of threads
         --threads-http N         number of threads for requests
         --metrics                enable metrics
  --embedding(s)                  embeddings only
";

/// August 2025: colours of the log are a switch, and its levels have no names.
const AUGUST_2025: &str = "----- common params -----

-h,    --help, --usage                  print usage and exit
--version                               show version and build info
-t,    --threads N                      number of threads to use during generation (default: -1)
-c,    --ctx-size N                     size of the prompt context (default: 4096)
-dev,  --device <dev1,dev2,..>          comma-separated list of devices
-ngl,  --gpu-layers, --n-gpu-layers N   number of layers to store in VRAM
-m,    --model FNAME                    model path
--log-colors                            Enable colored logging
--offline                               Offline mode
-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold.

----- example-specific params -----

-np,   --parallel N                     number of parallel sequences to decode (default: 1)
-a,    --alias STRING                   set alias for model name
--host HOST                             ip address to listen, or bind to an UNIX socket if the address ends
                                        with .sock (default: 127.0.0.1)
--port PORT                             port to listen (default: 8080)
--no-webui                              Disable the Web UI (default: enabled)
--threads-http N                        number of threads used to process HTTP requests (default: -1)
--metrics                               enable prometheus compatible metrics endpoint
--slots                                 enable slots monitoring endpoint
--jinja                                 use jinja template for chat (default: disabled)
--reasoning-format FORMAT               one of:
                                        - none: leaves thoughts unparsed
                                        - deepseek: puts thoughts in `message.reasoning_content`
";

#[tokio::test]
async fn a_build_of_august_2024_serves() {
    serves(AUGUST_2024, &["--jinja", "--device"]).await;
}

#[tokio::test]
async fn a_build_of_august_2025_serves() {
    serves(AUGUST_2025, &["--log-colors", "--fit"]).await;
}
