//! `models verify` and `models rm`.

use std::os::unix::fs::FileExt;

use auxot_tests::gguf::ModelFile;
use serde_json::Value;

use crate::{SIZE, TestHub};

/// The states of all files, each with its name.
fn verified(hub: &TestHub, code: i32) -> Vec<(String, String)> {
    let output = hub.command(&["models", "verify", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines.map(|line| (text(&line["file"]).rsplit('/').next().unwrap().to_owned(), text(&line["state"]))).collect()
}

#[test]
fn damage_is_found_and_a_new_pull_repairs_it() {
    let hub = TestHub::new();
    hub.pulled("owner/m-GGUF:Q4_K_M");
    ModelFile::named("own").write(&hub.scratch.models(), "own.gguf");
    let pair = |file: &str, state: &str| (file.to_owned(), state.to_owned());
    let (own, projector) = (pair("own.gguf", "unrecorded"), pair("mmproj-F16.gguf", "sound"));
    assert_eq!(verified(&hub, 0), [pair("m-Q4_K_M.gguf", "sound"), projector.clone(), own.clone()]);
    let file = std::fs::OpenOptions::new().write(true).open(hub.place("m-Q4_K_M.gguf")).unwrap();
    file.write_all_at(b"x", SIZE as u64 / 2).unwrap();
    assert_eq!(verified(&hub, 1), [pair("m-Q4_K_M.gguf", "damaged"), projector, own]);
    let output = hub.command(&["models", "verify", "m-q4_k_m"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("first at byte 0; repair it with --repair"));
    std::fs::remove_file(hub.place("m-Q4_K_M.gguf")).unwrap();
    hub.pulled("owner/m-GGUF:Q4_K_M");
    hub.assert_whole("m-Q4_K_M.gguf");
}

/// Bytes of a block of the record.
const BLOCK: u64 = 64 << 20;
/// A file of three blocks, the last one short.
const LARGE: u64 = 2 * BLOCK + 1000;

/// Makes a file of the hub larger than two blocks.
fn enlarge(hub: &TestHub, path: &str) {
    let file = std::fs::OpenOptions::new().write(true).open(hub.repository().join(path)).unwrap();
    file.set_len(LARGE).unwrap();
    file.write_all_at(b"end", LARGE - 3).unwrap();
    file.write_all_at(b"middle", 2 * BLOCK - 6).unwrap();
}

/// Runs a repair; its result for the large file.
fn repaired(hub: &TestHub, code: i32) -> Value {
    let output = hub.command(&["models", "verify", "m-q4_k_m", "--repair", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["state"].is_string() && line["file"].to_string().contains("m-Q4_K_M.gguf")).unwrap()
}

#[test]
fn a_repair_fetches_the_damaged_blocks_alone() {
    let hub = TestHub::new();
    enlarge(&hub, "m-Q4_K_M.gguf");
    hub.pulled("owner/m-GGUF:Q4_K_M");
    let place = hub.place("m-Q4_K_M.gguf");
    let damage = |at: u64| {
        std::fs::OpenOptions::new().write(true).open(&place).unwrap().write_all_at(b"x", at).unwrap();
    };
    damage(BLOCK + 5);
    damage(LARGE - 1);
    let before = hub.requests("content GET").len();
    let line = repaired(&hub, 0);
    assert_eq!((&line["state"], &line["fetched"]), (&"repaired".into(), &(BLOCK + 1000).into()));
    assert_eq!(line["damaged"], serde_json::json!([BLOCK, 2 * BLOCK]));
    let ranges: Vec<String> = hub.requests("content GET").split_off(before);
    let has = |range: String| ranges.iter().any(|line| line.contains(&range));
    assert!(ranges.len() == 2 && has(format!("bytes={BLOCK}-{}", 2 * BLOCK - 1)), "{ranges:#?}");
    assert!(has(format!("bytes={}-{}", 2 * BLOCK, LARGE - 1)), "{ranges:#?}");
    hub.assert_whole("m-Q4_K_M.gguf");
    assert_eq!(repaired(&hub, 0)["state"], "sound");
}

#[test]
fn a_cut_file_is_repaired_through_faults_of_the_hub() {
    let hub = TestHub::new();
    enlarge(&hub, "m-Q4_K_M.gguf");
    hub.pulled("owner/m-GGUF:Q4_K_M");
    let cut = || {
        let file = std::fs::OpenOptions::new().write(true).open(hub.place("m-Q4_K_M.gguf")).unwrap();
        file.set_len(2 * BLOCK - 7).unwrap();
    };
    for switches in ["", "cut 1 5000", "damage 1", "shifted 1", "expired 1", "no-range", "direct"] {
        cut();
        hub.switch(switches);
        assert_eq!(repaired(&hub, 0)["fetched"], BLOCK + 1000, "{switches}");
        hub.assert_whole("m-Q4_K_M.gguf");
    }
    hub.switch("gated");
    cut();
    assert!(repaired(&hub, 1)["error"].as_str().unwrap().contains("is gated"));
    hub.switch("");
    let other = std::fs::OpenOptions::new().write(true).open(hub.repository().join("m-Q4_K_M.gguf")).unwrap();
    other.write_all_at(b"another", BLOCK + 9).unwrap();
    let line = repaired(&hub, 1);
    assert!(
        line["error"].as_str().unwrap().contains(&format!("the block at byte {BLOCK} is another one by now")),
        "{line}"
    );
}

#[test]
fn only_downloaded_models_are_removed_and_a_shared_projector_stays() {
    let hub = TestHub::new();
    hub.pulled("owner/m-GGUF:Q4_K_M");
    hub.pulled("owner/m-GGUF:Q8_0");
    let remove = |name: &str, code: i32| {
        let output = hub.command(&["models", "rm", name]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    remove("m-q8_0", 0);
    assert!(hub.place("mmproj-F16.gguf").exists() && !hub.place("Q8_0/m-Q8_0-00001-of-00002.gguf").exists());
    remove("m-q4_k_m", 0);
    let left: Vec<_> = std::fs::read_dir(hub.place("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["Q8_0"], "an empty folder");
    remove("m-q4_k_m", 66);
    let own = ModelFile::named("own").write(&hub.scratch.models(), "own.gguf");
    assert!(remove("own", 1).contains("this program has not downloaded ") && own.exists());
}
