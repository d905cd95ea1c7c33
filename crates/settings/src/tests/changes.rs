//! Changes between two versions of the settings, key by key, for all keys.

use std::path::Path;

use crate::toml_text::dotted;
use crate::tree::Tree;
use crate::{Faults, Loaded, NAMES, SettingChange, Settings, Sources, When, load};

/// Values of every kind; the first that fits a key and is not its default is used.
const VALUES: [&str; 15] = [
    "77",
    "'77s'",
    "'77MiB'",
    "true",
    "false",
    "'/tmp'",
    "['a=b']",
    "'debug'",
    "'on'",
    "'json'",
    "'retry'",
    "'tensor'",
    "'::1'",
    "['8080']",
    "{ x = { slots = 7 } }",
];

fn read(text: &str) -> Result<Loaded<Settings>, Faults> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    load(&Sources { config: Some(file.path().to_owned()), ..Sources::default() }, &NAMES)
}

fn good(text: &str) -> Loaded<Settings> {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn as_text(loaded: &Loaded<Settings>) -> String {
    format!("{:?}", loaded.value)
}

#[track_caller]
fn assert_changes(old: &str, new: &str, keys: &[&str]) {
    let changes = good(old).changes(&good(new));
    assert_eq!(changes.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), keys);
}

#[test]
fn each_key_alone_is_one_change_and_is_applied_now_or_not_at_all() {
    let default = good("");
    let mut at_start = Vec::new();
    for (key, _) in Tree::of(&Settings::default()).unwrap().leaves() {
        let key = dotted(&key);
        let other = VALUES
            .iter()
            .filter_map(|value| read(&format!("{key} = {value}")).ok())
            .find(|other| as_text(other) != as_text(&default))
            .unwrap_or_else(|| panic!("no other value for {key}: add one to VALUES"));
        let changes = default.changes(&other);
        let [SettingChange { key: printed, when }] = &changes[..] else { panic!("{key}: {changes:?}") };
        assert!(*printed == key || printed == "fleet.models.x", "{key} is printed as {printed}");
        assert_eq!(other.changes(&default).len(), 1, "{key} back");
        assert_eq!(other.changes(&other), [], "{key} the same");

        let running = default.clone().with(other.clone());
        match when {
            When::Now => {
                assert_eq!(as_text(&running), as_text(&other), "{key}");
                assert_eq!(running.changes(&other), [], "{key} is in force");
            }
            When::NextStart => {
                assert_eq!(as_text(&running), as_text(&default), "{key}");
                assert_eq!(running.changes(&other), changes, "{key} still waits");
                at_start.push(key);
            }
        }
    }
    at_start.retain(|key| {
        !["router.", "gateway.", "gpu.", "metrics.", "page.", "traces.", "log."]
            .iter()
            .any(|section| key.starts_with(section))
    });
    let of_engines = ["binary", "log_dir", "log_file_size", "log_total_size", "runtime_dir"];
    assert_eq!(at_start, of_engines.map(|key| format!("engine.{key}")));
}

#[test]
fn an_added_or_removed_table_is_one_change_and_a_key_in_a_kept_table_another() {
    let one = "[fleet.models.'a.b']\nslots = 2\nenv = { X = '1' }\n";
    assert_changes("", one, &["fleet.models.\"a.b\""]);
    assert_changes(one, "", &["fleet.models.\"a.b\""]);
    assert_changes("", "[fleet.models.c]\n", &["fleet.models.c"]);
    assert_changes(one, &format!("{one}[fleet.models.c]\n"), &["fleet.models.c"]);
    assert_changes(
        one,
        "[fleet.models.'a.b']\nslots = 3\n",
        &["fleet.models.\"a.b\".env.X", "fleet.models.\"a.b\".slots"],
    );
}

#[test]
fn sizes_are_compared_to_the_byte_and_not_as_they_are_written() {
    assert_changes("", "engine.cache_ram = '1024MiB'", &[]);
    assert_changes("", "engine.cache_ram = 1073741824", &[]);
    assert_changes("", "engine.cache_ram = '1025MiB'", &["engine.cache_ram"]);
    assert_changes("engine.cache_ram = '1026MiB'", "engine.cache_ram = '1025MiB'", &["engine.cache_ram"]);
    assert_changes("placement.host_limit = '3000MiB'", "", &["placement.host_limit"]);
    assert_changes("fleet.ttl = 90", "fleet.ttl = '1m30s'", &[]);
}

#[test]
fn the_worker_key_is_compared_and_never_printed() {
    assert_changes("router.key = 'gpu_1'", "router.key = 'gpu_2'", &["router.key"]);
    assert_changes("router.key = 'gpu_1'", "router.key = 'gpu_1'", &[]);
    let changes = good("router.key = 'gpu_1'").changes(&good("router.key = 'gpu_2'"));
    assert_eq!(changes, [SettingChange { key: "router.key".to_owned(), when: When::NextStart }]);
}

#[test]
fn values_that_stay_keep_their_sources() {
    let running = good("router.max_message = '9MiB'\n");
    let read = good("fleet.ttl = 90\n");
    let running = running.with(read);
    assert_ne!(running.origin("router.max_message"), crate::Origin::Default);
    assert_ne!(running.origin("fleet.ttl"), crate::Origin::Default);
}

#[test]
fn the_same_file_changes_nothing_and_must_still_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("auxot");
    std::fs::create_dir(&config).unwrap();
    let path = config.join("auxot-worker.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let environment = [("XDG_CONFIG_HOME", folder.path().to_str().unwrap()), ("AUXOT_GPU_KEY", "gpu_1")];
    let sources = Sources::new(environment.map(|(name, value)| (name.into(), value.into())));

    write(include_str!("../../../../config/example.toml"));
    let running = Settings::load(&sources).unwrap();
    assert_eq!(running.file.as_deref(), Some(Path::new(&path)));
    let again = Settings::load_again(&sources, &running).unwrap();
    assert_eq!(running.changes(&again), []);

    write("[fleet]\nttl = 'soon'\nmax_wait = 0\n");
    assert_eq!(Settings::load_again(&sources, &running).unwrap_err().0.len(), 2);

    std::fs::remove_file(&path).unwrap();
    assert!(Settings::load(&sources).unwrap().file.is_none());
    let printed = Settings::load_again(&sources, &running).unwrap_err().0[0].to_string();
    let path = path.display();
    assert!(
        printed.starts_with(&format!("{path}: cannot read the configuration file {path}: No such file")),
        "{printed}"
    );
}
