//! Refused settings, with the exact messages.

use super::*;

#[track_caller]
fn refused(sources: TestSources, words: &str) {
    assert_eq!(sources.faults(), [words]);
}

#[test]
fn unknown_keys() {
    refused(
        TestSources::file("[router]\nurl = 'x'\nhartbeat_interval = 3\n"),
        "auxot.toml:3:1: `router.hartbeat_interval`: unknown key; did you mean `heartbeat_interval`?",
    );
    refused(
        TestSources::file("[fleet]\n  zzz = 3\n"),
        "auxot.toml:2:3: `fleet.zzz`: unknown key; expected `autoload` or `devices`",
    );
    refused(
        TestSources::file("[rooter]\nurl = 'x'\nkey = 'y'\n"),
        "auxot.toml:1:2: `rooter`: unknown section; did you mean `router`?",
    );
    refused(TestSources::file("[rooter]\n"), "auxot.toml:1:2: `rooter`: unknown section; did you mean `router`?");
    refused(
        TestSources::file("[router]\nhartbeat_interval = ''\n"),
        "auxot.toml:2:1: `router.hartbeat_interval`: unknown key; did you mean `heartbeat_interval`?",
    );
    refused(
        TestSources::variable("AUXOT_ROUTER__URLL", "x"),
        "environment variable AUXOT_ROUTER__URLL: `router.urll`: unknown key; did you mean `url`?",
    );
    refused(
        TestSources::variable("AUXOT_SOMETHING__ELSE", "x"),
        "environment variable AUXOT_SOMETHING__ELSE: `something`: unknown section; \
         expected `router`, `fleet`, `engine` or `log`",
    );
}

#[test]
fn unknown_variables() {
    refused(
        TestSources::variable("AUXOT_ROUTER_ULR", "x"),
        "environment variable AUXOT_ROUTER_ULR: unknown variable; did you mean AUXOT_ROUTER_URL?",
    );
    refused(
        TestSources::variable("AUXOT_ENGINE_CACHE_RAM", "1GiB"),
        "environment variable AUXOT_ENGINE_CACHE_RAM: unknown variable; did you mean AUXOT_ENGINE__CACHE_RAM?",
    );
    refused(
        TestSources::variable("AUXOT_XYZ", "1"),
        "environment variable AUXOT_XYZ: unknown variable; `auxot-worker --help` lists the known ones",
    );
    refused(
        TestSources::variable("AUXOT_ROUTER__", "1"),
        "environment variable AUXOT_ROUTER__: unknown variable; did you mean AUXOT_ROUTER__URL?",
    );
    refused(
        TestSources::variable("AUXOT_LLAMA_URL", "http://x"),
        "environment variable AUXOT_LLAMA_URL: not supported: an engine that another program started cannot be \
         supervised; unset it and name the program to start in AUXOT_LLAMA_BINARY",
    );
    refused(
        TestSources::variable("AUXOT_ROUTER_URL", "a").and_variable("AUXOT_ROUTER__URL", "b"),
        "environment variable AUXOT_ROUTER__URL: `router.url`: set as AUXOT_ROUTER_URL too; keep one of the two",
    );
}

#[test]
fn durations() {
    const FORM: &str = "expected a duration such as \"30s\", \"5m\" or \"1h30m\", or whole seconds";
    let cases = ["soon", "-5s", "-5", "5 parsecs", "1.5.2s", "30.5", "5m and more"];
    for text in cases {
        refused(
            TestSources::variable("AUXOT_HEARTBEAT_INTERVAL", text),
            &format!(
                "environment variable AUXOT_HEARTBEAT_INTERVAL: `router.heartbeat_interval`: {FORM}, found {text:?}"
            ),
        );
    }
    refused(
        TestSources::flag("heartbeat-interval", "router.heartbeat_interval", "soon"),
        &format!("flag --heartbeat-interval: `router.heartbeat_interval`: {FORM}, found \"soon\""),
    );
    for (text, found) in [("-1", "-1"), ("1.5", "1.5"), ("true", "true"), ("[]", "a list"), ("{a=1}", "a section")] {
        let file: &'static str = Box::leak(format!("[router]\nheartbeat_interval = {text}\n").into_boxed_str());
        let [fault] = &TestSources::file(file).faults()[..] else { panic!("{text}") };
        assert!(fault.starts_with("auxot.toml:2:"), "{fault}");
        assert!(fault.ends_with(&format!("{FORM}, found {found}")), "{fault}");
    }
}

#[test]
fn wrong_kinds() {
    refused(
        TestSources::file("[router]\nport = 'nine'\n"),
        "auxot.toml:2:1: `router.port`: expected a whole number from 0 to 65535, found \"nine\"",
    );
    refused(
        TestSources::variable("AUXOT_ROUTER__PORT", "70000"),
        "environment variable AUXOT_ROUTER__PORT: `router.port`: expected a whole number from 0 to 65535, found 70000",
    );
    refused(
        TestSources::file("router.confirm = 'perhaps'"),
        "auxot.toml:1:8: `router.confirm`: expected true or false, found \"perhaps\"",
    );
    refused(
        TestSources::file("[engine]\ncache_ram = 'lots'\n"),
        "auxot.toml:2:1: `engine.cache_ram`: expected a size such as \"512MiB\" or \"20GiB\", found \"lots\"",
    );
    refused(
        TestSources::file("[fleet]\nautoload = 'a,b'\n"),
        "auxot.toml:2:1: `fleet.autoload`: expected a list such as [\"a\", \"b\"], found \"a,b\"",
    );
    refused(TestSources::file("router = 5\n"), "auxot.toml:1:1: `router`: expected a section, found 5");
    refused(TestSources::file("[router]\nurl = 5\n"), "auxot.toml:2:1: `router.url`: expected text in quotes, found 5");
    refused(
        TestSources::variable("AUXOT_FLEET__DEVICES", "0,x"),
        "environment variable AUXOT_FLEET__DEVICES: `fleet.devices`: expected a list such as [\"a\", \"b\"], \
         found \"0,x\"",
    );
    refused(
        TestSources::file("[engine]\nlayers = 'many'\n"),
        "auxot.toml:2:1: `engine.layers`: the value is of the wrong kind",
    );
    refused(
        TestSources::variable("AUXOT_ROUTER__HOST", "here"),
        "environment variable AUXOT_ROUTER__HOST: `router.host`: invalid IP address syntax",
    );
    refused(
        TestSources::file("[log]\nformat = 'jsn'\n"),
        "auxot.toml:2:1: `log.format`: expected `text` or `json`, found \"jsn\"; did you mean `json`?",
    );
    refused(
        TestSources::variable("AUXOT_LOG_LEVEL", "inof"),
        "environment variable AUXOT_LOG_LEVEL: `log.level`: expected `off`, `error`, `warn`, `info`, `debug` or \
         `trace`, or `target=level` with commas between, found \"inof\"",
    );
    refused(
        TestSources::file("[router]\nport = 99999999999999999999\n"),
        "auxot.toml:2:1: `router.port`: the number does not fit into 64 bits",
    );
}

#[test]
fn broken_files() {
    refused(
        TestSources::file("[router\nurl = 1\n").and_variable("AUXOT_ROUTER_URL", "x"),
        "auxot.toml:1:8: cannot read this as TOML: unclosed table, expected `]`",
    );
    refused(
        TestSources::file("[router]\nurl='a'\nurl='b'\n"),
        "auxot.toml:3:1: cannot read this as TOML: duplicate key",
    );
}

#[test]
fn the_value_of_a_secret_is_never_printed() {
    for sources in [
        TestSources::file("[router]\nkey = 123456\npin = 'hunter2'\n"),
        TestSources::file("[router]\nkey = ['hunter2', '123456']\n[router.kye]\nx = 'hunter2'"),
        TestSources::variable("AUXOT_ROUTER__PIN", "hunter2"),
        TestSources::variable("AUXOT_ROUTER__KEY", "123456").and_variable("AUXOT_GPU_KEY", "hunter2"),
        TestSources::flag("pin", "router.pin", "123456hunter2"),
        TestSources::variable("AUXOT_GPU_KYE", "hunter2"),
    ] {
        let text = sources.faults().join("\n");
        assert!(!text.contains("hunter2") && !text.contains("123456"), "{text}");
    }
}

#[test]
fn all_faults_of_all_sources_are_reported_together_in_order() {
    let sources = TestSources::file("[router]\nport = 'nine'\nulr = 'x'\n[engine]\ncache_ram = 'lots'\n")
        .and_variable("AUXOT_ROUTER__PORT", "8080")
        .and_variable("AUXOT_HEARTBEAT_INTERVAL", "soon")
        .and_variable("AUXOT_NONSENSE", "1")
        .and_flag("log-level", "log.level", "loud");
    let faults = sources.load().unwrap_err();
    let text = faults.to_string();
    let places: Vec<&str> = text.lines().filter_map(|line| line.trim().split(": ").next()).collect();
    assert_eq!(
        places,
        [
            "cannot use the settings, 6 faults:",
            "auxot.toml:2:1",
            "auxot.toml:3:1",
            "auxot.toml:5:1",
            "environment variable AUXOT_NONSENSE",
            "environment variable AUXOT_HEARTBEAT_INTERVAL",
            "flag --log-level",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_text() {
    use std::os::unix::ffi::OsStringExt;
    let mut sources = TestSources::default();
    sources.environment.push(("AUXOT_ROUTER_URL".into(), OsString::from_vec(vec![0xff, 0x41])));
    refused(sources, "environment variable AUXOT_ROUTER_URL: `router.url`: the value is not UTF-8");
}
