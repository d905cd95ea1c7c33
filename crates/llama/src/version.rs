//! What an engine binary says about itself before it is started: `--version` and `--help`.

use std::collections::HashSet;

/// The build of an engine. The number is whatever its builder had in git, so it is a hint and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The version, which older builds do not give.
    pub version: Option<String>,
    /// The build number; 1 from a shallow clone, 0 from an archive.
    pub build: u64,
    /// The commit, or `unknown`.
    pub commit: String,
}

impl Build {
    /// Finds the version line in what `--version` printed (on standard error).
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

/// The long flags an engine binary takes. This, and not the build number, tells what it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(HashSet<String>);

/// The column where the help text starts.
const HELP_COLUMN: usize = 40;

impl Flags {
    /// Reads what `--help` printed (on standard output). Flags that are listed only to say that they were
    /// removed are left out.
    pub fn parse(help: &str) -> Self {
        let mut flags = HashSet::new();
        let mut entry: Vec<&str> = Vec::new();
        let mut removed = false;
        let lines = help.lines().chain(std::iter::once("-----"));
        for line in lines {
            if line.starts_with('-') {
                if !removed {
                    flags.extend(entry.drain(..).map(normal));
                }
                entry = long_flags(line);
                removed = false;
            }
            removed |= line.contains("argument has been removed");
        }
        Self(flags)
    }

    /// Whether the binary takes the flag; `_` and `-` are the same.
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains(&normal(flag))
    }

    /// Whether nothing was found, which means that the text was no help text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn normal(flag: &str) -> String {
    flag.replace('_', "-")
}

/// The long flags at the start of a line. A list that is too long for its column has the line to itself.
fn long_flags(line: &str) -> Vec<&str> {
    let short = line.get(HELP_COLUMN - 3..HELP_COLUMN).is_some_and(|gap| gap.trim().is_empty());
    let list = if short { line.get(..HELP_COLUMN).unwrap_or(line) } else { line };
    let words = list.split([',', ' ']).filter(|word| word.len() > 2 && word.starts_with("--"));
    words.filter(|word| word.as_bytes()[2].is_ascii_alphabetic()).collect()
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
        assert!(!Flags::parse("--caf\u{e9}\n-\u{1f600}                                      \u{e9}").has("x"));
    }
}
