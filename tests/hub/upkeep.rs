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
    assert!(String::from_utf8_lossy(&output.stdout).contains("first at byte 0; pull it again"));
    std::fs::remove_file(hub.place("m-Q4_K_M.gguf")).unwrap();
    hub.pulled("owner/m-GGUF:Q4_K_M");
    hub.assert_whole("m-Q4_K_M.gguf");
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
