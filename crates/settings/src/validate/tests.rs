//! Each rule, broken alone, with the exact messages.

use std::os::unix::fs::PermissionsExt;

use crate::{Settings, Sources};

/// The faults of an otherwise complete environment.
fn faults(environment: &[(&str, &str)]) -> Vec<String> {
    let keyless = environment.iter().any(|(name, _)| name.contains("KEY"));
    let key = (!keyless).then_some(("AUXOT_GPU_KEY", "gpu_1"));
    all_faults(environment.iter().copied().chain(key))
}

fn all_faults<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into()));
    // No file of the machine that runs the test may take part.
    let mut sources = Sources::new(environment);
    let empty = tempfile::NamedTempFile::new().unwrap();
    sources.config = Some(empty.path().to_owned());
    match Settings::load(&sources) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_key_is_all_that_is_needed() {
    assert_eq!(faults(&[]), [""; 0]);
    assert_eq!(
        all_faults([]),
        [
            "settings: `router.key`: no worker key; set AUXOT_GPU_KEY, or name a file that holds it in AUXOT_GPU_KEY_FILE"
        ]
    );
}

/// A variable with a value that cannot be used, and what is said of it.
const FAULTY: &[((&str, &str), &str)] = &[
    (
        ("AUXOT_ROUTER_URL", "ftp://h"),
        "`router.url`: cannot use `ftp://h` as a router address: its scheme must be https, http, wss or ws",
    ),
    (
        ("AUXOT_HEARTBEAT_INTERVAL", "0"),
        "`router.heartbeat_interval`: must be more than 0 and at most 60s: the router drops a worker that is silent for 90s",
    ),
    (
        ("AUXOT_HEARTBEAT_INTERVAL", "61"),
        "`router.heartbeat_interval`: must be more than 0 and at most 60s: the router drops a worker that is silent for 90s",
    ),
    (
        ("AUXOT_ROUTER__SILENCE_TIMEOUT", "30"),
        "`router.silence_timeout`: must be more than `router.heartbeat_interval`, which is 30s: the router sends something only when it answers a heartbeat; 0 is automatic",
    ),
    (("AUXOT_RECONNECT_DELAY", "0s"), "`router.reconnect_delay`: must be more than 0"),
    (
        ("AUXOT_RECONNECT_DELAY", "2m"),
        "`router.reconnect_delay`: 120s is more than `router.reconnect_max_delay`, which is 60s",
    ),
    (
        ("AUXOT_RECONNECT_MAX_DELAY", "1s"),
        "`router.reconnect_max_delay`: 1s is less than `router.reconnect_delay`, which is 2s",
    ),
    (("AUXOT_ROUTER__CONNECT_TIMEOUT", "0"), "`router.connect_timeout`: must be more than 0"),
    (("AUXOT_ROUTER__HELLO_TIMEOUT", "0"), "`router.hello_timeout`: must be more than 0"),
    (("AUXOT_ROUTER__WRITE_TIMEOUT", "0"), "`router.write_timeout`: must be more than 0"),
    (("AUXOT_JOB_TIMEOUT", "0"), "`router.job_timeout`: must be more than 0"),
    (("AUXOT_ROUTER__HEADERS_TIMEOUT", "0"), "`router.headers_timeout`: must be more than 0"),
    (
        ("AUXOT_ROUTER__IDLE_TIMEOUT", "10"),
        "`router.idle_timeout`: must be more than `engine.ping_interval`, which is 10s",
    ),
    (("AUXOT_ROUTER__MAX_MESSAGE", "64KiB"), "`router.max_message`: must be at least 1MiB: jobs carry pictures"),
    (("AUXOT_ROUTER_CONNECTIONS", "0"), "`router.connections`: expected `auto` or a number from 1 to 256, found `0`"),
    (
        ("AUXOT_CA_FILE", "/no/ca.pem"),
        "`router.ca_file`: cannot read /no/ca.pem: No such file or directory (os error 2)",
    ),
    (("AUXOT_CA_FILE", "/tmp"), "`router.ca_file`: cannot read /tmp: is a directory"),
    (("AUXOT_GPU_AUTOLOAD_MODELS", "a,b,A"), "`fleet.autoload`: `A` is in the list twice"),
    (("AUXOT_FLEET__MAX_WAITING", "0"), "`fleet.max_waiting`: must be at least 1: a job waits while its model loads"),
    (("AUXOT_FLEET__MAX_WAIT", "0"), "`fleet.max_wait`: must be more than 0"),
    (("AUXOT_MODELS_DIR", "/tmp:/no/models"), "`catalog.models_dir`: /no/models is not a directory"),
    (("AUXOT_MODEL_FILE", "/no/m.gguf"), "`catalog.model_file`: /no/m.gguf is not a file"),
    (("AUXOT_LLAMA_BINARY", "/no/llama-server"), "`engine.binary`: /no/llama-server is not an executable file"),
    (("AUXOT_LLAMA_BINARY", "/etc/passwd"), "`engine.binary`: /etc/passwd is not an executable file"),
    (("AUXOT_MAX_PARALLEL", "0"), "`engine.slots`: must be 1 to 256, found 0"),
    (("AUXOT_CTX_SIZE", "0"), "`engine.ctx_size`: must be at least 1; leave it out for what the model was trained for"),
    (("AUXOT_THREADS", "0"), "`engine.threads`: must be at least 1; leave it out to let the engine decide"),
    (
        ("AUXOT_ENGINE__PING_INTERVAL", "1500ms"),
        "`engine.ping_interval`: must be whole seconds, 1 or more: the engine accepts no others",
    ),
    (
        ("AUXOT_ENGINE__RESTART_DELAY", "1m"),
        "`engine.restart_delay`: 60s is more than `engine.restart_max_delay`, which is 30s",
    ),
    (("AUXOT_GPU__SAMPLE_INTERVAL", "0"), "`gpu.sample_interval`: must be at least 100ms"),
    (("AUXOT_GPU_DEVICES", "0,GPU-a,gpu-A"), "`gpu.devices`: `gpu-A` is in the list twice"),
    (("AUXOT_FLEET__MODELS__A__DEVICES", "1,0,1"), "`fleet.models.A.devices`: `1` is in the list twice"),
    (("AUXOT_NVML_PATH", "/no/nvml.so"), "`gpu.nvml_path`: /no/nvml.so is not a file"),
    (("AUXOT_METRICS_PORT", "65536"), "`metrics.port`: expected a whole number from 0 to 65535, found 65536"),
    (("AUXOT_METRICS_HOST", "localhost"), "`metrics.host`: invalid IP address syntax"),
];

#[test]
fn each_rule_names_the_key_and_its_source() {
    for ((name, value), words) in FAULTY {
        assert_eq!(faults(&[(*name, *value)]), [format!("environment variable {name}: {words}")]);
    }
}

#[test]
fn a_refused_value_is_reported_once_and_its_default_is_not_checked() {
    let reported =
        faults(&[("AUXOT_GPU_KEY_FILE", "/no/key"), ("AUXOT_RECONNECT_DELAY", "soon"), ("AUXOT_JOB_TIMEOUT", "0")]);
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert!(reported[0].starts_with("environment variable AUXOT_RECONNECT_DELAY: `router.reconnect_delay`: expected"));
    assert!(reported[1].contains("`router.key_file`: cannot read /no/key"));
    assert!(reported[2].contains("`router.job_timeout`: must be"));
}

#[test]
fn one_key_and_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let path = path.to_str().unwrap();
    let reported = |mode, text: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        faults(&[("AUXOT_GPU_KEY_FILE", path)]).join("\n")
    };
    let source = "environment variable AUXOT_GPU_KEY_FILE: `router.key_file`";
    assert_eq!(reported(0o600, "gpu_1\n"), "");
    assert_eq!(reported(0o640, "gpu_1\n"), "");
    assert_eq!(
        reported(0o644, "gpu_1"),
        format!("{source}: all users can read the key in {path}; run: chmod o= {path}")
    );
    assert_eq!(reported(0o600, "\ngpu_1"), format!("{source}: the first line of {path} is empty; it must be the key"));
    let folder = folder.path().to_str().unwrap();
    assert_eq!(faults(&[("AUXOT_GPU_KEY_FILE", folder)]), [format!("{source}: {folder} is a directory")]);
    assert_eq!(
        faults(&[("AUXOT_GPU_KEY_FILE", path), ("AUXOT_GPU_KEY", "gpu_1")]),
        ["environment variable AUXOT_GPU_KEY: `router.key`: the key is set here and as a file \
          (environment variable AUXOT_GPU_KEY_FILE); keep one of the two"]
    );
}

#[test]
fn a_file_that_holds_the_key_is_private() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[router]\nkey = 'gpu_secret'\n").unwrap();
    let sources = Sources { config: Some(file.path().to_owned()), ..Sources::default() };
    let reported = |mode| {
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        Settings::load(&sources).map(|_| ()).map_err(|faults| faults.to_string())
    };
    assert_eq!(reported(0o600), Ok(()));
    let path = file.path().display();
    let words = format!(
        "cannot use the settings, 1 fault:\n  {path}:2:1: `router.key`: all users can read the key in this file; \
         run: chmod o= {path}"
    );
    assert_eq!(reported(0o644), Err(words));
}

#[test]
fn a_broken_file_is_not_also_a_missing_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[router\nkey = 'gpu_secret'\n").unwrap();
    let sources = Sources { config: Some(file.path().to_owned()), ..Sources::default() };
    let faults = Settings::load(&sources).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
}
