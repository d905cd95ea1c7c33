//! The command line as an operator types it.

use super::*;

/// Reads a command line; its configuration file is empty, so that none of this machine is used.
fn read(line: &[&str], environment: &[(&str, &str)]) -> Invocation {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let config = ("AUXOT_CONFIG".into(), empty.path().into());
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Invocation::read(["auxot-worker"].iter().chain(line).map(OsString::from), environment.chain([config]))
}

const KEY: (&str, &str) = ("AUXOT_GPU_KEY", "gpu_1");

#[track_caller]
fn served(line: &[&str]) -> Loaded<Settings> {
    match read(line, &[KEY]) {
        Invocation::Serve { settings, .. } => *settings,
        Invocation::Refuse(faults) => panic!("{faults}"),
        _ => panic!("not served: {line:?}"),
    }
}

#[track_caller]
fn refused(line: &[&str]) -> Vec<String> {
    match read(line, &[KEY]) {
        Invocation::Refuse(faults) => faults.0.iter().map(ToString::to_string).collect(),
        _ => panic!("not refused: {line:?}"),
    }
}

#[track_caller]
fn printed(line: &[&str], environment: &[(&str, &str)]) -> String {
    match read(line, environment) {
        Invocation::Print(text) => text,
        _ => panic!("not printed: {line:?}"),
    }
}

#[test]
fn no_arguments_and_the_only_type_serve() {
    assert_eq!(served(&[]).value.router.url, "auxot.com");
    assert_eq!(served(&["--type", "gpu"]).value.router.url, "auxot.com");
    assert_eq!(served(&["--type=gpu"]).value.router.url, "auxot.com");
}

#[test]
fn every_name_of_the_table_is_a_flag() {
    for name in NAMES.table.iter().filter(|name| name.key != "router.key") {
        let flag = format!("--{}", name.flag);
        // An empty value counts as unset; this checks only that the flag is known.
        served(&[&flag, ""]);
        if let Some(alias) = name.alias {
            served(&[&format!("--{alias}"), ""]);
        }
    }
}

#[test]
fn flags_set_their_keys() {
    let settings = served(&[
        "--router-url",
        "http://localhost:8080",
        "--heartbeat-interval=15",
        "--gpu-autoload-models",
        "a, b",
        "--metrics-port",
        "0",
        "--llama-server-path",
        "llama",
        "--gpu-layers",
        "0",
    ]);
    let Settings { router, fleet, metrics, engine, .. } = &settings.value;
    assert_eq!(router.url, "http://localhost:8080");
    assert_eq!(router.heartbeat_interval.as_secs(), 15);
    assert_eq!(fleet.autoload, ["a", "b"]);
    assert_eq!(metrics.port, 0);
    assert_eq!(engine.binary, PathBuf::from("llama"));
    assert_eq!(settings.origin("metrics.port"), Origin::Flag("metrics-port".to_owned()));
}

#[test]
fn debug_is_a_log_level() {
    assert_eq!(served(&["--debug"]).value.log.level.to_string(), "debug");
    assert_eq!(served(&["--debug", "--type", "gpu"]).value.log.level.to_string(), "debug");
    assert_eq!(served(&["--debug", "1"]).value.log.level.to_string(), "debug");
    assert_eq!(served(&["--debug", "2"]).value.log.level.to_string(), "trace");
    assert_eq!(refused(&["--debug", "3"]), ["flag --debug: expected 1 or 2, found \"3\""]);
    assert_eq!(
        refused(&["--debug", "--log-level", "warn"]),
        ["flag --debug: conflicts with --log-level; keep one of the two"]
    );
}

#[test]
fn faulty_arguments_are_named() {
    let cases: &[(&[&str], &str)] = &[
        (&["--type", "cpu"], "flag --type: only the `gpu` worker is supported, found \"cpu\"; leave the flag out"),
        (&["--router-ulr", "x"], "flag --router-ulr: unknown flag; did you mean --router-url?"),
        (&["--router-ulr=x"], "flag --router-ulr: unknown flag; did you mean --router-url?"),
        (&["--zzz"], "flag --zzz: unknown flag; --help lists the known ones"),
        (&["-x"], "argument `-x`: unknown flag; --help lists the known ones"),
        (&["serve"], "argument `serve`: unknown command; --help lists the known ones"),
        (&["--router-url"], "flag --router-url: the value is missing"),
        (&["--gpu-key"], "flag --gpu-key: the value is missing"),
        (&["--threads", "1", "--threads", "2"], "flag --threads: set twice; keep one of the two"),
        (&["--print-config=yes"], "flag --print-config: takes no value"),
        (
            &["--threads", "-1"],
            "flag --threads: `engine.threads`: expected a whole number from 0 to 4294967295, found -1",
        ),
        (
            &["--job-timeout", "soon"],
            "flag --job-timeout: `router.job_timeout`: expected a duration such as \"30s\", \"5m\" or \"1h30m\", \
             or whole seconds, found \"soon\"",
        ),
        (
            &["--config", "/no/file.toml"],
            "flag --config: cannot read the configuration file /no/file.toml: No such file or directory (os error 2)",
        ),
    ];
    for (line, words) in cases {
        assert_eq!(refused(line), [*words], "{line:?}");
    }
}

#[test]
fn all_faults_of_the_command_line_and_the_environment_are_reported_together() {
    let line = ["--type", "cpu", "--nonsense", "7", "stray", "--router-ulr=x", "--job-timeout", "soon"];
    let Invocation::Refuse(faults) = read(&line, &[("AUXOT_THREADS", "many"), ("AUXOT_ULR", "x")]) else { panic!() };
    let printed = faults.to_string();
    let places: Vec<&str> = printed.lines().skip(1).filter_map(|line| line.trim().split(": ").next()).collect();
    assert_eq!(
        places,
        [
            "flag --nonsense",
            "argument `stray`",
            "flag --router-ulr",
            "flag --type",
            "environment variable AUXOT_ULR",
            "environment variable AUXOT_THREADS",
            "flag --job-timeout",
            "settings",
        ],
        "{printed}"
    );
}

#[test]
fn a_key_on_the_command_line_is_a_restart_whatever_the_other_arguments() {
    for line in [["--gpu-key", "gpu_1"].as_slice(), &["--gpu-key=gpu_1"], &["--nonsense", "--gpu-key", "gpu_1"]] {
        assert!(matches!(read(line, &[]), Invocation::Restart(_)), "{line:?}");
    }
}

#[test]
fn an_unknown_command_is_reported_with_the_most_similar_one() {
    for (word, meant) in [("modles", "models"), ("Fit", "fit"), ("list-models", "models"), ("verison", "version")] {
        let faults = refused(&[word]).join("\n");
        assert_eq!(faults.contains(&format!("did you mean {meant}?")), word != "list-models", "{faults}");
    }
    assert!(refused(&["zzz"]).join("").contains("unknown command; --help"));
}

#[test]
fn version_and_help() {
    let version = format!("auxot-worker v{}", auxot_settings::VERSION);
    assert!(version.starts_with(concat!("auxot-worker v", env!("CARGO_PKG_VERSION"))));
    for line in ["--version", "-V", "version"] {
        assert_eq!(printed(&[line], &[]), version);
    }
    for line in ["--help", "-h", "help"] {
        let help = printed(&[line], &[]);
        let unwrapped = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for code in ["0 success", "1 a second", "64 the settings", "69 a required", "77 the"] {
            assert!(unwrapped.contains(code), "{code} in {help}");
        }
        for name in NAMES.table {
            assert!(help.contains(name.flag) && help.contains(name.variable), "{} in {help}", name.flag);
        }
        assert!(help.contains("AUXOT_HEARTBEAT_INTERVAL, default 30s"), "{help}");
        assert!(help.contains("AUXOT_CONFIG"), "{help}");
    }
}

#[test]
fn the_effective_settings_are_printed_without_the_key() {
    let line = ["--print-config", "--metrics-port", "0"];
    let Invocation::PrintSettings(settings) = read(&line, &[("AUXOT_GPU_KEY", "gpu_secret")]) else {
        panic!("not printed: {line:?}");
    };
    let text = settings.effective();
    assert!(text.contains("port = 0  # flag --metrics-port"), "{text}");
    assert!(text.contains("key = \"***\"  # environment variable AUXOT_GPU_KEY"), "{text}");
    assert!(text.contains("url = \"auxot.com\"  # default"), "{text}");
    assert!(!text.contains("gpu_secret"));
}

#[track_caller]
fn inspected(line: &[&str]) -> (Settings, Inspection) {
    match read(line, &[]) {
        Invocation::Inspect { settings, inspection } => (settings.value, inspection),
        Invocation::Refuse(faults) => panic!("{faults}"),
        _ => panic!("not inspected: {line:?}"),
    }
}

#[test]
fn inspection_commands_need_no_key() {
    assert_eq!(inspected(&["models"]).1, Inspection { json: false, what: Target::Models });
    assert_eq!(inspected(&["models", "--json"]).1, Inspection { json: true, what: Target::Models });
    assert_eq!(
        inspected(&["models", "show", "a b", "--json"]).1,
        Inspection { json: true, what: Target::Show("a b".into()) }
    );
    let request = |ctx, slots, kv_type| Target::Fit(FitRequest { name: "m".into(), ctx, slots, kv_type });
    assert_eq!(inspected(&["fit", "m"]).1.what, request(None, None, None));
    let all = inspected(&["fit", "m", "--ctx", "8192", "--slots=2", "--kv-type", "Q8_0"]).1.what;
    assert_eq!(all, request(Some(8192), Some(2), Some(auxot_catalog::KvType::Q8_0)));
}

#[test]
fn inspection_commands_accept_settings_before_and_after() {
    for line in
        [["--gpu-devices", "1", "fit", "m"], ["fit", "m", "--gpu-devices", "1"], ["fit", "--gpu-devices", "1", "m"]]
    {
        assert_eq!(inspected(&line).0.gpu.devices, ["1"], "{line:?}");
    }
    let (settings, _) = inspected(&["models", "--gpu-devices", "1", "show", "--ctx-size", "512", "m"]);
    assert_eq!((settings.gpu.devices, settings.engine.ctx_size), (vec!["1".to_owned()], Some(512)));
}

#[test]
fn faults_of_an_inspection_command_are_reported_without_a_missing_key() {
    let refused = |line: &[&str]| match read(line, &[]) {
        Invocation::Refuse(faults) => faults.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
        _ => panic!("not refused: {line:?}"),
    };
    assert_eq!(refused(&["fit"]), ["argument `<MODEL>`: is missing"]);
    assert_eq!(refused(&["fit", "m", "--ctx", "many"]), ["flag --ctx: must be a whole number, 1 or more"]);
    assert!(refused(&["fit", "m", "--kv-type", "q9"])[0].starts_with("flag --kv-type: cannot read \"q9\""));
    assert!(refused(&["models", "--max-parallel", "0"])[0].contains("engine.slots"));
}

#[test]
fn completions_and_manual_pages_are_generated_for_all_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(&["completions", shell], &[]);
        for command in ["status", "logs", "log-level", "completions"] {
            assert!(text.contains(command), "{shell}: {command}");
        }
    }
    assert!(
        printed(&["man"], &[]).contains(".TH auxot\\-worker 1")
            || printed(&["man"], &[]).contains(".TH auxot-worker 1")
    );
    let folder = tempfile::tempdir().unwrap();
    printed(&["man", "--dir", folder.path().to_str().unwrap()], &[]);
    assert!(folder.path().join("auxot-worker-logs.1").is_file());
    let missing = folder.path().join("missing");
    assert!(refused(&["man", "--dir", missing.to_str().unwrap()])[0].contains("cannot write manual pages to"));
}
