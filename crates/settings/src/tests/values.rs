//! Accepted settings, and the order of the layers.

use std::path::PathBuf;

use super::*;

#[test]
fn without_sources_the_defaults_apply() {
    let loaded = TestSources::default().load().unwrap();
    assert_eq!(loaded.value.router.url, "auxot.com");
    assert_eq!(loaded.origin("router.url"), Origin::Default);
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let file = "[router]\nurl = 'file'\nport = 1\nconfirm = true\n";
    let sources =
        || TestSources::file(file).and_variable("AUXOT_ROUTER_URL", "env").and_variable("AUXOT_ROUTER__PORT", "2");
    let loaded = sources().and_flag("router-url", "router.url", "flag").load().unwrap();
    assert_eq!((loaded.value.router.url.as_str(), loaded.value.router.port), ("flag", 2));
    assert!(loaded.value.router.confirm);
    assert_eq!(loaded.origin("router.url"), Origin::Flag("router-url".into()));
    assert_eq!(loaded.origin("router.port"), Origin::Variable("AUXOT_ROUTER__PORT".into()));
    assert!(matches!(loaded.origin("router.confirm"), Origin::File { place: Some((4, 1)), .. }));
}

#[test]
fn durations_are_read_in_every_source() {
    for (text, seconds) in
        [("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("1h 30m", 5400.0), ("500ms", 0.5), ("0", 0.0)]
    {
        let wanted = Duration::from_secs_f64(seconds);
        let sources = TestSources::variable("AUXOT_HEARTBEAT_INTERVAL", text);
        assert_eq!(sources.good().router.heartbeat_interval, wanted, "variable {text}");
        let sources = TestSources::flag("heartbeat-interval", "router.heartbeat_interval", text);
        assert_eq!(sources.good().router.heartbeat_interval, wanted, "flag {text}");
    }
    assert_eq!(TestSources::file("router.heartbeat_interval = 45").good().router.heartbeat_interval.as_secs(), 45);
    assert_eq!(TestSources::file("router.heartbeat_interval = '1m30s'").good().router.heartbeat_interval.as_secs(), 90);
    assert_eq!(TestSources::file("router.silence = 45").good().router.silence, Some(Duration::from_secs(45)));
}

#[test]
fn lists_are_split_at_commas_outside_the_file() {
    let autoload = |value| TestSources::variable("AUXOT_GPU_AUTOLOAD_MODELS", value).good().fleet.autoload;
    assert_eq!(autoload("a"), ["a"]);
    assert_eq!(autoload(" a , b-q4_k_m,, c "), ["a", "b-q4_k_m", "c"]);
    assert_eq!(autoload("7"), ["7"]);
    assert_eq!(TestSources::flag("devices", "fleet.devices", "0,1").good().fleet.devices, Some(vec![0, 1]));
    assert_eq!(TestSources::variable("AUXOT_FLEET__DEVICES", "0").good().fleet.devices, Some(vec![0]));
    let sources = TestSources::variable("AUXOT_ENGINE__EXTRA_ARGS", r#"["--tensor-split", "3,1"]"#);
    assert_eq!(sources.good().engine.extra_args, ["--tensor-split", "3,1"]);
}

#[test]
fn text_that_looks_like_a_number_stays_text_for_a_text_key() {
    for key in ["0123", "1234567890", "1e5", "[abc,def", "true", "a,b"] {
        assert_eq!(key_of(&TestSources::variable("AUXOT_GPU_KEY", key).good()), Some(key));
    }
}

#[test]
fn text_becomes_the_type_of_its_key() {
    let small = TestSources::variable("AUXOT_ROUTER__PORT", "8123")
        .and_variable("AUXOT_ROUTER__CONFIRM", "true")
        .and_variable("AUXOT_ROUTER__SHARE", "0.25")
        .and_variable("AUXOT_ROUTER__HOST", "::1")
        .and_variable("AUXOT_ROUTER__CA_FILE", "/etc/ca.pem")
        .and_variable("AUXOT_ENGINE__CACHE_RAM", "2GiB")
        .and_variable("AUXOT_ENGINE__LAYERS", "20")
        .good();
    assert_eq!((small.router.port, small.router.confirm), (8123, true));
    assert!((small.router.share - 0.25).abs() < f64::EPSILON);
    assert!(small.router.host.is_ipv6());
    assert_eq!(small.router.ca_file, Some(PathBuf::from("/etc/ca.pem")));
    assert_eq!(small.engine.cache_ram, ByteSize::gib(2));
    assert_eq!(small.engine.layers, Layers::Count(20));
}

#[test]
fn empty_is_the_same_as_unset_in_every_source() {
    let sources = TestSources::file("[router]\nurl = ''\nca_file = ''\nport = ''\n")
        .and_variable("AUXOT_ROUTER_URL", "")
        .and_variable("AUXOT_ROUTER__PORT", "  ")
        .and_variable("AUXOT_NO_SUCH_NAME", "")
        .and_flag("heartbeat-interval", "router.heartbeat_interval", "");
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.value.router.url, "auxot.com");
    assert_eq!(loaded.value.router.ca_file, None);
    assert_eq!(loaded.origin("router.url"), Origin::Default);
}

#[test]
fn white_space_around_a_value_is_dropped() {
    assert_eq!(key_of(&TestSources::variable("AUXOT_GPU_KEY", " gpu_1\n").good()), Some("gpu_1"));
}

#[test]
fn fixed_keys_are_lower_case_and_user_defined_keys_keep_their_case() {
    let small = TestSources::variable("AUXOT_ENGINE__ENV__HIP_Visible", "0").good();
    assert_eq!(small.engine.env, BTreeMap::from([("HIP_Visible".to_owned(), "0".to_owned())]));
}

#[test]
fn variables_of_sibling_programs_are_ignored_and_listed() {
    let sources = TestSources::variable("AUXOT_MODEL", "x")
        .and_variable("AUXOT_TOOLS_SEARCH__KEY", "s")
        .and_variable("AUXOT_MCP_EXPOSE_LLM", "true")
        .and_variable("HOME", "/nowhere")
        .and_variable("XAUXOT_URL", "y");
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.ignored, ["AUXOT_MCP_EXPOSE_LLM", "AUXOT_MODEL", "AUXOT_TOOLS_SEARCH__KEY"]);
}

#[test]
fn a_usual_file_may_be_missing_and_a_named_one_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("auxot");
    std::fs::create_dir(&config).unwrap();
    let home = ("XDG_CONFIG_HOME".into(), folder.path().into());
    let mut sources = Sources::new([home]);
    assert!(load::<Small>(&sources, &SMALL).unwrap().file.is_none());

    let path = config.join("auxot-worker.toml");
    std::fs::write(&path, "[router]\nport = 7\n").unwrap();
    let loaded = load::<Small>(&sources, &SMALL).unwrap();
    assert_eq!((loaded.value.router.port, loaded.file), (7, Some(path)));

    sources.environment.push(("AUXOT_CONFIG".into(), "/no/such/file.toml".into()));
    let faults = load::<Small>(&sources, &SMALL).unwrap_err();
    assert_eq!(
        faults.0[0].to_string(),
        "environment variable AUXOT_CONFIG: cannot read the configuration file /no/such/file.toml: \
         No such file or directory (os error 2)"
    );
    sources.config = Some("/no/other.toml".into());
    let faults = load::<Small>(&sources, &SMALL).unwrap_err();
    assert!(faults.0[0].to_string().starts_with("flag --config: cannot read"), "{faults}");
}

#[test]
fn the_usual_files_follow_the_xdg_rules() {
    let usual = |environment: &[(&str, &str)]| {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        Sources::new(environment).usual_files()
    };
    let etc = || PathBuf::from("/etc/auxot/auxot-worker.toml");
    assert_eq!(usual(&[]), [etc()]);
    assert_eq!(usual(&[("HOME", "/h")]), [PathBuf::from("/h/.config/auxot/auxot-worker.toml"), etc()]);
    assert_eq!(usual(&[("XDG_CONFIG_HOME", "relative")]), [etc()]);
    assert_eq!(
        usual(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]),
        [PathBuf::from("/x/auxot/auxot-worker.toml"), etc()]
    );
}

#[test]
fn verbosity_is_a_level_or_directives() {
    let level = |value| TestSources::variable("AUXOT_LOG_LEVEL", value).good().log.level;
    assert_eq!(level("DEBUG").own, Level::Debug);
    let mixed = level("warn,auxot_relay=trace");
    assert_eq!((mixed.own, mixed.targets), (Level::Warn, vec![("auxot_relay".to_owned(), Level::Trace)]));
}
