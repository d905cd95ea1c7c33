//! What is refused, in the exact words.

use super::*;

#[track_caller]
fn refused(world: World, words: &str) {
    assert_eq!(world.faults(), [words]);
}

#[test]
fn unknown_keys() {
    refused(
        World::file("[router]\nurl = 'x'\nhartbeat_interval = 3\n"),
        "auxot.toml:3:1: `router.hartbeat_interval`: unknown key; did you mean `heartbeat_interval`?",
    );
    refused(
        World::file("[fleet]\n  zzz = 3\n"),
        "auxot.toml:2:3: `fleet.zzz`: unknown key; expected `autoload` or `devices`",
    );
    refused(
        World::file("[rooter]\nurl = 'x'\nkey = 'y'\n"),
        "auxot.toml:1:2: `rooter`: unknown section; did you mean `router`?",
    );
    refused(World::file("[rooter]\n"), "auxot.toml:1:2: `rooter`: unknown section; did you mean `router`?");
    refused(
        World::file("[router]\nhartbeat_interval = ''\n"),
        "auxot.toml:2:1: `router.hartbeat_interval`: unknown key; did you mean `heartbeat_interval`?",
    );
    refused(
        World::variable("AUXOT_ROUTER__URLL", "x"),
        "environment variable AUXOT_ROUTER__URLL: `router.urll`: unknown key; did you mean `url`?",
    );
    refused(
        World::variable("AUXOT_SOMETHING__ELSE", "x"),
        "environment variable AUXOT_SOMETHING__ELSE: `something`: unknown section; \
         expected `router`, `fleet`, `engine` or `log`",
    );
}

#[test]
fn unknown_variables() {
    refused(
        World::variable("AUXOT_ROUTER_ULR", "x"),
        "environment variable AUXOT_ROUTER_ULR: unknown variable; did you mean AUXOT_ROUTER_URL?",
    );
    refused(
        World::variable("AUXOT_ENGINE_CACHE_RAM", "1GiB"),
        "environment variable AUXOT_ENGINE_CACHE_RAM: unknown variable; did you mean AUXOT_ENGINE__CACHE_RAM?",
    );
    refused(
        World::variable("AUXOT_XYZ", "1"),
        "environment variable AUXOT_XYZ: unknown variable; `auxot-worker --help` lists the known ones",
    );
    refused(
        World::variable("AUXOT_ROUTER__", "1"),
        "environment variable AUXOT_ROUTER__: unknown variable; did you mean AUXOT_ROUTER__URL?",
    );
    refused(
        World::variable("AUXOT_LLAMA_URL", "http://x"),
        "environment variable AUXOT_LLAMA_URL: not supported: an engine that somebody else started cannot be \
         supervised; unset it and name the program to start in AUXOT_LLAMA_BINARY",
    );
    refused(
        World::variable("AUXOT_ROUTER_URL", "a").and_variable("AUXOT_ROUTER__URL", "b"),
        "environment variable AUXOT_ROUTER__URL: `router.url`: set as AUXOT_ROUTER_URL too; keep one of the two",
    );
}

#[test]
fn durations() {
    const FORM: &str = "expected a duration such as \"30s\", \"5m\" or \"1h30m\", or whole seconds";
    let cases = ["soon", "-5s", "-5", "5 parsecs", "1.5.2s", "30.5", "5m and more"];
    for text in cases {
        refused(
            World::variable("AUXOT_HEARTBEAT_INTERVAL", text),
            &format!(
                "environment variable AUXOT_HEARTBEAT_INTERVAL: `router.heartbeat_interval`: {FORM}, found {text:?}"
            ),
        );
    }
    refused(
        World::flag("heartbeat-interval", "router.heartbeat_interval", "soon"),
        &format!("flag --heartbeat-interval: `router.heartbeat_interval`: {FORM}, found \"soon\""),
    );
    for (text, found) in [("-1", "-1"), ("1.5", "1.5"), ("true", "true"), ("[]", "a list"), ("{a=1}", "a section")] {
        let file: &'static str = Box::leak(format!("[router]\nheartbeat_interval = {text}\n").into_boxed_str());
        let [fault] = &World::file(file).faults()[..] else { panic!("{text}") };
        assert!(fault.starts_with("auxot.toml:2:"), "{fault}");
        assert!(fault.ends_with(&format!("{FORM}, found {found}")), "{fault}");
    }
}

#[test]
fn wrong_kinds() {
    refused(
        World::file("[router]\nport = 'nine'\n"),
        "auxot.toml:2:1: `router.port`: expected a whole number from 0 to 65535, found \"nine\"",
    );
    refused(
        World::variable("AUXOT_ROUTER__PORT", "70000"),
        "environment variable AUXOT_ROUTER__PORT: `router.port`: expected a whole number from 0 to 65535, found 70000",
    );
    refused(
        World::file("router.confirm = 'perhaps'"),
        "auxot.toml:1:8: `router.confirm`: expected true or false, found \"perhaps\"",
    );
    refused(
        World::file("[engine]\ncache_ram = 'lots'\n"),
        "auxot.toml:2:1: `engine.cache_ram`: expected a size such as \"512MiB\" or \"20GiB\", found \"lots\"",
    );
    refused(
        World::file("[fleet]\nautoload = 'a,b'\n"),
        "auxot.toml:2:1: `fleet.autoload`: expected a list such as [\"a\", \"b\"], found \"a,b\"",
    );
    refused(World::file("router = 5\n"), "auxot.toml:1:1: `router`: expected a section, found 5");
    refused(World::file("[router]\nurl = 5\n"), "auxot.toml:2:1: `router.url`: expected text in quotes, found 5");
    refused(
        World::variable("AUXOT_FLEET__DEVICES", "0,x"),
        "environment variable AUXOT_FLEET__DEVICES: `fleet.devices`: expected a list such as [\"a\", \"b\"], \
         found \"0,x\"",
    );
    refused(
        World::file("[engine]\nlayers = 'many'\n"),
        "auxot.toml:2:1: `engine.layers`: the value is of the wrong kind",
    );
    refused(
        World::variable("AUXOT_ROUTER__HOST", "here"),
        "environment variable AUXOT_ROUTER__HOST: `router.host`: invalid IP address syntax",
    );
    refused(
        World::file("[log]\nformat = 'jsn'\n"),
        "auxot.toml:2:1: `log.format`: expected `text` or `json`, found \"jsn\"; did you mean `json`?",
    );
    refused(
        World::variable("AUXOT_LOG_LEVEL", "inof"),
        "environment variable AUXOT_LOG_LEVEL: `log.level`: expected `off`, `error`, `warn`, `info`, `debug` or \
         `trace`, or `target=level` with commas between, found \"inof\"",
    );
    refused(
        World::file("[router]\nport = 99999999999999999999\n"),
        "auxot.toml:2:1: `router.port`: the number does not fit into 64 bits",
    );
}

#[test]
fn broken_files() {
    refused(
        World::file("[router\nurl = 1\n").and_variable("AUXOT_ROUTER_URL", "x"),
        "auxot.toml:1:8: cannot read this as TOML: unclosed table, expected `]`",
    );
    refused(World::file("[router]\nurl='a'\nurl='b'\n"), "auxot.toml:3:1: cannot read this as TOML: duplicate key");
}

#[test]
fn the_value_of_a_secret_is_never_quoted() {
    for world in [
        World::file("[router]\nkey = 123456\npin = 'hunter2'\n"),
        World::file("[router]\nkey = ['hunter2', '123456']\n[router.kye]\nx = 'hunter2'"),
        World::variable("AUXOT_ROUTER__PIN", "hunter2"),
        World::variable("AUXOT_ROUTER__KEY", "123456").and_variable("AUXOT_GPU_KEY", "hunter2"),
        World::flag("pin", "router.pin", "123456hunter2"),
        World::variable("AUXOT_GPU_KYE", "hunter2"),
    ] {
        let told = world.faults().join("\n");
        assert!(!told.contains("hunter2") && !told.contains("123456"), "{told}");
    }
}

#[test]
fn all_faults_of_all_sources_come_at_once_in_order() {
    let world = World::file("[router]\nport = 'nine'\nulr = 'x'\n[engine]\ncache_ram = 'lots'\n")
        .and_variable("AUXOT_ROUTER__PORT", "8080")
        .and_variable("AUXOT_HEARTBEAT_INTERVAL", "soon")
        .and_variable("AUXOT_NONSENSE", "1")
        .and_flag("log-level", "log.level", "loud");
    let faults = world.load().unwrap_err();
    let told = faults.to_string();
    let places: Vec<&str> = told.lines().filter_map(|line| line.trim().split(": ").next()).collect();
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
fn a_value_that_is_no_text() {
    use std::os::unix::ffi::OsStringExt;
    let mut world = World::default();
    world.environment.push(("AUXOT_ROUTER_URL".into(), OsString::from_vec(vec![0xff, 0x41])));
    refused(world, "environment variable AUXOT_ROUTER_URL: `router.url`: the value is not UTF-8");
}
