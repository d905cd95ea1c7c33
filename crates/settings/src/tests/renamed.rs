//! Settings under their old names.

use super::*;

const FROM_FILE: &str = "[router]\nbeat = '9s'\n";

fn warnings(sources: TestSources) -> Vec<String> {
    let loaded = sources.load().unwrap_or_else(|faults| panic!("{faults}"));
    loaded.old_names.iter().map(ToString::to_string).collect()
}

#[test]
fn an_old_name_sets_the_value_with_one_warning_that_names_the_new_one() {
    let cases = [
        (TestSources::file(FROM_FILE), "auxot.toml:2:1"),
        (TestSources::variable("AUXOT_ROUTER__BEAT", "9s"), "environment variable AUXOT_ROUTER__BEAT"),
        (TestSources::variable("AUXOT_BEAT", "9s"), "environment variable AUXOT_BEAT"),
        (TestSources::flag("beat", "router.beat", "9s"), "flag --beat"),
    ];
    for (sources, origin) in cases {
        assert_eq!(sources.clone().good().router.heartbeat_interval, Duration::from_secs(9), "{origin}");
        let expected = format!(
            "{origin}: `router.beat`: renamed to `router.heartbeat_interval`, AUXOT_HEARTBEAT_INTERVAL or \
             --heartbeat-interval; the next release refuses the old name"
        );
        assert_eq!(warnings(sources), [expected]);
    }
    assert_eq!(
        warnings(TestSources::variable("AUXOT_ENGINE__CACHE", "1GiB")),
        ["environment variable AUXOT_ENGINE__CACHE: `engine.cache`: renamed to `engine.cache_ram` or \
          AUXOT_ENGINE__CACHE_RAM; the next release refuses the old name"]
    );
}

#[test]
fn old_names_are_layered_like_new_ones_with_one_warning_each() {
    let sources = TestSources::file(FROM_FILE).and_variable("AUXOT_BEAT", "8s");
    assert_eq!(sources.clone().good().router.heartbeat_interval, Duration::from_secs(8));
    assert_eq!(warnings(sources).len(), 2);
}

#[test]
fn a_setting_under_both_names_is_a_fault() {
    let fault = |old: &str, new: &str| {
        [format!(
            "{old}: `router.beat`: is the old name of `router.heartbeat_interval`, which is set too ({new}); keep the new name only"
        )]
    };
    assert_eq!(
        TestSources::file("[router]\nbeat = '9s'\nheartbeat_interval = '8s'\n").faults(),
        fault("auxot.toml:2:1", "auxot.toml:3:1")
    );
    assert_eq!(
        TestSources::variable("AUXOT_BEAT", "9s")
            .and_flag("heartbeat-interval", "router.heartbeat_interval", "8s")
            .faults(),
        fault("environment variable AUXOT_BEAT", "flag --heartbeat-interval")
    );
    assert_eq!(
        TestSources::file("[router]\nheartbeat_interval = '8s'\n").and_variable("AUXOT_ROUTER__BEAT", "9s").faults(),
        fault("environment variable AUXOT_ROUTER__BEAT", "auxot.toml:2:1")
    );
}

#[test]
fn a_blank_value_under_an_old_name_is_unset_and_a_faulty_one_is_refused_in_its_place() {
    let blank = TestSources::file("[router]\nbeat = ''\n").and_variable("AUXOT_HEARTBEAT_INTERVAL", "8s");
    assert_eq!(warnings(blank.clone()), [""; 0]);
    assert_eq!(blank.good().router.heartbeat_interval, Duration::from_secs(8));
    let [fault] = &TestSources::file("[router]\nbeat = 'soon'\n").faults()[..] else { panic!() };
    assert!(fault.starts_with("auxot.toml:2:1: `router.heartbeat_interval`: expected a duration"), "{fault}");
}
