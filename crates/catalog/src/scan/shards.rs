//! Large models come as a set of files, `<prefix>-00001-of-00003.gguf`; a set is one model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::resolve::name::{file_name, stem};
use crate::scan::damaged::{Damaged, Fault};
use crate::scan::walk::Found;

/// How many missing shards are named.
const NAMED: usize = 8;

/// A file name that belongs to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShardName<'a> {
    pub(crate) prefix: &'a str,
    /// Counted from 1.
    pub(crate) part: u32,
    pub(crate) of: u32,
}

impl<'a> ShardName<'a> {
    /// Reads a file name, or the same without `.gguf`.
    pub(crate) fn parse(file_name: &'a str) -> Option<Self> {
        let cut = file_name.len().saturating_sub(".gguf".len());
        let bare = match file_name.get(cut..) {
            Some(end) if end.eq_ignore_ascii_case(".gguf") => &file_name[..cut],
            _ => file_name,
        };
        let (rest, of) = bare.rsplit_once("-of-")?;
        let (prefix, part) = rest.rsplit_once('-')?;
        let number =
            |text: &str| (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
        let (part, of) = (number(part)??, number(of)??);
        (1..=of).contains(&part).then_some(Self { prefix, part, of })
    }
}

/// The files of one model, in order, the one that the engine is given first.
#[derive(Debug)]
pub(crate) struct FileSet {
    pub(crate) files: Vec<Found>,
}

/// Puts shards together. Sets that are not complete end in `damaged`.
pub(crate) fn group(found: Vec<Found>, damaged: &mut Vec<Damaged>) -> Vec<FileSet> {
    let mut single = Vec::new();
    let mut sets: BTreeMap<(PathBuf, u32), BTreeMap<u32, Found>> = BTreeMap::new();
    for file in found {
        let name = file_name(&file.path);
        match ShardName::parse(&name) {
            Some(shard) => {
                let set = file.path.with_file_name(shard.prefix);
                sets.entry((set, shard.of)).or_default().insert(shard.part, file);
            }
            None => single.push(FileSet { files: vec![file] }),
        }
    }
    for ((set, want), parts) in sets {
        let have = parts.len() as u32;
        if have == want {
            single.push(FileSet { files: parts.into_values().collect() });
            continue;
        }
        let prefix = file_name(&set);
        let missing = (1..=want).filter(|part| !parts.contains_key(part)).take(NAMED);
        let missing = missing.map(|part| format!("{prefix}-{part:05}-of-{want:05}.gguf")).collect();
        let path = parts.into_values().next().map_or(set, |file| file.path);
        let name = stem(&file_name(&path)).to_lowercase();
        damaged.push(Damaged { name, path, fault: Fault::ShardsMissing { have, want, missing } });
    }
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names_are_read_and_others_are_not() {
        let shard = ShardName::parse("Kimi-K2.5-BF16-00002-of-00046.gguf").unwrap();
        assert_eq!((shard.prefix, shard.part, shard.of), ("Kimi-K2.5-BF16", 2, 46));
        assert!(ShardName::parse("x-00001-of-00002").is_some());
        for name in ["x.gguf", "x-00003-of-00002.gguf", "x-00000-of-00002.gguf", "x-1-of-2.gguf", "x-0000é-of-00002"] {
            assert_eq!(ShardName::parse(name), None, "{name}");
        }
    }
}
