//! Stores as other programs write them.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::fixture::Tiny;
use crate::{Catalog, Config};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        fs::write(self.path(below), text).unwrap();
    }

    fn tiny(&self, below: &str, tiny: &Tiny) -> u64 {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        tiny.write(&self.path(below));
        fs::metadata(self.path(below)).unwrap().len()
    }

    /// A blob of a Hugging Face cache with a link to it.
    fn snapshot(&self, repository: &str, commit: &str, path: &str, tiny: &Tiny) {
        let blob = format!("{repository}/blobs/{commit}-{}", path.replace('/', "-"));
        self.tiny(&blob, tiny);
        let link = self.path(&format!("{repository}/snapshots/{commit}/{path}"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(self.path(&blob), link).unwrap();
    }

    fn scan(&self) -> Catalog {
        Catalog::scan(&Config { models_dir: vec![self.0.path().to_path_buf()], ..Config::default() })
    }
}

fn names(catalog: &Catalog) -> Vec<&str> {
    assert!(catalog.damaged().is_empty(), "{:?}", catalog.damaged());
    catalog.models().iter().map(|model| &*model.name).collect()
}

fn projector() -> Tiny {
    Tiny::new().text("general.architecture", "clip").text("general.type", "mmproj").u32("clip.vision.projection_dim", 8)
}

fn shard(part: u16, of: u16) -> Tiny {
    Tiny::llama().raw("split.no", 2, &(part - 1).to_le_bytes()).raw("split.count", 2, &of.to_le_bytes())
}

const REPOSITORY: &str = "hub/models--owner--m-GGUF";

#[test]
fn a_repository_of_the_hub_s_cache_is_its_current_snapshot() {
    let folder = Folder::new();
    for (commit, file) in [("aaa", "tiny-Q8_0.gguf"), ("bbb", "tiny-Q8_0.gguf"), ("aaa", "old-Q4_0.gguf")] {
        folder.snapshot(REPOSITORY, commit, file, &Tiny::llama());
    }
    folder.snapshot(REPOSITORY, "bbb", "mmproj-F16.gguf", &projector());
    folder.write(&format!("{REPOSITORY}/refs/main"), "bbb");
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["old-q4_0", "tiny-q8_0"]);
    let current = catalog.resolve("owner/m-GGUF:Q8_0").unwrap();
    assert!(current.file.to_string_lossy().contains("/bbb/"), "{}", current.file.display());
    assert!(current.mmproj.as_ref().unwrap().ends_with("bbb/mmproj-F16.gguf"));
    assert!(catalog.resolve("tiny-q8_0").is_ok() && catalog.resolve("owner/m-GGUF").is_err(), "two quantisations");
}

#[test]
fn a_set_that_is_not_whole_yet_is_taken_from_the_snapshot_where_it_is() {
    let folder = Folder::new();
    for part in [1, 2] {
        folder.snapshot(REPOSITORY, "aaa", &format!("m-0000{part}-of-00002.gguf"), &shard(part, 2));
    }
    folder.snapshot(REPOSITORY, "bbb", "m-00001-of-00002.gguf", &shard(1, 2));
    folder.write(&format!("{REPOSITORY}/refs/main"), "bbb");
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["m"]);
    assert!(catalog.models()[0].files.iter().all(|file| file.to_string_lossy().contains("/aaa/")));
    fs::remove_file(folder.path(&format!("{REPOSITORY}/snapshots/aaa/m-00002-of-00002.gguf"))).unwrap();
    let [damaged] = folder.scan().damaged().to_vec().try_into().unwrap();
    assert!(damaged.fault.to_string().starts_with("1 of 2 shards are there"), "{}", damaged.fault);
}

#[test]
fn ollamas_models_have_their_names_and_projectors() {
    let folder = Folder::new();
    let (model, vision) =
        (folder.tiny("o/blobs/sha256-11", &Tiny::llama()), folder.tiny("o/blobs/sha256-22", &projector()));
    folder.tiny("o/blobs/sha256-33", &Tiny::llama());
    folder.write("o/blobs/sha256-44", r#"{"remote_host":"https://cloud"}"#);
    let layers = |model: u64| {
        format!(
            r#"{{"config":{{"digest":"sha256:55"}},"layers":[
            {{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:11","size":{model}}},
            {{"mediaType":"application/vnd.ollama.image.template","digest":"sha256:66","size":1}},
            {{"mediaType":"application/vnd.ollama.image.projector","digest":"sha256:22","size":{vision}}}]}}"#
        )
    };
    let library = "o/manifests/registry.ollama.ai/library";
    folder.write(&format!("{library}/gemma3/4b"), &layers(model));
    folder.write(&format!("{library}/gemma3/latest"), &layers(model));
    folder.write(&format!("{library}/part/latest"), &layers(model + 1));
    folder.write(&format!("{library}/half/latest"), r#"{"layers":["#);
    let cloud = format!(
        r#"{{"config":{{"digest":"sha256:44"}},"layers":[{{"mediaType":"{}","digest":"sha256:33","size":{model}}}]}}"#,
        "application/vnd.ollama.image.model"
    );
    folder.write(&format!("{library}/cloud/latest"), &cloud);
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["gemma3-4b"]);
    let model = catalog.resolve("gemma3:4b").unwrap();
    assert!(model.file.ends_with("sha256-11") && model.mmproj.as_ref().unwrap().ends_with("sha256-22"));
    assert!(model.vision && catalog.resolve("gemma3").is_ok(), "two tags of one file");
}

#[test]
fn the_models_of_docker_and_jan_have_the_names_of_their_tags_and_ids() {
    let folder = Folder::new();
    folder.tiny("d/blobs/sha256/aa", &Tiny::llama());
    folder.write("d/blobs/sha256/bb", "licence");
    folder.write(
        "d/models.json",
        r#"{"models":[{"id":"sha256:0","tags":["ai/smollm2:latest"],"files":["sha256:aa","sha256:bb"]}]}"#,
    );
    folder.tiny("jan/llamacpp/models/acme-8b/model.gguf", &Tiny::llama());
    folder.tiny("jan/elsewhere/vision.gguf", &projector());
    folder.write(
        "jan/llamacpp/models/acme-8b/model.yml",
        "model_path: llamacpp/models/acme-8b/model.gguf\nmmproj_path: elsewhere/vision.gguf\nname: Acme 8B\n",
    );
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["acme-8b", "smollm2"]);
    assert_eq!(catalog.resolve("ai/smollm2").unwrap().name, "smollm2");
    assert!(catalog.resolve("Acme 8B").unwrap().mmproj.as_ref().unwrap().ends_with("vision.gguf"));
}

#[test]
fn a_model_in_the_folders_of_its_publisher_is_found_by_both() {
    let folder = Folder::new();
    folder.tiny("publisher/acme-7b-GGUF/acme-7b-Q4_K_M.gguf", &Tiny::llama());
    let catalog = folder.scan();
    for name in
        ["publisher/acme-7b-GGUF:Q4_K_M", "publisher/acme-7b-GGUF", "acme-7b", "publisher/acme-7b-GGUF/acme-7b-Q4_K_M"]
    {
        assert_eq!(catalog.resolve(name).unwrap().name, "acme-7b-q4_k_m", "{name}");
    }
}

#[test]
fn what_is_being_downloaded_is_no_model() {
    let folder = Folder::new();
    for name in ["incomplete-m.gguf", "downloading_m.gguf", "m.gguf", "n.gguf"] {
        folder.tiny(name, &Tiny::llama());
    }
    folder.write("m.gguf.aria2", "");
    assert_eq!(names(&folder.scan()), ["n"]);
}
