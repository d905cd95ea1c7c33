//! Downloads without faults: what comes to lie where, under which name, and what is not downloaded again.

use crate::{TestHub, events};

#[test]
fn a_model_comes_with_its_projector_and_is_found_by_its_names() {
    let hub = TestHub::new();
    let pulled = hub.pulled("hf:owner/m-GGUF:Q4_K_M");
    for path in ["m-Q4_K_M.gguf", "mmproj-F16.gguf"] {
        hub.assert_whole(path);
    }
    let model = events(&pulled, "model")[0];
    assert_eq!((&model["name"], &model["found"]), (&"m-q4_k_m".into(), &true.into()));
    assert!(events(&pulled, "verified").iter().all(|event| event["stated"] == true), "{pulled:?}");
    let shown = hub.command(&["models", "show", "m-q4_k_m", "--json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert!(shown["projector"].as_str().unwrap().ends_with("mmproj-F16.gguf"), "{shown}");
    assert!(!hub.place("Q8_0").exists());
}

#[test]
fn shards_come_together_and_what_is_here_is_not_downloaded_again() {
    let hub = TestHub::new();
    hub.pulled("owner/m-GGUF:Q4_K_M");
    let pulled = hub.pulled("hf:owner/m-GGUF@main:Q8_0/m-Q8_0-00002-of-00002.gguf");
    for path in ["Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf"] {
        hub.assert_whole(path);
    }
    let unchanged: Vec<bool> = events(&pulled, "placed").iter().map(|event| event["unchanged"] == true).collect();
    assert_eq!(unchanged, [true, false, false], "the projector was here");
    assert_eq!(hub.requests("mmproj").len(), 2, "one redirect and one body");
    let bodies = hub.requests("content GET").len();
    hub.pulled("hf:owner/m-GGUF:Q8_0");
    assert_eq!(hub.requests("content GET").len(), bodies);
    let shown = hub.command(&["models", "--json"]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("\"m-q8_0\"") && text.contains("\"damaged\": []"), "{text}");
}

#[test]
fn without_a_quantisation_the_largest_is_taken_where_all_fit() {
    let hub = TestHub::new();
    let output = hub.pull("owner/m-GGUF");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("owner/m-GGUF Q8_0 at 5a1ab1e0c0ff: ") && said.contains("\nQ8_0 fits, "), "{said}");
    hub.assert_whole("Q8_0/m-Q8_0-00001-of-00002.gguf");
}

#[test]
fn a_file_of_ours_without_a_record_is_recognised_by_its_content() {
    let hub = TestHub::new();
    let place = hub.place("m-Q4_K_M.gguf");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::copy(hub.repository().join("m-Q4_K_M.gguf"), &place).unwrap();
    hub.pulled("owner/m-GGUF:Q4_K_M");
    assert_eq!(hub.requests("m-Q4_K_M.gguf").len(), 0);
    std::fs::remove_file(hub.place(".m-Q4_K_M.gguf.pull.json")).unwrap();
    std::fs::write(&place, "an operator's own").unwrap();
    let error = hub.fails("owner/m-GGUF:Q4_K_M", 1);
    assert!(error.starts_with("cannot replace ") && error.ends_with("is another file; move it away"), "{error}");
    assert_eq!(std::fs::read(&place).unwrap(), b"an operator's own");
}

#[test]
fn an_address_and_a_local_file_are_sources_too() {
    let hub = TestHub::new();
    // Any host's file: the hub's content host knows it by a signed address only, so the hub sends it itself.
    hub.switch("direct");
    let pulled = hub.pulled(&format!("{}/owner/m-GGUF/resolve/main/m-Q4_K_M.gguf", hub.endpoint));
    assert_eq!(events(&pulled, "verified").len(), 2, "the hub's own address is its repository: {pulled:?}");
    let elsewhere = hub.endpoint.replace("127.0.0.1", "localhost");
    let sum =
        events(&pulled, "verified").iter().find(|event| event["file"] == "m-Q4_K_M.gguf").unwrap()["sha256"].clone();
    let address = format!("{elsewhere}/owner/m-GGUF/resolve/main/m-Q4_K_M.gguf#sha256={}", sum.as_str().unwrap());
    let pulled = hub.pulled(&address);
    assert_eq!(events(&pulled, "verified")[0]["stated"], true);
    let here = hub.scratch.models().join("m-Q4_K_M.gguf");
    assert!(here.is_file());
    let wrong = address.replace(sum.as_str().unwrap(), &"0".repeat(64));
    std::fs::remove_file(&here).unwrap();
    std::fs::remove_file(hub.scratch.models().join(".m-Q4_K_M.gguf.pull.json")).unwrap();
    assert!(hub.fails(&wrong, 1).contains("its SHA-256 is "));
    assert!(!here.exists());
    let file = hub.repository().join("m-Q4_K_M.gguf");
    hub.pulled(file.to_str().unwrap());
    assert_eq!(std::fs::read(&here).unwrap(), std::fs::read(&file).unwrap());
}
