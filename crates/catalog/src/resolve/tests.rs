//! Requested names and the models that they find.

use crate::fixture::Tiny;
use crate::{Catalog, Config, ResolveError};

fn catalog(files: &[&str]) -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        Tiny::llama().write(&folder.path().join(file));
    }
    Catalog::scan(&Config { models_dir: vec![folder.path().to_path_buf()], ..Config::default() })
}

fn found<'a>(catalog: &'a Catalog, requested: &str) -> &'a str {
    &catalog.resolve(requested).unwrap_or_else(|e| panic!("{e}")).name
}

#[test]
fn the_names_of_the_issue_find_the_files_people_have() {
    let catalog = catalog(&["Llama-3.3-70B-Instruct-Q4_K_M.gguf", "Qwen2.5-Coder-32B-Instruct-Q6_K.gguf"]);
    assert_eq!(found(&catalog, "llama-3.3-70b-q4_k_m"), "llama-3.3-70b-instruct-q4_k_m");
    assert_eq!(found(&catalog, "qwen-2.5-coder-32b-q6_k"), "qwen2.5-coder-32b-instruct-q6_k");
    assert_eq!(found(&catalog, "QWEN_2.5 coder 32B"), "qwen2.5-coder-32b-instruct-q6_k");
}

#[test]
fn the_better_match_wins() {
    let catalog = catalog(&["q-7b-Q4_0.gguf", "q-7b-Q8_0.gguf", "q-7b-Instruct-Q4_0.gguf", "q-7b.gguf"]);
    assert_eq!(found(&catalog, "q-7b"), "q-7b", "a canonical name beats a name without quantisation");
    assert_eq!(found(&catalog, "q7b-q4_0"), "q-7b-q4_0", "a base model beats its instruct sister");
    assert!(catalog.resolve("Q-7B-it-Q8_0").is_err(), "a base model is not the requested one");
}

#[test]
fn an_equivalent_quantisation_stands_in_for_one_that_is_not_there() {
    let catalog = catalog(&["k-BF16.gguf", "k-UD-Q8_K_XL.gguf", "j-F16.gguf", "j-BF16.gguf", "j-i1-Q4_K_M.gguf"]);
    assert_eq!(found(&catalog, "k-f16"), "k-bf16");
    assert_eq!(found(&catalog, "k-q8_k"), "k-ud-q8_k_xl");
    assert_eq!(found(&catalog, "j-f16"), "j-f16");
    assert_eq!(found(&catalog, "j-q4-k-m"), "j-i1-q4_k_m");
    assert!(catalog.resolve("k-q4_k_m").is_err());
}

#[test]
fn folders_and_the_header_s_name_count_too() {
    let folder = tempfile::tempdir().unwrap();
    let named = Tiny::llama().text("general.name", "Hermes 3 Llama 3.1 8B").u32("general.file_type", 7);
    named.write(&folder.path().join("model.gguf"));
    for file in ["unsloth_Qwen3-Coder-30B-A3B-GGUF/Q4_K_S/weights-Q4_K_S.gguf", "solo/ggml-model-q5_1.gguf"] {
        Tiny::llama().write(&folder.path().join(file));
    }
    let catalog = Catalog::scan(&Config { models_dir: vec![folder.path().to_path_buf()], ..Config::default() });
    assert_eq!(found(&catalog, "hermes-3-llama-3.1-8b-q8_0"), "model");
    assert_eq!(found(&catalog, "unsloth/Qwen3-Coder-30B-A3B-GGUF:Q4_K_S"), "weights-q4_k_s");
    assert_eq!(found(&catalog, "qwen3-coder-30b-a3b-q4_k_s"), "weights-q4_k_s");
    assert_eq!(found(&catalog, "unsloth_Qwen3-Coder-30B-A3B-GGUF/Q4_K_S/weights-Q4_K_S.gguf"), "weights-q4_k_s");
    assert_eq!(found(&catalog, "solo"), "ggml-model-q5_1");
    for (model, others) in catalog.other_names() {
        assert!(others.iter().all(|(_, name)| catalog.resolve(name).is_ok_and(|found| found.name == model.name)));
    }
    let others: Vec<_> = catalog.other_names().map(|(_, others)| others.len()).collect();
    assert_eq!(others, [2, 1, 4], "those of a folder, of the header, of several folders");
    let path = folder.path().join("model.gguf");
    assert_eq!(found(&catalog, &path.to_string_lossy()), "model");
    assert_eq!(found(&catalog, &format!("file:{}", path.display())), "model");
    assert_eq!(found(&catalog, &format!("file://{}", path.display())), "model");
}

#[test]
fn errors_list_what_there_is() {
    let catalog = catalog(&["a-Q4_0.gguf", "a-Q8_0.gguf", "b-Q4_0.gguf", "c-00001-of-00002.gguf"]);
    let text = |requested: &str| catalog.resolve(requested).unwrap_err().to_string();
    assert_eq!(text("a"), "cannot choose a model for a: it may be a-q4_0, a-q8_0");
    assert_eq!(text("z-q4_0"), "cannot find model z-q4_0: there is a-q4_0, a-q8_0, b-q4_0");
    assert_eq!(text("a-q6_k"), "cannot find model a-q6_k: there is a-q4_0, a-q8_0, b-q4_0");
    assert_eq!(text(""), "cannot find model : there is a-q4_0, a-q8_0, b-q4_0");
    let error = catalog.resolve("C").unwrap_err();
    assert!(matches!(error, ResolveError::ShardsMissing { have: 1, want: 2, .. }));
    assert!(error.to_string().ends_with("1 of 2 shards are there; missing: c-00002-of-00002.gguf"), "{error}");
    assert_eq!(Catalog::default().resolve("x").unwrap_err().to_string(), "cannot find model x: no models were found");
}

#[test]
fn a_damaged_model_is_not_an_unknown_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Broken-7B-Q4_0.gguf"), "GGUF").unwrap();
    let catalog = Catalog::scan(&Config { models_dir: vec![folder.path().to_path_buf()], ..Config::default() });
    for requested in ["broken-7b", "broken-7b:latest"] {
        let error = catalog.resolve(requested).unwrap_err();
        assert!(
            matches!(&error, ResolveError::Damaged { reason, .. } if reason.starts_with("cannot read version")),
            "{error}"
        );
    }
}

#[test]
fn a_long_list_ends() {
    let files: Vec<String> = (0..40).map(|i| format!("m{i:02}.gguf")).collect();
    let catalog = catalog(&files.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(catalog.resolve("z").unwrap_err().to_string().ends_with("m23 and 16 more"));
}

/// Rows of the router's registry whose file is not simply `<name>-<quantisation>.gguf`.
#[test]
fn the_registry_s_names_find_the_registry_s_files() {
    let rows = [
        ("Kimi-K2.5-F16", "Kimi-K2.5-BF16"),
        ("Kimi-K2-Q8_K", "Kimi-K2-Instruct-UD-Q8_K_XL"),
        ("Qwen3-Coder-30B-A3B-Q4_K_S", "Qwen3-Coder-30B-A3B-Instruct-Q4_K_S"),
        ("Qwen3-Coder-30B-A3B-Instruct-1M-Q4_K_S", "Qwen3-Coder-30B-A3B-Instruct-1M-Q4_K_S"),
        ("Qwen3-VL-32B-Q5_K_S", "Qwen3-VL-32B-Instruct-Q5_K_S"),
        ("Qwen3-32B-Q5_K_S", "Qwen3-32B-Q5_K_S"),
        ("gemma-3-27b-it-Q8_0", "gemma-3-27b-it-Q8_0"),
        ("DeepSeek-R1-Distill-Qwen-32B-Q6_K", "DeepSeek-R1-Distill-Qwen-32B-Q6_K"),
    ];
    let files: Vec<String> = rows.iter().map(|(_, file)| format!("{file}.gguf")).collect();
    let catalog = catalog(&files.iter().map(String::as_str).collect::<Vec<_>>());
    for (requested, file) in rows {
        assert_eq!(found(&catalog, requested), file.to_lowercase(), "{requested}");
    }
}

#[test]
fn an_alias_means_its_model() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["llama-3b-Q4_0.gguf", "qwen-7b-Q4_0.gguf"] {
        Tiny::llama().write(&folder.path().join(file));
    }
    let alias = |text: &str| crate::Alias::try_from(text.to_string()).unwrap();
    let aliases = vec![alias("GPT-4o=qwen-7b"), alias("llama-3b=qwen-7b"), alias("a=b"), alias("b=a")];
    let catalog =
        Catalog::scan(&Config { models_dir: vec![folder.path().to_path_buf()], aliases, ..Config::default() });
    assert_eq!(found(&catalog, "gpt 4o"), "qwen-7b-q4_0");
    assert_eq!(found(&catalog, "llama-3b"), "qwen-7b-q4_0", "the operator's word is stronger than a file's name");
    assert_eq!(found(&catalog, "llama-3b-q4_0"), "llama-3b-q4_0");
    assert_eq!(found(&catalog, "gpt-4o:latest"), "qwen-7b-q4_0");
    assert_eq!(found(&catalog, "Llama-3B-Q4_0:latest"), "llama-3b-q4_0");
    assert!(catalog.resolve("a").is_err(), "two aliases for each other end");
    let twice = Config {
        models_dir: vec![folder.path().to_path_buf()],
        aliases: vec![alias("gpt=qwen-7b"), alias("GPT=llama-3b"), alias("q=qwen-7b"), alias("q=qwen-7b-q4_0")],
        ..Config::default()
    };
    let catalog = Catalog::scan(&twice);
    assert!(catalog.resolve("gpt").unwrap_err().to_string().contains("llama-3b-q4_0, qwen-7b-q4_0"));
    assert_eq!(found(&catalog, "q"), "qwen-7b-q4_0", "two that mean the same");
}
