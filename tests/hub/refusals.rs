//! What no other attempt can change: one sentence says why and what to do, and nothing is left that looks like a model.

use crate::TestHub;

#[track_caller]
fn refused(switches: &str, source: &str, code: i32, error: &str) {
    let hub = TestHub::new();
    hub.switch(switches);
    let output = hub.command(&["pull", source]).env("HF_TOKEN", "hf_wrong").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default().replace(&hub.endpoint, "HUB");
    let last = last.replace(hub.endpoint.trim_start_matches("http://"), "HOST");
    assert_eq!((output.status.code(), &*last), (Some(code), error), "{switches}");
    assert!(!said.contains("hf_wrong") && !said.contains("signature"), "{said}");
    assert!(!hub.place("m-Q4_K_M.gguf").exists(), "{switches}");
}

#[test]
fn gated_private_and_missing_repositories_are_different() {
    let gated = "cannot download from owner/m-GGUF: it is gated; accept its terms on HUB/owner/m-GGUF with the account of HF_TOKEN";
    refused("gated", "owner/m-GGUF:Q4_K_M", 1, gated);
    let hidden = |name: &str| {
        format!(
            "cannot find {name} on HOST: it does not exist, or it is private and the account of HF_TOKEN may not read it"
        )
    };
    refused("private hf_right", "owner/m-GGUF:Q4_K_M", 66, &hidden("owner/m-GGUF"));
    refused("", "owner/other", 66, &hidden("owner/other"));
    refused("", "owner/m-GGUF@v7:Q4_K_M", 66, "cannot find the revision v7 of owner/m-GGUF");
    refused("", "owner/m-GGUF:Q6_K", 66, "cannot find Q6_K: there is Q4_K_M, Q8_0");
}

#[test]
fn content_that_is_not_what_the_hub_states_is_refused() {
    for (switches, part) in [
        ("damage 99", "; it was downloaded twice"),
        ("linked", "in its listing and 0000"),
        ("pointer", "a pointer of git-lfs"),
        ("html", "a web page, not a model"),
    ] {
        let hub = TestHub::new();
        hub.switch(switches);
        let error = hub.fails("owner/m-GGUF:Q4_K_M", 1);
        assert!(error.starts_with("cannot accept m") && error.contains(part), "{switches}: {error}");
        assert!(!hub.place("m-Q4_K_M.gguf").exists() && !hub.place("mmproj-F16.gguf").exists(), "{switches}");
    }
}

#[test]
fn attempts_without_a_new_byte_are_counted() {
    let hub = TestHub::new();
    hub.switch("cut 99 0");
    let error = hub.fails("owner/m-GGUF:Q4_K_M", 1);
    assert!(error.contains("8 attempts in a row brought nothing") && error.contains("0 B are kept"), "{error}");
}

#[test]
fn a_token_goes_to_the_hub_alone() {
    let hub = TestHub::new();
    hub.switch("private hf_right\ncut 1 700000");
    let output = hub.command(&["pull", "owner/m-GGUF:Q4_K_M"]).env("HF_TOKEN", "hf_right").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (with, all) = (hub.requests(" token").len(), hub.requests("hub GET").len());
    assert_eq!((with, hub.requests("content GET").iter().any(|line| line.contains(" token"))), (all, false));
}

#[test]
fn the_token_of_the_hubs_own_client_is_used() {
    let hub = TestHub::new();
    hub.switch("private hf_right");
    let home = hub.scratch.join(".cache/huggingface");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("token"), "hf_right\n").unwrap();
    hub.pulled("owner/m-GGUF:Q4_K_M");
}

#[test]
fn a_source_that_cannot_be_read_is_a_fault_of_the_command_line() {
    let hub = TestHub::new();
    assert!(hub.fails("hf:owner", 64).contains("a repository is owner/name"));
    assert!(hub.fails("https://127.0.0.1/model.bin", 64).ends_with("it does not end in .gguf"));
    assert!(hub.fails("/no/such.gguf", 1).starts_with("cannot read /no/such.gguf: No such file"));
    let offline = hub.command(&["pull", "owner/m-GGUF"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&offline.stderr).starts_with("cannot download: HF_HUB_OFFLINE forbids it"));
    assert_eq!(hub.requests("").len(), 0);
}
