//! Large models come as a set of files, `<prefix>-00001-of-00003.gguf`; a set is one model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use auxot_names::{ShardName, stem};

use crate::damaged::{Damaged, Fault};
use crate::files::{FileSet, Found};
use crate::path::file_name;
use crate::text::file_text;

/// How many missing shards are named.
const NAMED: usize = 8;

/// Puts shards together. Sets that are not complete end in `damaged`.
pub(crate) fn group(found: Vec<Found>, damaged: &mut Vec<Damaged>) -> Vec<FileSet> {
    let mut single = Vec::new();
    let mut sets: BTreeMap<(PathBuf, u32), BTreeMap<u32, Found>> = BTreeMap::new();
    for file in found {
        let name = file_name(&file.place);
        match ShardName::parse(&name) {
            Some(shard) => {
                let set = file.place.with_file_name(shard.prefix);
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
        let name = stem(&file_text(&path)).to_lowercase();
        damaged.push(Damaged { name, path, fault: Fault::ShardsMissing { have, want, missing } });
    }
    single
}
