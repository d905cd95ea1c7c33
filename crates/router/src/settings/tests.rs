//! Defaults, precedence, and every fault at once.

use std::time::Duration;

use clap::Parser;

use super::{Cli, keys_file, serve};

mod providers;

fn environment(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
    move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn parse(line: &str) -> Cli {
    Cli::try_parse_from(line.split(' ')).unwrap()
}

#[test]
fn without_arguments_the_documented_defaults_apply() {
    let (config, logging) = serve(&parse("auxot-router").serve, &environment(&[("AUXOT_PORT", " ")])).unwrap();
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 8080));
    assert_eq!((config.dead_threshold, config.job_timeout), (Duration::from_secs(90), Duration::from_mins(5)));
    assert_eq!((config.idle_timeout, config.body_timeout), (Duration::from_secs(75), Duration::from_secs(30)));
    assert!(!logging.json && config.tls.is_none());
}

#[test]
fn a_flag_wins_over_its_variable() {
    let cli = parse("auxot-router --port 0 --job-timeout 1h30m");
    let environment = environment(&[("AUXOT_PORT", "9"), ("AUXOT_WORKER_DEAD_THRESHOLD", "6s"), ("AUXOT_MODEL", "m")]);
    let (config, _) = serve(&cli.serve, &environment).unwrap();
    assert_eq!((config.port, config.job_timeout), (0, Duration::from_mins(90)));
    assert_eq!((config.dead_threshold, config.desired.model.as_deref()), (Duration::from_secs(6), Some("m")));
}

#[test]
fn each_flag_of_a_time_or_a_size_sets_its_own_field() {
    let line = "auxot-router --drain-timeout 1s --auth-cache-ttl 2s --idle-timeout 3s --body-timeout 4s --max-waiting 5 --max-bodies 6KiB";
    let (flags, _) = serve(&parse(line).serve, &environment(&[])).unwrap();
    let (variables, _) = serve(
        &parse("auxot-router").serve,
        &environment(&[
            ("AUXOT_DRAIN_TIMEOUT", "1s"),
            ("AUXOT_AUTH_CACHE_TTL", "2s"),
            ("AUXOT_IDLE_TIMEOUT", "3s"),
            ("AUXOT_BODY_TIMEOUT", "4s"),
            ("AUXOT_MAX_WAITING", "5"),
            ("AUXOT_MAX_BODIES", "6KiB"),
        ]),
    )
    .unwrap();
    for config in [flags, variables] {
        let times = [config.drain_timeout, config.auth_cache_ttl, config.idle_timeout, config.body_timeout];
        assert_eq!(times, [1, 2, 3, 4].map(Duration::from_secs));
        assert_eq!((config.max_waiting, config.max_bodies), (5, 6 << 10));
    }
}

#[test]
fn a_certificate_needs_its_key() {
    let tls = |line: &str, pairs| serve(&parse(line).serve, &environment(pairs)).map(|(config, _)| config.tls);
    let files = Some(("/c".into(), "/k".into()));
    assert_eq!(tls("auxot-router --tls-certificate /c", &[("AUXOT_TLS_KEY", "/k")]).unwrap(), files);
    let fault = tls("auxot-router", &[("AUXOT_TLS_CERTIFICATE", "/c")]).unwrap_err().to_string();
    assert!(fault.contains("AUXOT_TLS_KEY"), "{fault}");
}

#[test]
fn variables_of_a_kubernetes_service_are_not_settings() {
    let injected = environment(&[
        ("AUXOT_PORT", "tcp://10.0.0.1:8080"),
        ("AUXOT_ROUTER_PORT", "tcp://10.0.0.1:8080"),
        ("AUXOT_ROUTER_SERVICE_HOST", "10.0.0.1"),
        ("AUXOT_MAX_BODIES", "1MiB"),
    ]);
    let (config, _) = serve(&parse("auxot-router").serve, &injected).unwrap();
    assert_eq!((config.port, config.host.as_str(), config.max_bodies), (8080, "127.0.0.1", 1 << 20));
}

#[test]
fn all_faults_are_reported_together_with_their_sources() {
    let cli = parse("auxot-router --port 99999 --job-timeout 0s");
    let environment = environment(&[
        ("AUXOT_WORKER_DEAD_THRESHOLD", "soon"),
        ("AUXOT_MAX_PARALLEL", "0"),
        ("AUXOT_LOG_LEVEL", "loud"),
        ("AUXOT_API_KEY_HASH", "plain"),
    ]);
    let faults = serve(&cli.serve, &environment).unwrap_err().to_string();
    let sources = [
        "--port",
        "--job-timeout",
        "AUXOT_WORKER_DEAD_THRESHOLD",
        "AUXOT_MAX_PARALLEL",
        "AUXOT_LOG_LEVEL",
        "AUXOT_API_KEY_HASH",
    ];
    assert_eq!(faults.lines().count(), sources.len(), "{faults}");
    for source in sources {
        assert!(faults.contains(source), "{source} in {faults}");
    }
}

#[test]
fn the_key_file_is_under_the_configuration_folder() {
    let at = |pairs| keys_file(None, &environment(pairs)).unwrap().display().to_string();
    assert_eq!(at(&[("HOME", "/h")]), "/h/.config/auxot/router-keys");
    assert_eq!(at(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), "/x/auxot/router-keys");
    assert_eq!(at(&[("AUXOT_ROUTER_KEYS_FILE", "/k")]), "/k");
    assert!(keys_file(None, &environment(&[])).is_err());
}

#[test]
fn the_key_file_of_an_earlier_version_is_used_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap().to_owned();
    let environment = move |name: &str| (name == "XDG_CONFIG_HOME").then(|| home.clone());
    let (former, usual) = (folder.path().join("auxot/router-keys.toml"), folder.path().join("auxot/router-keys"));
    std::fs::create_dir(folder.path().join("auxot")).unwrap();
    std::fs::write(&former, "").unwrap();
    assert_eq!(keys_file(None, &environment).unwrap(), former);
    std::fs::write(&usual, "").unwrap();
    assert_eq!(keys_file(None, &environment).unwrap(), usual);
}

#[test]
fn an_unknown_flag_or_a_flag_before_another_command_is_an_error() {
    assert!(Cli::try_parse_from(["auxot-router", "--prot", "1"]).is_err());
    assert!(Cli::try_parse_from(["auxot-router", "--behave-like-upstream"]).is_err(), "a switch for tests only");
    assert!(Cli::try_parse_from(["auxot-router", "--port", "1", "keys", "list"]).is_err());
    assert!(Cli::try_parse_from(["auxot-router", "serve", "--port", "1"]).is_ok());
}
