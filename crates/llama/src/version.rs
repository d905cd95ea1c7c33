//! The output of an engine binary for `--version` and `--help`.

use std::collections::HashMap;
use std::sync::Arc;

/// The build of an engine. The number depends on the builder's git clone, so it is only a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The version, which older builds do not print.
    pub version: Option<String>,
    /// The build number; 1 from a shallow clone, 0 from an archive.
    pub build: u64,
    /// The commit, or `unknown`.
    pub commit: String,
}

impl Build {
    /// Finds the version line in the output of `--version` (on standard error).
    ///
    /// `version: 0.1.0-dev (build 1, commit 7e4c0a9)`, before that `version: 6123 (abc1234)`.
    pub fn parse(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let (first, inside) = line.trim().strip_prefix("version: ")?.strip_suffix(')')?.split_once(" (")?;
            match inside.strip_prefix("build ") {
                Some(inside) => {
                    let (build, commit) = inside.split_once(", commit ")?;
                    let build = build.parse().ok()?;
                    Some(Self { version: Some(first.to_owned()), build, commit: commit.to_owned() })
                }
                None => Some(Self { version: None, build: first.parse().ok()?, commit: inside.to_owned() }),
            }
        })
    }
}

/// The long flags of an engine binary, with or without a value. They, and not the build number, show what it supports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(HashMap<String, Arc<FlagEntry>>);

/// The help text of one flag and its other names.
#[derive(Debug, Default, PartialEq, Eq)]
struct FlagEntry {
    names: Vec<String>,
    takes_value: bool,
    /// The name of the value, and the text after it.
    text: String,
}

/// The largest indent of a flag; text that begins with a dash has a larger one.
const INDENT: usize = 12;

impl Flags {
    /// Parses the output of `--help` (on standard output). Flags that are listed as removed are left out.
    ///
    /// The text of a flag begins in column 40, in builds of 2024 in column 34 after an indent of two, or of nine without a
    /// short name. In both cases two or more blanks or a line break are before it.
    pub fn parse(help: &str) -> Self {
        let mut entries: Vec<FlagEntry> = Vec::new();
        for line in help.lines() {
            let list = line.trim_start();
            if list.starts_with("-----") || list.is_empty() {
                continue;
            }
            if list.starts_with('-') && line.len() - list.len() <= INDENT {
                entries.push(FlagEntry::begun(list));
            } else if let Some(entry) = entries.last_mut() {
                entry.text.push(' ');
                entry.text.push_str(list);
            }
        }
        let kept = entries.into_iter().filter(|entry| !entry.text.contains("argument has been removed"));
        let named = kept.flat_map(|entry| {
            let entry = Arc::new(entry);
            entry.names.clone().into_iter().map(move |name| (name, Arc::clone(&entry)))
        });
        Self(named.collect())
    }

    /// Whether the binary has the flag; `_` and `-` are the same.
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains_key(&normal(flag))
    }

    /// Whether the flag takes a value; `None` for an unknown flag.
    pub fn takes_value(&self, flag: &str) -> Option<bool> {
        self.0.get(&normal(flag)).map(|entry| entry.takes_value)
    }

    /// Whether the binary has the flag and its help text contains these words.
    pub fn says(&self, flag: &str, words: &str) -> bool {
        self.0.get(&normal(flag)).is_some_and(|entry| entry.text.contains(words))
    }

    /// Whether no flag was found, which means that the text is not a help text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FlagEntry {
    /// Parses the first line: names separated by commas, perhaps a value, two blanks, text.
    fn begun(line: &str) -> FlagEntry {
        let mut entry = FlagEntry::default();
        let mut rest = line;
        loop {
            let (word, behind) = rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len()));
            entry.name(word);
            match behind.strip_prefix(',') {
                Some(next) if next.trim_start().starts_with('-') => rest = next.trim_start(),
                _ => {
                    let value = behind.strip_prefix(' ').filter(|value| !value.starts_with(' ') && !value.is_empty());
                    entry.takes_value = value.is_some();
                    entry.text = behind.trim_start().to_owned();
                    return entry;
                }
            }
        }
    }

    fn name(&mut self, word: &str) {
        let is_long =
            word.strip_prefix("--").is_some_and(|name| name.starts_with(|sign: char| sign.is_ascii_alphabetic()));
        if !is_long {
            return;
        }
        // Two names in one word.
        match word.strip_suffix("(s)") {
            Some(one) => self.names.extend([normal(one), normal(one) + "s"]),
            None => self.names.push(normal(word)),
        }
    }
}

fn normal(flag: &str) -> String {
    flag.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_the_version_line_are_read() {
        let text = "ggml_vulkan: No devices found.\nversion: 0.1.0-dev (build 1, commit 7e4c0a9)\nbuilt with GNU 11.4.0 for Linux x86_64\n";
        let want = Build { version: Some("0.1.0-dev".into()), build: 1, commit: "7e4c0a9".into() };
        assert_eq!(Build::parse(text), Some(want));
        let want = Build { version: None, build: 6123, commit: "abc1234".into() };
        assert_eq!(Build::parse("version: 6123 (abc1234)"), Some(want));
        for text in ["", "version: x", "version: x (y)", "version: 1.0 (build x, commit y)", "version: (", "llama 1"] {
            assert_eq!(Build::parse(text), None, "{text}");
        }
    }

    // Lines of b10434.
    const HELP: &str = "\
----- common params -----

-h,    --help, --usage                  print usage and exit
--cpu-strict <0|1>                      use strict CPU placement (default: 0)
-b,    --batch-size N                   logical maximum batch size, see --ubatch-size-not-here
                                        (env: LLAMA_ARG_BATCH)
-kvu,  --kv-unified, -no-kvu, --no-kv-unified
                                        use single unified KV buffer shared across all sequences (default:
                                        enabled if number of slots is auto)
--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max or
                                        --spec-ngram-mod-n-max
--spec-ngram-size-n N                   the argument has been removed. use the respective
                                        --spec-ngram-*-size-n or --spec-ngram-mod-n-match
--log-jsonl                             last
";

    #[test]
    fn flags_are_found_and_removed_ones_are_not() {
        let flags = Flags::parse(HELP);
        for flag in [
            "--help",
            "--usage",
            "--cpu-strict",
            "--batch-size",
            "--kv-unified",
            "--no-kv-unified",
            "--no_kv_unified",
            "--log-jsonl",
        ] {
            assert!(flags.has(flag), "{flag}");
        }
        for flag in [
            "--draft",
            "--draft-n",
            "--spec-ngram-size-n",
            "--ubatch-size-not-here",
            "--spec-ngram-mod-n-max",
            "-b",
            "--",
        ] {
            assert!(!flags.has(flag), "{flag}");
        }
        assert!(Flags::parse("command not found").is_empty());
        assert_eq!((flags.takes_value("--batch-size"), flags.takes_value("--cpu-strict")), (Some(true), Some(true)));
        assert_eq!((flags.takes_value("--no-kv-unified"), flags.takes_value("--usage")), (Some(false), Some(false)));
        assert_eq!(flags.takes_value("--draft"), None);
        assert!(!Flags::parse("--caf\u{e9}\n-\u{1f600}                                      \u{e9}").has("x"));
    }

    #[test]
    fn builds_of_2024_indent_their_flags() {
        let help = "usage: llama-server [options]

general:

  -h,    --help, --usage          print usage and exit
  -t,    --threads N              number of threads to use during generation (default: 8)
         --slot-save-path PATH    path to save slot kv cache (default: disabled)
  --embedding(s)                  restrict to only support embedding use case (default: disabled)
  -ctk,  --cache-type-k TYPE      KV cache data type for K (default: f16)
  --log-format {text,json}        log output format: json or text (default: json)
  -sm,   --split-mode SPLIT_MODE  how to split the model across multiple GPUs, one of:
                                    - none: use one GPU only
                                    - layer (default): split layers and KV across GPUs
";
        let flags = Flags::parse(help);
        let with: Vec<_> =
            ["--threads", "--cache-type-k", "--log-format", "--split-mode"].map(|flag| flags.takes_value(flag)).into();
        assert_eq!(with, [Some(true); 4]);
        let without: Vec<_> =
            ["--help", "--usage", "--embedding", "--embeddings"].map(|flag| flags.takes_value(flag)).into();
        assert_eq!(without, [Some(false); 4]);
        assert!(flags.says("--split-mode", "- none: use") && !flags.says("--split-mode", "use one CPU"));
    }

    #[test]
    fn a_switch_of_2025_and_a_value_of_today_are_distinguished() {
        let then = "--log-colors                            Enable colored logging\n\
                    -lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. Messages with a higher\n";
        let now = "--log-colors [on|off|auto]              Set colored logging ('on', 'off', or 'auto')\n\
                   -lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. Values:\n{text}- 3: info\n";
        let now = &now.replace("{text}", &" ".repeat(40));
        let (then, now) = (Flags::parse(then), Flags::parse(now));
        assert_eq!((then.takes_value("--log-colors"), now.takes_value("--log-colors")), (Some(false), Some(true)));
        assert_eq!((then.says("--log-verbosity", "3: info"), now.says("--log-verbosity", "3: info")), (false, true));
    }
}
