//! Every fault of a hub that a download survives, and what it sends to do so.

use crate::TestHub;

/// Pulls under these switches; the requests for the model's content.
#[track_caller]
fn survives(switches: &str) -> Vec<String> {
    let hub = TestHub::new();
    hub.switch(switches);
    let output = hub.command(&["pull", "owner/m-GGUF:Q4_K_M"]).env("AUXOT_HUB__STALL_TIMEOUT", "1s").output().unwrap();
    assert!(output.status.success(), "{switches}: {}", String::from_utf8_lossy(&output.stderr));
    for path in ["m-Q4_K_M.gguf", "mmproj-F16.gguf"] {
        hub.assert_whole(path);
    }
    let names: Vec<String> = std::fs::read_dir(hub.place(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".part"))
        .collect();
    assert_eq!(names, [""; 0], "{switches}: leftovers");
    hub.requests("content GET")
}

fn ranges(requests: &[String]) -> usize {
    requests.iter().filter(|line| line.contains("range=bytes=")).count()
}

#[test]
fn a_cut_body_goes_on_where_it_ended() {
    let requests = survives("cut 4 700000");
    assert!(ranges(&requests) >= 2, "{requests:#?}");
    let with_validator = requests.iter().filter(|line| line.contains("if-range=\"content-")).count();
    assert_eq!(with_validator, ranges(&requests), "{requests:#?}");
}

#[test]
fn a_silent_body_goes_on_after_the_stall_timeout() {
    assert!(ranges(&survives("stall 2 700000")) >= 1);
}

#[test]
fn a_hub_that_sends_the_content_itself_is_the_same() {
    assert_eq!(survives("direct\ncut 2 700000"), [""; 0]);
}

#[test]
fn a_whole_file_in_place_of_the_rest_is_a_new_start() {
    survives("no-range\ncut 3 700000");
}

#[test]
fn a_rest_at_another_place_is_not_used() {
    survives("cut 2 700000\nshifted 2");
}

#[test]
fn a_range_that_does_not_exist_is_a_new_start() {
    survives("cut 2 700000\nrefuse-range 1");
}

#[test]
fn another_validator_is_a_new_start() {
    survives("cut 2 700000\netag 3");
}

#[test]
fn an_expired_address_is_fetched_anew_from_the_hub() {
    survives("expired 3\ncut 1 700000");
}

#[test]
fn damage_on_the_way_is_downloaded_again() {
    survives("damage 1");
}

#[test]
fn a_busy_hub_is_asked_again_after_its_pause() {
    survives("busy 3 0");
}

#[test]
fn a_listing_of_many_pages_is_read_to_its_end() {
    survives("page 1");
}
