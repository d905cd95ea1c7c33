//! The list of models, and the details of one.

use auxot_tests::blueprint::{Blueprint, Quant};

use crate::TestHost;

#[test]
fn models_are_listed_in_a_table_and_unusable_files_below_it() {
    let host = TestHost::new();
    Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    Blueprint::qwen_14b(Quant::Q8_0).write(&host.scratch.models());
    std::fs::write(host.scratch.models().join("page.gguf"), "<html>404</html>").unwrap();
    let expected = "\
NAME                  TASK  ARCH   PARAMS  QUANT       SIZE  CONTEXT  ALSO
llama-3.3-70b-q4_k_m  chat  llama  70.6 B  q4_k_m  39.6 GiB  131,072
qwen2.5-14b-q8_0      chat  qwen2  14.8 B  q8_0    14.6 GiB   32,768

2 models, 54.2 GiB

1 cannot be used:
  MODELS/page.gguf
    cannot use it: not a GGUF file
";
    assert_eq!(host.text(&["models"], 0), expected);
    let json = host.json(&["models", "--json"], 0);
    assert_eq!(json["models"][1]["name"], "qwen2.5-14b-q8_0");
    assert_eq!(json["models"][0]["parameters"], 70_553_706_496_u64);
    assert_eq!(json["damaged"][0]["fault"], "cannot use it: not a GGUF file");
}

#[test]
fn a_host_without_models_gets_instructions() {
    assert!(TestHost::new().text(&["models"], 0).starts_with("There are no models here: put GGUF files into a folder"));
}

#[test]
fn one_model_is_shown_under_any_of_its_names() {
    let host = TestHost::new();
    let file = Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    std::os::unix::fs::symlink(file, host.scratch.models().join("the-big-one.gguf")).unwrap();
    let expected = "\
llama-3.3-70b-q4_k_m

  also called    the-big-one, llama-3.3-70b
  task           chat
  architecture   llama
  parameters     70.6 B
  quantisation   q4_k_m
  context        131,072 tokens
  layers         80
  chat template  yes
  vision         no
  audio          no
  size           39.6 GiB
  file           MODELS/llama-3.3-70b-q4_k_m.gguf
  needs          49.3 GiB on one device for 4 slots of 8,192 tokens each; see `auxot-worker fit`
";
    for name in ["LLAMA 3.3 70b", "The-Big-One", "llama-3.3-70b-Q4-K-M.gguf"] {
        assert_eq!(host.text(&["models", "show", name], 0), expected, "{name}");
    }
    let json = host.json(&["models", "show", "llama-3.3-70b", "--json"], 0);
    assert_eq!(json["header"]["llama.attention.head_count_kv"], 8);
    assert_eq!(json["needs"]["slots"], 4);
    let output = host.run(&["models", "show", "nope"]);
    assert_eq!(output.status.code(), Some(66));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "cannot find model nope: there is llama-3.3-70b-q4_k_m\n");
}

#[test]
fn names_that_would_break_a_line_are_escaped_and_nothing_panics() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let host = TestHost::new();
    let file = Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    for name in [&b"two\nlines.gguf"[..], b"no-\xff-text.gguf"] {
        std::fs::rename(&file, host.scratch.models().join(OsStr::from_bytes(name))).unwrap();
        for arguments in [&["models"][..], &["models", "--json"], &["models", "show", "--json", "two lines"]] {
            let output = host.run(arguments);
            let (out, err) =
                (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
            assert!(output.status.code().is_some() && !err.contains("panicked"), "{arguments:?}: {err}");
            assert!(out.lines().all(|line| !line.starts_with("lines")), "{out}");
        }
        let json = host.json(&["models", "--json"], 0);
        let expected = if name[0] == b't' { "two\\nlines" } else { "no-\\xff-text" };
        assert_eq!(json["models"][0]["name"], expected);
        std::fs::rename(host.scratch.models().join(OsStr::from_bytes(name)), &file).unwrap();
    }
}

#[test]
fn output_for_another_program_is_not_wrapped() {
    let host = TestHost::new();
    let file = Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    let long = format!("{}-q4_k_m", "a-very-long-name".repeat(10));
    std::fs::rename(file, host.scratch.models().join(format!("{long}.gguf"))).unwrap();
    let output = host.command(&["models"]).env_remove("COLUMNS").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with(&long) && line.contains("131,072")), "{text}");
}

#[test]
fn a_damaged_file_is_reported_without_an_engine() {
    let host = TestHost::new();
    for (name, expected) in
        [("bad-gap", "belongs at"), ("bad-tensors-cut", "cut short"), ("bad-header-cut", "cannot read")]
    {
        let tiny = auxot_tests::real::tiny_models().join(format!("{name}.gguf"));
        std::fs::copy(tiny, host.scratch.models().join(format!("{name}.gguf"))).unwrap();
        let json = host.json(&["models", "--json"], 0);
        let damaged = json["damaged"].as_array().unwrap();
        let fault = damaged.iter().find(|one| one["name"] == name).unwrap()["fault"].as_str().unwrap();
        assert!(fault.contains(expected), "{name}: {fault}");
    }
}
