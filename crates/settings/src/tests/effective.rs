//! The effective settings, printed and read back.

use super::*;

#[test]
fn every_value_is_printed_with_its_source_and_secrets_are_not() {
    let sources = TestSources::file("[router]\nurl = 'a\"b\\c'\nsilence = 45\n")
        .and_variable("AUXOT_GPU_KEY", "hunter2")
        .and_variable("AUXOT_GPU_AUTOLOAD_MODELS", "a,b")
        .and_variable("AUXOT_ENGINE__ENV__A.b", "1")
        .and_flag("debug", "log.level", "debug");
    let mut loaded = sources.load().unwrap();
    loaded.file = Some("auxot.toml".into());
    for given in loaded.given.values_mut() {
        if let Origin::File { path, .. } = &mut given.origin {
            *path = "auxot.toml".into();
        }
    }
    insta::assert_snapshot!(loaded.effective(), @r##"
    # file: auxot.toml

    [engine]
    cache_ram = "1.0 GiB"  # default
    extra_args = []  # default
    # layers is not set  # default

    [engine.env]
    "A.b" = "1"  # environment variable AUXOT_ENGINE__ENV__A.b

    [fleet]
    autoload = ["a", "b"]  # environment variable AUXOT_GPU_AUTOLOAD_MODELS
    # devices is not set  # default

    [log]
    format = "text"  # default
    level = "debug"  # flag --debug

    [router]
    # ca_file is not set  # default
    confirm = false  # default
    heartbeat_interval = "30s"  # default
    host = "127.0.0.1"  # default
    key = "***"  # environment variable AUXOT_GPU_KEY
    max_message = "256.0 MiB"  # default
    port = 9090  # default
    share = 0.5  # default
    silence = "45s"  # auxot.toml:3:1
    url = "a\"b\\c"  # auxot.toml:2:1
    "##);
}

#[test]
fn the_printed_text_can_be_used_as_a_file() {
    let sources = TestSources::variable("AUXOT_ENGINE__EXTRA_ARGS", r#"["a\\b", "c\td\u0001"]"#)
        .and_variable("AUXOT_ROUTER__MAX_MESSAGE", "1500")
        .and_variable("AUXOT_ENGINE__LAYERS", "-1")
        .and_variable("AUXOT_LOG_LEVEL", "warn,a=debug");
    let first = sources.load().unwrap();
    let text: &'static str = Box::leak(first.effective().into_boxed_str());
    let second = TestSources::file(text).load().unwrap_or_else(|faults| panic!("{text}\n{faults}"));
    assert_eq!(format!("{:?}", second.value), format!("{:?}", first.value));
}
