//! Private words: identifiers and comments use the field's terms (STYLE.md, Words).
//!
//! The check splits identifiers at `_` and at capitals and reads the words of comments; strings are left out, since settings
//! and the wire keep their words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// Words with a meaning of our own, each with the field's.
const PRIVATE: &[(&str, &str)] = &[
    ("anybody", "any user"),
    ("asleep", "not read"),
    ("calm", "debounce"),
    ("cry", "send_final"),
    ("deaf", "closed port"),
    ("desk", "job registry"),
    ("dice", "random numbers"),
    ("doubt", "load backoff"),
    ("encore", "replay"),
    ("encores", "replay cache"),
    ("everybody", "all users"),
    ("eyes", "file watcher"),
    ("hasty", "short limits"),
    ("heal", "reset of failures"),
    ("healed", "reset of failures"),
    ("hurried", "short limits"),
    ("hurry", "full speed"),
    ("impatient", "preempt"),
    ("judge", "fleet state"),
    ("ladder", "steps of a stop"),
    ("lessons", "measurements"),
    ("lookout", "file watcher"),
    ("manners", "server flags"),
    ("mend", "retry"),
    ("mended", "repaired; undone"),
    ("mischief", "faults"),
    ("misfit", "placement error"),
    ("modest", "best effort"),
    ("murmur", "a message without effect"),
    ("newcomer", "a new job"),
    ("nobody", "the thing that does not"),
    ("outlay", "memory estimate"),
    ("outlet", "job sink"),
    ("patience", "a time limit; preempt_after"),
    ("patient", "a long time limit"),
    ("residency", "min_loaded_time"),
    ("rung", "step of a stop"),
    ("rungs", "steps of a stop"),
    ("shelf", "scan; header cache"),
    ("slay", "kill"),
    ("somebody", "the thing that does"),
    ("staff", "tasks"),
    ("stillborn", "spawn failed"),
    ("stranger", "other process"),
    ("strangers", "other processes; unknown peers"),
    ("strays", "unknown devices"),
    ("tally", "counts"),
    ("tenure", "keep reason"),
    ("theatre", "scripted engines"),
    ("told", "sent, logged or reported"),
    ("traps", "quirks"),
    ("unasked", "unexpected exit"),
    ("whoever", "the caller"),
    ("wish", "desired model; policy"),
    ("wished", "desired"),
    ("wishes", "settings; policies"),
];

#[test]
fn no_private_words_in_identifiers_and_comments() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(workspace.join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.push(workspace.join("tests"));
    folders.sort();
    let private: BTreeMap<&str, &str> = PRIVATE.iter().copied().collect();
    let mut faults = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut found: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for file in crate::sources(&folder) {
            if file.ends_with("layers/words.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for (line, word) in words(&text) {
                if private.contains_key(word.as_str()) {
                    let at = || format!("{}:{line}", file.strip_prefix(&workspace).unwrap_or(&file).display());
                    found.entry(word).or_insert_with(|| (0, at())).0 += 1;
                }
            }
        }
        for (word, (count, at)) in &found {
            faults.push(format!("{name}: `{word}` ({count}, {at}): the field says {}", private[word.as_str()]));
        }
    }
    assert!(faults.is_empty(), "private words:\n  {}", faults.join("\n  "));
}

/// The words of identifiers and comments, in lower case, each with its line.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let tokens: TokenStream = text.parse().unwrap();
    identifiers(tokens, &mut found);
    for (number, line) in text.lines().enumerate() {
        // Doc comments are attributes to the parser; both kinds are read here.
        let comment =
            line.trim_start().strip_prefix("//").or_else(|| line.split_once(" // ").map(|(_, comment)| comment));
        let Some(comment) = comment else { continue };
        let split = comment.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        found.extend(split.map(|word| (number + 1, word.to_ascii_lowercase())));
    }
    found
}

fn identifiers(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                let line = name.span().start().line;
                found.extend(parts(&name.to_string()).into_iter().map(|part| (line, part)));
            }
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// `ScanProgress` and `scan_progress` are both `scan` and `progress`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_ascii_uppercase() {
            parts.push(String::new());
        }
        if letter != '_' {
            parts.last_mut().unwrap().push(letter.to_ascii_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn words_are_found_in_names_and_comments_and_not_in_strings() {
    let text = "//! The judge.\nfn tenure_of(x: KeepStaff) { let s = \"eyes\"; } // a shelf\n";
    let found: Vec<String> = words(text).into_iter().map(|(_, word)| word).collect();
    for word in ["judge", "tenure", "staff", "shelf"] {
        assert!(found.iter().any(|found| found == word), "{word}: {found:?}");
    }
    assert!(!found.iter().any(|found| found == "eyes"), "{found:?}");
}
