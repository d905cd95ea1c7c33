//! Downloads over several processes: killed and continued, and two at once.

use std::process::{Command, Stdio};

use crate::{SIZE, TestHub, until};

#[test]
fn a_killed_download_goes_on_in_another_process() {
    let hub = TestHub::new();
    hub.switch("stall 99 2000000");
    let mut first = quiet(hub.command(&["pull", "owner/m-GGUF:Q4_K_M"])).spawn().unwrap();
    let part = hub.place(".m-Q4_K_M.gguf.part");
    until("the stall", || part.metadata().is_ok_and(|part| part.len() == 2_000_000));
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!hub.place("m-Q4_K_M.gguf").exists());
    hub.switch("");
    hub.pulled("owner/m-GGUF:Q4_K_M");
    hub.assert_whole("m-Q4_K_M.gguf");
    let resumed = hub.requests("m-Q4_K_M.gguf range=bytes=2000000-");
    assert_eq!(resumed.len(), 2, "a redirect and the rest: {resumed:#?}");
}

#[test]
fn two_processes_download_one_model_once() {
    let hub = TestHub::new();
    hub.switch(&format!("rate {SIZE}"));
    let mut both = [0, 1].map(|_| quiet(hub.command(&["pull", "owner/m-GGUF:Q8_0"])).spawn().unwrap());
    for process in &mut both {
        assert!(process.wait().unwrap().success());
    }
    for path in ["Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf", "mmproj-F16.gguf"] {
        hub.assert_whole(path);
    }
    assert_eq!(hub.requests("content GET").len(), 3, "each body once");
}

#[test]
fn a_set_is_placed_whole_or_not_at_all() {
    let hub = TestHub::new();
    // One shard is refused for good; the other one is whole by then.
    std::fs::write(hub.repository().join("Q8_0/m-Q8_0-00002-of-00002.gguf"), "no model").unwrap();
    assert!(hub.fails("owner/m-GGUF:Q8_0", 1).contains("m-Q8_0-00002-of-00002.gguf"));
    let models = hub.command(&["models", "--json"]).output().unwrap();
    let text = String::from_utf8(models.stdout).unwrap();
    assert!(text.contains("\"models\": []") && text.contains("\"damaged\": []"), "{text}");
}

fn quiet(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
