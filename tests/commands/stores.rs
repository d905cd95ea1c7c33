//! Models of other programs, where those keep them.

use std::os::unix::fs::symlink;

use auxot_tests::blueprint::Blueprint;

use crate::TestHost;

#[test]
fn a_model_of_the_hubs_cache_is_used_in_place_once_the_stores_are_on() {
    let host = TestHost::new();
    host.scratch.models();
    let repository = host.scratch.join(".cache/huggingface/hub/models--owner--tiny-GGUF");
    let (blobs, snapshot) = (repository.join("blobs"), repository.join("snapshots/abc"));
    for folder in [&blobs, &snapshot, &repository.join("refs")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let blob = Blueprint::small("tiny").write(&blobs);
    symlink(&blob, snapshot.join("tiny-Q8_0.gguf")).unwrap();
    std::fs::write(repository.join("refs/main"), "abc").unwrap();
    let none = host.json(&["models", "--json"], 0);
    assert_eq!(none["models"], serde_json::json!([]));
    let output = host
        .command(&["models", "show", "owner/tiny-GGUF:Q8_0", "--json"])
        .env("AUXOT_CATALOG__STORES", "true")
        .output();
    let shown: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert_eq!(shown["name"], "tiny-q8_0");
    assert!(shown["file"].as_str().unwrap().ends_with("/snapshots/abc/tiny-Q8_0.gguf"), "{shown}");
    let removed = host.command(&["models", "rm", "tiny"]).env("AUXOT_CATALOG__STORES", "true").output().unwrap();
    assert_eq!(removed.status.code(), Some(1), "the files of other programs are left to them");
    assert!(blob.exists());
}
