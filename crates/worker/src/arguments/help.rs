//! The texts below the flags in the help of the program and of its commands.

pub(super) const AFTER_INSPECTION: &str = "\
Needs no key and no router. Accepts the flags of `auxot-worker --help`, too, such as --models-dir and --gpu-devices.

Exit code 1: the model does not fit. 64: the settings cannot be used. 66: the model does not exist.";

pub(super) const SOURCES: &str =
    "hf:owner/repo:QUANT, hf:owner/repo:path/file.gguf, https://… or a file; @REVISION may follow repo";

pub(super) const AFTER_PULL: &str = "\
Uses HF_ENDPOINT, HF_TOKEN and the proxies of the environment. What an interrupted download has fetched is kept, and the same \
command goes on from there. Each file is verified by the SHA-256 that the hub states; for an address, #sha256=… may follow it. \
--json prints one event for each line.

Exit code 1: the download fails. 64: the settings or the source cannot be used. 66: the model does not exist.";

pub(super) const SIGNERS: &str =
    "The trusted keys of releases, as `ssh-keygen -Y` takes them [default: those of the installation]";

pub(super) const AFTER_SERVICE: &str = "\
The first settings file gets the router's address, the gateway's, the list of models and the engine that `install` is called with, \
as flags or variables; a later install leaves it. The worker key comes from AUXOT_GPU_KEY or AUXOT_GPU_KEY_FILE into a file that only \
the service reads. On Linux the service is systemd's, on macOS launchd's.

Exit code 1: the service cannot be installed, started or removed. 64: the settings cannot be used.";

pub(super) const AFTER_VERIFY: &str = "\
Only what `auxot-worker pull` has downloaded; the files of other programs are left to them.

Exit code 1: a file has changed, or cannot be removed. 64: the settings cannot be used. 66: the model does not exist.";

pub(super) const AFTER_DOCTOR: &str = "\
Works with and without a running worker. Says hello to the router once, as a worker without models, if a key is set and no worker of this user \
runs.

Exit code 1: something keeps the worker from serving. 64: the settings cannot be used.";

pub(super) const AFTER_ASKING: &str = "\
Finds the worker of this user by its runtime directory; set AUXOT_RUNTIME_DIR as the worker has it, if it has. Accepts the \
flags of `auxot-worker --help`, too.

Exit code 1: the worker refuses the command. 64: the settings cannot be used. 69: no worker answers.";

pub(super) const AFTER_IMPORT: &str = "\
Prints TOML for auxot-worker.toml on standard output. What has no counterpart is named in comments, and as warnings on standard error.

Exit code 1: the file cannot be read.";

pub(super) const AFTER_KEYS: &str = "\
The file is that of gateway.keys_file (AUXOT_GATEWAY__KEYS_FILE), else gateway-keys in the state directory.

Exit code 1: the file cannot be used, or has no such key.";

pub(super) const AFTER_HELP: &str = "\
Settings come from the defaults, the configuration file ($XDG_CONFIG_HOME/auxot/auxot-worker.toml or \
/etc/auxot/auxot-worker.toml), the environment and these flags, the later ones winning. Every other key of \
the file has a variable too: engine.cache_ram is AUXOT_ENGINE__CACHE_RAM. Times are written 30, 30s, 5m or \
1h30m. The file config/auxot-worker.toml explains every key.

Exit codes: 0 success. 1 a second signal during the stop, or a fault of the program. 64 the settings cannot be used;
all faults are listed. 69 a required resource is missing: the engine, the metrics port, a folder. 77 the router refuses
the key. Commands: 1 the model does not fit or the worker refuses, 66 the model does not exist, 69 no worker answers.";
