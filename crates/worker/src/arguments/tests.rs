//! The command line, as an operator would type it.

use super::*;

/// Reads a command line; the configuration file is an empty one, so that none of this machine takes part.
fn read(line: &[&str], environment: &[(&str, &str)]) -> Request {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let config = ("AUXOT_CONFIG".into(), empty.path().into());
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Request::read(["auxot-worker"].iter().chain(line).map(OsString::from), environment.chain([config]))
}

const KEY: (&str, &str) = ("AUXOT_GPU_KEY", "gpu_1");

#[track_caller]
fn served(line: &[&str]) -> Loaded<Settings> {
    match read(line, &[KEY]) {
        Request::Serve { settings, .. } => *settings,
        Request::Refuse(faults) => panic!("{faults}"),
        _ => panic!("not served: {line:?}"),
    }
}

#[track_caller]
fn refused(line: &[&str]) -> Vec<String> {
    match read(line, &[KEY]) {
        Request::Refuse(faults) => faults.0.iter().map(ToString::to_string).collect(),
        _ => panic!("not refused: {line:?}"),
    }
}

#[track_caller]
fn told(line: &[&str], environment: &[(&str, &str)]) -> String {
    match read(line, environment) {
        Request::Tell(text) => text,
        _ => panic!("not told: {line:?}"),
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
        // An empty value counts as not given, so this asks only whether the flag is known.
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
        ["flag --debug: given beside --log-level; keep one of the two"]
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["--type", "cpu"],
            "flag --type: this program is the `gpu` worker and no other, found \"cpu\"; leave the flag out",
        ),
        (&["--router-ulr", "x"], "flag --router-ulr: unknown flag; did you mean --router-url?"),
        (&["--router-ulr=x"], "flag --router-ulr: unknown flag; did you mean --router-url?"),
        (&["--zzz"], "flag --zzz: unknown flag; --help lists the known ones"),
        (&["-x"], "argument `-x`: unknown flag; --help lists the known ones"),
        (&["serve"], "argument `serve`: unknown word; --help lists what can be said"),
        (&["--router-url"], "flag --router-url: the value is missing"),
        (&["--gpu-key"], "flag --gpu-key: the value is missing"),
        (&["--threads", "1", "--threads", "2"], "flag --threads: given twice; keep one of the two"),
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
fn all_faults_of_the_command_line_and_the_environment_come_at_once() {
    let line = ["--type", "cpu", "--nonsense", "7", "stray", "--router-ulr=x", "--job-timeout", "soon"];
    let Request::Refuse(faults) = read(&line, &[("AUXOT_THREADS", "many"), ("AUXOT_ULR", "x")]) else { panic!() };
    let told = faults.to_string();
    let places: Vec<&str> = told.lines().skip(1).filter_map(|line| line.trim().split(": ").next()).collect();
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
        "{told}"
    );
}

#[test]
fn a_key_on_the_command_line_is_a_restart_whatever_else_is_there() {
    for line in [["--gpu-key", "gpu_1"].as_slice(), &["--gpu-key=gpu_1"], &["--nonsense", "--gpu-key", "gpu_1"]] {
        assert!(matches!(read(line, &[]), Request::Restart(_)), "{line:?}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_told_with_the_one_that_is_meant() {
    for (word, meant) in [("modles", "models"), ("Fit", "fit"), ("list-models", "models"), ("verison", "version")] {
        let faults = refused(&[word]).join("\n");
        assert_eq!(faults.contains(&format!("did you mean {meant}?")), word != "list-models", "{faults}");
    }
    assert!(refused(&["zzz"]).join("").contains("unknown word"));
}

#[test]
fn version_and_help() {
    let version = format!("auxot-worker v{}", auxot_settings::VERSION);
    assert!(version.starts_with(concat!("auxot-worker v", env!("CARGO_PKG_VERSION"))));
    for line in ["--version", "-V", "version"] {
        assert_eq!(told(&[line], &[]), version);
    }
    for line in ["--help", "-h", "help"] {
        let help = told(&[line], &[]);
        let unwrapped = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for code in ["0 ended", "1 asked", "64 the settings", "69 something", "77 the"] {
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
fn the_settings_in_force_are_printed_without_the_key() {
    let line = ["--print-config", "--metrics-port", "0"];
    let Request::PrintSettings(settings) = read(&line, &[("AUXOT_GPU_KEY", "gpu_secret")]) else {
        panic!("not printed: {line:?}");
    };
    let text = settings.effective();
    assert!(text.contains("port = 0  # flag --metrics-port"), "{text}");
    assert!(text.contains("key = \"***\"  # environment variable AUXOT_GPU_KEY"), "{text}");
    assert!(text.contains("url = \"auxot.com\"  # default"), "{text}");
    assert!(!text.contains("gpu_secret"));
}

#[track_caller]
fn looked(line: &[&str]) -> (Settings, Look) {
    match read(line, &[]) {
        Request::Look { settings, look } => (*settings, look),
        Request::Refuse(faults) => panic!("{faults}"),
        _ => panic!("no look: {line:?}"),
    }
}

#[test]
fn the_looking_commands_need_no_key() {
    assert_eq!(looked(&["models"]).1, Look { json: false, what: What::Models });
    assert_eq!(looked(&["models", "--json"]).1, Look { json: true, what: What::Models });
    assert_eq!(looked(&["models", "show", "a b", "--json"]).1, Look { json: true, what: What::Show("a b".into()) });
    let wish = |ctx, slots, kv_type| What::Fit(FitWish { name: "m".into(), ctx, slots, kv_type });
    assert_eq!(looked(&["fit", "m"]).1.what, wish(None, None, None));
    let all = looked(&["fit", "m", "--ctx", "8192", "--slots=2", "--kv-type", "Q8_0"]).1.what;
    assert_eq!(all, wish(Some(8192), Some(2), Some(auxot_catalog::KvType::Q8_0)));
}

#[test]
fn the_looking_commands_take_settings_before_and_behind() {
    for line in
        [["--gpu-devices", "1", "fit", "m"], ["fit", "m", "--gpu-devices", "1"], ["fit", "--gpu-devices", "1", "m"]]
    {
        assert_eq!(looked(&line).0.gpu.devices, ["1"], "{line:?}");
    }
    let (settings, _) = looked(&["models", "--gpu-devices", "1", "show", "--ctx-size", "512", "m"]);
    assert_eq!((settings.gpu.devices, settings.engine.ctx_size), (vec!["1".to_owned()], Some(512)));
}

#[test]
fn what_is_wrong_with_a_looking_command_is_told_without_a_word_about_keys() {
    let refused = |line: &[&str]| match read(line, &[]) {
        Request::Refuse(faults) => faults.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
        _ => panic!("not refused: {line:?}"),
    };
    assert_eq!(refused(&["fit"]), ["argument `<MODEL>`: is missing"]);
    assert_eq!(refused(&["fit", "m", "--ctx", "many"]), ["flag --ctx: must be a whole number, 1 or more"]);
    assert!(refused(&["fit", "m", "--kv-type", "q9"])[0].starts_with("flag --kv-type: cannot read \"q9\""));
    assert!(refused(&["models", "--max-parallel", "0"])[0].contains("engine.slots"));
}
