//! The arguments of an engine as a table of settings: those that the worker decides about become keys, those that it sets
//! itself are left out, and all others stay arguments.

use crate::draft::{Draft, Model};

/// What a flag is to the worker.
enum Flag {
    /// The file of the model.
    File,
    /// The worker takes no models from there.
    Download,
    Slots,
    Context,
    GpuLayers,
    /// The types of keys and values.
    KeyType,
    ValueType,
    /// The worker sets it itself; whether it has a value.
    Own(bool),
    /// It stays an argument.
    Other,
}

fn flag(word: &str) -> Flag {
    match word.replace('_', "-").as_str() {
        "-m" | "--model" => Flag::File,
        "-hf" | "-hfr" | "--hf-repo" | "-hff" | "--hf-file" | "-mu" | "--model-url" | "-dr" | "--docker-repo" => {
            Flag::Download
        }
        "-np" | "--parallel" => Flag::Slots,
        "-c" | "--ctx-size" => Flag::Context,
        "-ngl" | "--gpu-layers" | "--n-gpu-layers" => Flag::GpuLayers,
        "-ctk" | "--cache-type-k" => Flag::KeyType,
        "-ctv" | "--cache-type-v" => Flag::ValueType,
        "--host"
        | "--port"
        | "-a"
        | "--alias"
        | "--api-key"
        | "--api-key-file"
        | "--threads-http"
        | "--sse-ping-interval" => Flag::Own(true),
        "--metrics" | "--slots" | "--no-slots" | "--no-webui" | "--webui" | "--ui" | "--no-ui" | "-kvu"
        | "--kv-unified" | "-no-kvu" | "--no-kv-unified" | "--jinja" | "--log-disable" => Flag::Own(false),
        _ => Flag::Other,
    }
}

/// What the arguments of one engine say.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The model's file.
    pub(crate) file: Option<String>,
    pub(crate) model: Model,
}

/// Reads the arguments of an engine; `of` names the model in notes.
pub(crate) fn read(of: &str, words: &[String], draft: &mut Draft) -> Read {
    let mut read = Read::default();
    let (mut keys, mut values, mut own) = (None, None, Vec::new());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        let known = flag(word);
        let value = words.get(at).filter(|next| is_value(next));
        let has_value = !matches!(known, Flag::Own(false) | Flag::Other);
        if has_value && value.is_none() {
            draft.note(&format!("{of}: {word}"), "it has no value");
            continue;
        }
        let text = value.cloned().unwrap_or_default();
        at += usize::from(value.is_some() && !matches!(known, Flag::Own(false)));
        match known {
            Flag::File => read.file = Some(text),
            Flag::Download => draft.note(
                &format!("{of}: {word} {text}"),
                "the worker does not download models for an engine; put the file into a folder of catalog.models_dir",
            ),
            Flag::Slots => read.model.slots = number(of, word, &text, draft),
            Flag::Context => read.model.ctx_size = number(of, word, &text, draft).filter(|size| *size > 0),
            Flag::GpuLayers => read.model.gpu_layers = Some(text),
            Flag::KeyType => keys = Some((word.clone(), text)),
            Flag::ValueType => values = Some((word.clone(), text)),
            Flag::Own(_) => own.push(word.as_str()),
            Flag::Other => {
                read.model.args.push(word.clone());
                read.model.args.extend(value.cloned());
            }
        }
    }
    match (keys, values) {
        (Some((_, keys)), Some((_, values))) if keys == values => read.model.kv_type = Some(keys),
        (keys, values) => {
            let single = keys.into_iter().chain(values).flat_map(|(word, text)| [word, text]);
            read.model.args.extend(single);
        }
    }
    share_context(&mut read.model);
    if !own.is_empty() {
        draft.note(&format!("{of}: {}", own.join(", ")), "the worker sets it itself");
    }
    read
}

/// The engine's context is that of all slots together, the worker's that of each.
fn share_context(model: &mut Model) {
    if let (Some(size), Some(slots)) = (model.ctx_size, model.slots) {
        model.ctx_size = Some(size / slots.max(1));
    }
}

/// Whether a word is the value of the flag before it: it is no flag, but it may be a negative number.
fn is_value(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or("x");
    !word.starts_with('-') || digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}

fn number(of: &str, word: &str, text: &str, draft: &mut Draft) -> Option<u32> {
    let number = text.parse().ok();
    if number.is_none() {
        draft.note(&format!("{of}: {word} {text}"), "it is not a number of the worker's range");
    }
    number
}

/// The name of a model by its file: without its folder, its ending and the number of its part.
pub(crate) fn name_of(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let name = name.strip_suffix(".gguf").unwrap_or(name);
    match name.rfind("-00001-of-") {
        Some(at) => &name[..at],
        None => name,
    }
}

/// The folder of a model's file.
pub(crate) fn folder_of(file: &str) -> Option<&str> {
    file.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Read, Vec<String>) {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let mut draft = Draft::default();
        (read("m", &words, &mut draft), draft.notes)
    }

    #[test]
    fn known_flags_become_keys_and_others_stay_arguments() {
        let (read, notes) =
            of("-m /a/x.gguf --port 80 -c 8192 -np 2 -ngl 99 -ctk q8_0 --cache-type-v q8_0 --temp 0.6 \
            --no-mmap --seed -1 --lora_scaled a:1 --metrics");
        assert_eq!(read.file.as_deref(), Some("/a/x.gguf"));
        let model = read.model;
        assert_eq!((model.ctx_size, model.slots, model.gpu_layers.as_deref()), (Some(4096), Some(2), Some("99")));
        assert_eq!(model.kv_type.as_deref(), Some("q8_0"));
        assert_eq!(model.args, ["--temp", "0.6", "--no-mmap", "--seed", "-1", "--lora_scaled", "a:1"]);
        assert_eq!(notes, ["m: --port, --metrics: the worker sets it itself"]);
    }

    #[test]
    fn what_cannot_be_taken_over_is_noted() {
        let (read, notes) = of("--hf-repo a/b -c many --cache-type-k q4_0 --parallel");
        assert_eq!((read.file, read.model.ctx_size, read.model.kv_type), (None, None, None));
        assert_eq!(read.model.args, ["--cache-type-k", "q4_0"]);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].starts_with("m: --hf-repo a/b: the worker does not download"));
        assert!(notes[1].starts_with("m: -c many:") && notes[2].starts_with("m: --parallel: it has no value"));
    }

    #[test]
    fn a_model_is_named_after_its_file() {
        for (file, name, folder) in [
            ("/models/qwen/Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_M", Some("/models/qwen")),
            ("big-00001-of-00003.gguf", "big", None),
            ("./a/b", "b", Some("./a")),
        ] {
            assert_eq!((name_of(file), folder_of(file)), (name, folder));
        }
    }
}
