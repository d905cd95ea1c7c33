//! The presets of llama-server's router mode: INI whose sections are models and whose keys are flags of the engine without
//! their dashes.
//!
//! Read as the engine reads them: a value ends at `;` or `#`, a section without a name or called `*` is for all models, and
//! the last of two equal keys counts.

use std::collections::BTreeMap;

use crate::ImportError;
use crate::arguments::{self, folder_of, name_of};
use crate::draft::Draft;

/// The address that llama-server listens on by itself.
const ADDRESS: &str = "127.0.0.1:8080";
/// The section for all models.
const ALL: &str = "*";

type Section = BTreeMap<String, String>;

/// Reads a file into a draft.
pub(crate) fn read(name: &str, text: &str, draft: &mut Draft) -> Result<(), ImportError> {
    let mut sections = sections(name, text)?;
    draft.addresses.push(ADDRESS.to_owned());
    draft.note(
        &format!("the address {ADDRESS}"),
        "llama-server takes its own from the command line; change it if it was set there",
    );
    let all = sections.remove(ALL).unwrap_or_default();
    for (section, own) in sections {
        let mut keys = all.clone();
        keys.extend(own);
        read_model(&section, keys, draft);
    }
    Ok(())
}

fn sections(name: &str, text: &str) -> Result<BTreeMap<String, Section>, ImportError> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = ALL.to_owned();
    for (number, line) in text.lines().enumerate() {
        let line = line.find([';', '#']).map_or(line, |end| &line[..end]).trim();
        if line.is_empty() {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section.trim().clone_into(&mut current);
            sections.entry(current.clone()).or_default();
        } else if let Some((key, value)) = line.split_once('=') {
            let section = sections.entry(current.clone()).or_default();
            section.insert(key.trim().to_owned(), value.trim().to_owned());
        } else {
            return Err(ImportError::Line { name: name.to_owned(), line: number + 1 });
        }
    }
    Ok(sections)
}

fn read_model(section: &str, keys: Section, draft: &mut Draft) {
    let of = format!("[{section}]");
    let (mut words, mut env, mut at_start) = (Vec::new(), BTreeMap::new(), false);
    for (key, value) in keys {
        match key.as_str() {
            "version" => {}
            "load-on-startup" => at_start = is_on(&value),
            "stop-timeout" => draft.note(&format!("{of}: {key}"), "running answers get fleet.drain_timeout"),
            _ if key.starts_with("LLAMA_ARG_") => drop(env.insert(key, value)),
            _ => words.extend(flag(&key, &value)),
        }
    }
    let mut read = arguments::read(&of, &words, draft);
    read.model.env.extend(env);
    let name = match &read.file {
        Some(file) => {
            draft.folders.extend(folder_of(file).map(str::to_owned));
            let name = name_of(file).to_owned();
            draft.alias(section, &name);
            name
        }
        None => {
            draft.note(&of, "it names no file; the worker looks for a model of this name in its folders");
            section.to_owned()
        }
    };
    if at_start {
        draft.autoload.push(name.clone());
    }
    draft.models.insert(name, read.model);
}

/// A key as a flag: one letter or a short form has one dash.
fn flag(key: &str, value: &str) -> Vec<String> {
    let is_short = key.len() <= 3 || matches!(key, "ctk" | "ctv" | "ngl" | "cmoe" | "ncmoe");
    let word = if is_short { format!("-{key}") } else { format!("--{key}") };
    match value {
        "true" | "on" | "enabled" if !key.starts_with("no-") && is_switch(key) => vec![word],
        "false" | "off" | "disabled" if is_switch(key) => vec![format!("--no-{key}")],
        _ => vec![word, value.to_owned()],
    }
}

/// Flags that have no value: those of the engine that have a form with `no-`.
fn is_switch(key: &str) -> bool {
    const SWITCHES: [&str; 24] = [
        "jinja",
        "mmap",
        "mlock",
        "kv-offload",
        "kv-unified",
        "cont-batching",
        "warmup",
        "repack",
        "webui",
        "ui",
        "slots",
        "metrics",
        "props",
        "embedding",
        "embeddings",
        "reranking",
        "rerank",
        "swa-full",
        "cache-prompt",
        "cpu-moe",
        "offline",
        "mmproj-offload",
        "context-shift",
        "prefill-assistant",
    ];
    SWITCHES.contains(&key)
}

fn is_on(value: &str) -> bool {
    matches!(value, "true" | "on" | "enabled" | "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version = 1\n\n; for all\n[*]\nc = 8192\nn-gpu-layers = 8\n\n\
        [ggml-org/MY-MODEL-GGUF:Q8_0]\nchat-template = chatml ; text\nn-gpu-layers = 123\njinja = true\nmmap = off\n\
        LLAMA_ARG_CACHE_RAM = 0\nstop-timeout = 3\n\n[custom]\nmodel = /m/my-Q4_K_M.gguf\nload-on-startup = 1\nflash-attn = on\n";

    #[test]
    fn sections_are_models_and_keys_are_flags() {
        let mut draft = Draft::default();
        read("presets.ini", FILE, &mut draft).unwrap();
        let one = &draft.models["ggml-org/MY-MODEL-GGUF:Q8_0"];
        assert_eq!((one.ctx_size, one.gpu_layers.as_deref()), (Some(8192), Some("123")));
        assert_eq!(one.args, ["--chat-template", "chatml", "--no-mmap"]);
        assert_eq!(one.env["LLAMA_ARG_CACHE_RAM"], "0");
        let custom = &draft.models["my-Q4_K_M"];
        assert_eq!((custom.ctx_size, custom.args.join(" ").as_str()), (Some(8192), "--flash-attn on"));
        assert_eq!(
            (draft.autoload, draft.aliases),
            (vec!["my-Q4_K_M".into()], vec![("custom".into(), "my-Q4_K_M".into())])
        );
        assert_eq!(draft.folders.into_iter().collect::<Vec<_>>(), ["/m"]);
        assert!(draft.notes.iter().any(|note| note.contains("stop-timeout")), "{:?}", draft.notes);
    }

    #[test]
    fn a_line_that_is_nothing_is_named() {
        let error = read("presets.ini", "[a]\nx = 1\nnonsense\n", &mut Draft::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read line 3 of presets.ini: it is neither a section, a key with a value nor a comment"
        );
    }
}
