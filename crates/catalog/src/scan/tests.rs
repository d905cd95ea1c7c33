//! Whole folders: links, loops, shards, projectors, damage.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::damaged::Fault;
use crate::fixture::Tiny;
use crate::gguf::GgufError;
use crate::model::task::Task;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn put(&self, below: &str, tiny: &Tiny) -> &Self {
        tiny.write(&self.path(below));
        self
    }

    fn model(&self, below: &str) -> &Self {
        self.put(below, &Tiny::llama())
    }

    fn scan(&self) -> Catalog {
        Catalog::scan(&Config { models_dir: vec![self.0.path().to_path_buf()], ..Config::default() })
    }
}

fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.models().iter().map(|model| &*model.name).collect()
}

#[test]
fn a_model_has_its_facts() {
    let folder = Folder::new();
    let tiny = Tiny::llama().text("tokenizer.chat_template", "{{ messages }}").u32("general.file_type", 15);
    folder.put("Llama-3.3-70B-Instruct-Q6_K.gguf", &tiny).put("plain.gguf", &tiny);
    let catalog = folder.scan();
    let [llama, plain] = catalog.models() else { panic!("{catalog:?}") };
    assert_eq!(llama.name, "llama-3.3-70b-instruct-q6_k");
    assert_eq!(llama.base_name, "Llama-3.3-70B-Instruct");
    assert_eq!(llama.quant.as_deref(), Some("q6_k"));
    assert_eq!(llama.files, std::slice::from_ref(&llama.file));
    assert_eq!(llama.bytes, tiny.bytes().len() as u64);
    assert_eq!((llama.arch.as_str(), llama.task), ("llama", Task::Chat));
    assert_eq!((llama.ctx_train, llama.block_count, llama.parameters), (Some(4096), Some(2), Some(176)));
    assert!(llama.chat_template && llama.mmproj.is_none());
    assert_eq!(plain.quant.as_deref(), Some("q4_k_m"), "from the header where the name has none");
}

#[test]
fn tasks_come_from_the_header() {
    let folder = Folder::new();
    let of = |arch: &str| Tiny::new().text("general.architecture", arch).tensor("token_embd.weight", &[8], 0);
    let causal = |arch: &str, is: bool| of(arch).raw(&format!("{arch}.attention.causal"), 7, &[u8::from(is)]);
    for (name, tiny, task) in [
        ("bert", of("bert"), Task::Embedding),
        ("bert-saved", of("bert").u32("bert.pooling_type", u32::MAX), Task::Embedding),
        ("embed", of("qwen3").u32("qwen3.pooling_type", 3), Task::Embedding),
        ("rerank", of("bert").u32("bert.pooling_type", 4), Task::Rerank),
        ("writes", of("qwen3").u32("qwen3.pooling_type", 0), Task::Chat),
        // As the engine's own saver writes what a model does not have.
        ("saved", causal("qwen3", true).u32("qwen3.pooling_type", u32::MAX), Task::Chat),
        ("unknown-pooling", of("qwen3").u32("qwen3.pooling_type", 77), Task::Chat),
        ("pangu", of("pangu-embedded"), Task::Chat),
        ("both-ways", causal("qwen9", false), Task::None),
        ("diffusion", of("dream"), Task::None),
        ("diffusion-new", of("qwen9").raw("diffusion.shift_logits", 7, &[1]), Task::None),
        ("encoder", of("t5encoder"), Task::None),
        ("image", of("flux"), Task::None),
        ("audio", of("wavtokenizer-dec"), Task::None),
        ("draft", of("eagle3"), Task::None),
        (
            "vocabulary",
            Tiny::new().text("general.architecture", "llama").text("tokenizer.ggml.model", "gpt2"),
            Task::None,
        ),
    ] {
        folder.put(&format!("{name}.gguf"), &tiny);
        let catalog = folder.scan();
        let found = catalog.models().iter().find(|model| model.name == name).map(|model| model.task);
        assert_eq!(found, Some(task), "{name}");
    }
}

#[test]
fn what_is_no_model_is_not_listed() {
    let folder = Folder::new();
    folder.put("lora.gguf", &Tiny::llama().text("general.type", "adapter"));
    folder.put("imatrix.gguf", &Tiny::new().text("general.type", "imatrix"));
    folder.model("half.gguf.part").model("half.gguf.download").model(".hidden.gguf").model(".cache/x.gguf");
    std::fs::write(folder.path("README.md"), "no").unwrap();
    let catalog = folder.scan();
    assert!(catalog.models().is_empty() && catalog.damaged().is_empty(), "{catalog:?}");
}

#[test]
fn a_damaged_file_harms_nothing_else() {
    let folder = Folder::new();
    let bytes = Tiny::llama().bytes();
    std::fs::write(folder.path("cut-q4_0.gguf"), &bytes[..bytes.len() - 9]).unwrap();
    std::fs::write(folder.path("empty.gguf"), "").unwrap();
    folder.put("anonymous.gguf", &Tiny::new().tensor("x", &[8], 0));
    folder.put("hollow.gguf", &Tiny::new().text("general.architecture", "llama"));
    symlink("/nonexistent", folder.path("nowhere.gguf")).unwrap();
    folder.model("good.gguf");
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["good"]);
    let fault = |name: &str| &catalog.damaged().iter().find(|damaged| damaged.name == name).unwrap().fault;
    assert!(matches!(fault("cut-q4_0"), Fault::Header(GgufError::TensorsCut { .. })));
    assert_eq!(*fault("empty"), Fault::Header(GgufError::NotGguf));
    assert_eq!(*fault("anonymous"), Fault::Header(GgufError::NoArchitecture));
    assert_eq!(*fault("hollow"), Fault::Header(GgufError::NoTensors));
    assert_eq!(*fault("nowhere"), Fault::Unreadable(std::io::ErrorKind::NotFound));
}

#[test]
fn links_are_followed_once_and_become_names() {
    let folder = Folder::new();
    folder.model("real/Model-Q4_0.gguf");
    symlink(folder.path("real"), folder.path("again")).unwrap();
    symlink("..", folder.path("real/loop")).unwrap();
    symlink("real/Model-Q4_0.gguf", folder.path("alias-q4_0.gguf")).unwrap();
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["model-q4_0"]);
    assert_eq!(catalog.resolve("Alias").unwrap().name, "model-q4_0");
    assert_eq!(catalog.resolve(&folder.path("alias-q4_0.gguf").to_string_lossy()).unwrap().name, "model-q4_0");
}

#[test]
fn a_link_to_a_file_that_has_no_such_name_is_a_model() {
    let folder = Folder::new();
    let blobs = Folder::new();
    blobs.model("sha256");
    symlink(blobs.path("sha256"), folder.path("Model-Q4_0.gguf")).unwrap();
    assert_eq!(names(&folder.scan()), ["model-q4_0"]);
}

#[test]
fn several_folders_and_one_file_make_one_catalog() {
    let (a, b, c) = (Folder::new(), Folder::new(), Folder::new());
    a.model("one.gguf");
    b.model("deep/er/two.gguf");
    c.model("three.bin");
    let folders = vec![a.path(""), b.path(""), a.path("missing")];
    let catalog = Catalog::scan_with(
        &Config { models_dir: folders, model_file: Some(c.path("three.bin")), ..Config::default() },
        &[&a.path("one.gguf"), &c.path("gone.gguf")],
    );
    assert_eq!(names(&catalog), ["one", "three.bin", "two"]);
    assert_eq!(catalog.damaged().iter().map(|d| &*d.name).collect::<Vec<_>>(), ["missing", "gone"]);
}

#[test]
fn shards_are_one_model() {
    let folder = Folder::new();
    let rest = Tiny::new().tensor("blk.7.attn_q.weight", &[8, 8], 0);
    folder.put("Q4_K_M/Big-Q4_K_M-00001-of-00002.gguf", &Tiny::llama().split(0, 2));
    folder.put("Q4_K_M/Big-Q4_K_M-00002-of-00002.gguf", &rest.clone().split(1, 2));
    let catalog = folder.scan();
    let [model] = catalog.models() else { panic!("{catalog:?}") };
    assert_eq!((model.name.as_str(), model.base_name.as_str()), ("big-q4_k_m", "Big"));
    assert_eq!(model.file, folder.path("Q4_K_M/Big-Q4_K_M-00001-of-00002.gguf"));
    assert_eq!(model.files.len(), 2);
    assert_eq!(model.bytes, (Tiny::llama().split(0, 2).bytes().len() + rest.split(1, 2).bytes().len()) as u64);
    assert_eq!(model.header.weights().blocks[7].bytes, 256);
    assert_eq!(model.parameters, Some(176 + 64));
    assert!(!model.header.weights().tied);
}

#[test]
fn missing_shards_are_named_and_mixed_up_ones_found() {
    let folder = Folder::new();
    folder.put("a-00002-of-00003.gguf", &Tiny::llama().split(1, 3));
    folder.put("b-00001-of-00002.gguf", &Tiny::llama().split(0, 2));
    folder.put("b-00002-of-00002.gguf", &Tiny::llama().split(2, 3));
    folder.put("renamed.gguf", &Tiny::llama().split(0, 2));
    let catalog = folder.scan();
    assert!(catalog.models().is_empty());
    let faults: Vec<String> = catalog.damaged().iter().map(|damaged| damaged.fault.to_string()).collect();
    assert_eq!(
        faults,
        [
            "1 of 3 shards are there; missing: a-00001-of-00003.gguf, a-00003-of-00003.gguf",
            "cannot use shard renamed.gguf: its header says part 1 of 2",
            "cannot use shard b-00002-of-00002.gguf: its header says part 3 of 3",
        ]
    );
}

#[test]
fn models_of_one_name_get_their_folders_in_front() {
    let folder = Folder::new();
    folder.model("a_X/X-Q4_0.gguf").model("b_X/x-q4_0.gguf").model("c/Y.gguf").model("c/y.gguf");
    let catalog = folder.scan();
    assert_eq!(names(&catalog), ["a_x/x-q4_0", "b_x/x-q4_0", "y", "y~2"]);
    assert_eq!(catalog.resolve("b_X/X-Q4_0").unwrap().file, folder.path("b_X/x-q4_0.gguf"));
    assert!(catalog.resolve("x-q4_0").is_err(), "either could be meant");
}

#[test]
fn a_projector_is_found_by_name_by_width_or_by_place() {
    let folder = Folder::new();
    let projector = Tiny::new().text("general.architecture", "clip");
    let eight = projector.clone().u32("clip.vision.projection_dim", 8);
    let nine = projector.clone().u32("clip.vision.projection_dim", 9);
    folder.model("repo/Q4_0/m-Q4_0-00001-of-00001.gguf").model("repo/m-Q8_0.gguf");
    folder.put("repo/mmproj-BF16.gguf", &eight).put("repo/mmproj-F16.gguf", &eight).put("repo/mmproj-F32.gguf", &nine);
    folder.model("flat/vision-3b-it-Q4_0.gguf").model("flat/plain-7b-Q4_0.gguf");
    folder.put("flat/mmproj-vision-3b-it-f16.gguf", &nine).put("flat/mmproj-unknown.gguf", &projector);
    folder.model("alone/one-Q4_0.gguf").model("alone/one-Q8_0.gguf").put("alone/mmproj.gguf", &projector);
    folder.model("wrong/other.gguf").put("wrong/mmproj.gguf", &nine);
    let catalog = folder.scan();
    let beside = |name: &str| {
        let model = catalog.models().iter().find(|model| model.name == name).unwrap_or_else(|| panic!("{catalog:?}"));
        model.mmproj.as_ref().map(|path| path.strip_prefix(folder.path("")).unwrap().to_string_lossy().into_owned())
    };
    assert_eq!(beside("m-q4_0").as_deref(), Some("repo/mmproj-F16.gguf"));
    assert_eq!(beside("m-q8_0").as_deref(), Some("repo/mmproj-F16.gguf"));
    assert_eq!(beside("vision-3b-it-q4_0").as_deref(), Some("flat/mmproj-vision-3b-it-f16.gguf"));
    assert_eq!(beside("plain-7b-q4_0"), None);
    assert_eq!(beside("one-q8_0").as_deref(), Some("alone/mmproj.gguf"));
    assert_eq!(beside("other"), None);
}

#[test]
fn a_rescan_opens_only_what_is_new_or_changed() {
    let folder = Folder::new();
    folder.model("a.gguf").model("b.gguf").model("c.gguf");
    std::fs::write(folder.path("broken.gguf"), "GGUF").unwrap();
    let config = Config { models_dir: vec![folder.0.path().to_path_buf()], ..Config::default() };
    let first = Catalog::scan(&config);
    assert_eq!((first.opened(), names(&first)), (4, vec!["a", "b", "c"]));
    let (same, nothing) = first.rescan(&config, &[]);
    assert!(nothing.is_empty() && same.opened() == 0, "{nothing:?}");
    assert_eq!((names(&same), same.damaged()), (names(&first), first.damaged()));

    folder.put("b.gguf", &Tiny::llama().u32("more", 1)).put("new.gguf", &Tiny::llama());
    std::fs::remove_file(folder.path("a.gguf")).unwrap();
    std::fs::write(folder.path("broken-too.gguf"), "GGUF").unwrap();
    let (second, changes) = same.rescan(&config, &[]);
    assert_eq!((second.opened(), names(&second)), (3, vec!["b", "c", "new"]));
    let expected = Changes {
        added: vec!["new".into()],
        changed: vec!["b".into()],
        removed: vec!["a".into()],
        damaged: vec![folder.path("broken-too.gguf")],
    };
    assert_eq!(changes, expected);
    // Repaired, which is a change of the file like any other.
    folder.model("broken.gguf");
    let (_, changes) = second.rescan(&config, &[]);
    assert_eq!(changes, Changes { added: vec!["broken".into()], ..Changes::default() });
}

#[test]
fn another_file_in_the_place_of_one_is_noticed() {
    let folder = Folder::new();
    folder.model("a.gguf");
    let first = folder.scan();
    let time = std::fs::metadata(folder.path("a.gguf")).unwrap().modified().unwrap();
    folder.put("other", &Tiny::llama());
    std::fs::File::options().write(true).open(folder.path("other")).unwrap().set_modified(time).unwrap();
    std::fs::rename(folder.path("other"), folder.path("a.gguf")).unwrap();
    let config = Config { models_dir: vec![folder.0.path().to_path_buf()], ..Config::default() };
    let (second, changes) = first.rescan(&config, &[]);
    assert_eq!((second.opened(), changes.changed), (1, vec!["a".to_string()]));
}

#[test]
fn a_projector_that_comes_is_a_change_of_its_model() {
    let folder = Folder::new();
    folder.model("m/vision.gguf");
    let first = folder.scan();
    let clip = Tiny::new().text("general.architecture", "clip").raw("clip.has_audio_encoder", 7, &[1]);
    folder.put("m/mmproj.gguf", &clip);
    let config = Config { models_dir: vec![folder.0.path().to_path_buf()], ..Config::default() };
    let (second, changes) = first.rescan(&config, &[]);
    assert_eq!(changes.changed, ["vision"]);
    let [model] = second.models() else { panic!("{second:?}") };
    assert_eq!((model.vision, model.audio, model.projector.is_some()), (false, true, true));
}

#[test]
fn headers_are_remembered_over_a_restart() {
    let folder = Folder::new();
    let odd = Tiny::llama().raw("a.float", 6, &f32::NAN.to_le_bytes()).i32s("llama.list", &[1, -2]);
    folder.model("a.gguf").put("s-00001-of-00002.gguf", &Tiny::llama().split(0, 2)).put("odd.gguf", &odd);
    folder.put("s-00002-of-00002.gguf", &Tiny::new().tensor("blk.7.x", &[8], 0).split(1, 2));
    std::fs::write(folder.path("broken.gguf"), "GGUF").unwrap();
    let config = Config { models_dir: vec![folder.0.path().to_path_buf()], ..Config::default() };
    let first = Catalog::scan(&config);
    let index = folder.path("state/index");
    first.remember(&index).unwrap();
    let second = Catalog::recall(&config, &[], &index);
    assert_eq!((names(&second), second.damaged()), (names(&first), first.damaged()));
    assert_eq!(second.opened(), 2, "the broken file, and the header with a number that is none");
    let header = |catalog: &Catalog| catalog.resolve("s").unwrap().header.clone();
    assert_eq!(header(&first), header(&second));
    // Whatever happens to the index, the models are found.
    let whole = std::fs::read(&index).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"\0\0\n{}\n", b""] {
        std::fs::write(&index, damaged).unwrap();
        assert_eq!(names(&Catalog::recall(&config, &[], &index)), names(&first));
    }
    assert_eq!(names(&Catalog::recall(&config, &[], &folder.path("nowhere"))), names(&first));
}
