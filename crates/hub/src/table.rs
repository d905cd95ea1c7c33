//! The table of names: which repository a name means.
//!
//! The program brings `config/models.toml`; an operator's own table comes before it. Both are read only when a name is
//! looked up.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use auxot_names::{KnownNames, Name, Quant, Rank, StatedQuant, best, find, list};
use serde::Deserialize;

use crate::repository::Repository;
use crate::source::{RepositorySource, Wanted};

const BUILT_IN: &str = include_str!("../../../config/models.toml");
/// The longest table.
const LONGEST: u64 = 16 << 20;

/// Names of models with their repositories.
#[derive(Debug, Clone, Default)]
pub struct Table {
    entries: Vec<Entry>,
}

/// One model of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, without a quantisation.
    pub name: String,
    /// Where it is.
    pub repository: Repository,
    /// A branch, a tag or a commit; `None` is the main branch.
    #[serde(default)]
    pub revision: Option<String>,
    /// How many parameters it has, as its publisher says: `71B`.
    #[serde(default)]
    pub parameters: Option<String>,
    /// The longest context that its publisher states, in tokens.
    #[serde(default)]
    pub context: Option<u32>,
    /// For a quantisation its file, or the first of its shards.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// Why a name has no repository.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The operator's table.
    #[error("cannot read the table of models {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No entry fits.
    #[error("cannot find {name} in the table of models{}; write hf:owner/repo:QUANT, an address or a file", begin_alike(.similar))]
    Unknown {
        /// The requested name.
        name: String,
        /// Names that contain it.
        similar: Vec<String>,
    },
    /// Several entries fit.
    #[error("cannot choose {name}: it may be {}", list(.known))]
    Several {
        /// The requested name.
        name: String,
        /// Which fit.
        known: Vec<String>,
    },
}

fn begin_alike(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": there is {}", list(names)) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    #[serde(default)]
    model: Vec<Entry>,
}

impl Table {
    /// The program's table, behind the operator's own. Blocks.
    ///
    /// # Errors
    /// When the operator's table cannot be read.
    pub fn read(own: Option<&Path>) -> Result<Self, TableError> {
        let unreadable = |path: &Path, reason: String| TableError::Unreadable { path: path.to_path_buf(), reason };
        let mut entries = Vec::new();
        if let Some(path) = own {
            let mut text = String::new();
            let read = std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
            read.map_err(|error| unreadable(path, error.to_string()))?;
            entries = parse(&text).map_err(|reason| unreadable(path, reason))?;
        }
        let built_in = parse(BUILT_IN).map_err(|reason| unreadable(Path::new("config/models.toml"), reason))?;
        let own: Vec<Name> = entries.iter().map(|entry| Name::parse(&entry.name)).collect();
        entries.extend(built_in.into_iter().filter(|entry| !own.contains(&Name::parse(&entry.name))));
        Ok(Self { entries })
    }

    /// All entries, the operator's first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that a name means, with or without a quantisation.
    ///
    /// # Errors
    /// When none fits, or several.
    pub fn find(&self, name: &str) -> Result<&Entry, TableError> {
        let known: Vec<KnownNames> = self.entries.iter().map(Entry::known_names).collect();
        let look = |requested: &str| {
            best(requested, self.entries.iter().zip(&known).map(|(entry, known)| (entry, entry.name.as_str(), known)))
        };
        let found = find(name, std::iter::empty(), look);
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(TableError::Unknown { name: name.to_owned(), similar: self.similar(name) }),
            several => {
                let known = several.iter().map(|entry| entry.name.clone()).collect();
                Err(TableError::Several { name: name.to_owned(), known })
            }
        }
    }

    /// The names that begin as this one does.
    fn similar(&self, name: &str) -> Vec<String> {
        let key = Name::parse(name).key;
        let first = key.split('-').next().unwrap_or_default();
        let begins =
            |entry: &&Entry| !first.is_empty() && Name::parse(&entry.name).key.split('-').next() == Some(first);
        self.entries.iter().filter(begins).map(|entry| entry.name.clone()).collect()
    }
}

impl Entry {
    /// What the name asks for: the file of the table, else the quantisation, else the best.
    #[must_use]
    pub fn source(&self, name: &str) -> RepositorySource {
        let wanted = match quant(name) {
            None => Wanted::Best,
            Some(quant) => match self.files.iter().find(|(known, _)| self::quant(known) == Some(quant)) {
                Some((_, path)) => Wanted::File(path.clone()),
                None => Wanted::Quant(quant.to_string()),
            },
        };
        RepositorySource { repository: self.repository.clone(), revision: self.revision.clone(), wanted }
    }

    fn known_names(&self) -> KnownNames {
        let mut known = KnownNames::new(StatedQuant::Unstated);
        known.add(Rank::File, &self.name);
        let repository = self.repository.to_string();
        known.add(Rank::Around, repository.split_once('/').map_or("", |(_, name)| name));
        known
    }
}

/// The quantisation at the end of a name, or before a tag that says nothing.
fn quant(name: &str) -> Option<Quant> {
    let name = name.trim();
    let tag = name.len().saturating_sub(":latest".len());
    let is_tagged = name.get(tag..).is_some_and(|tag| tag.eq_ignore_ascii_case(":latest"));
    Name::parse(if is_tagged { &name[..tag] } else { name }).quant
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let file: TableFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let empty = file.model.iter().find(|entry| Name::parse(&entry.name).key.is_empty());
    match empty {
        Some(entry) => Err(format!("{:?} is no name", entry.name)),
        None => Ok(file.model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn source(table: &Table, name: &str) -> (String, Wanted) {
        let source = table.find(name).unwrap_or_else(|error| panic!("{error}")).source(name);
        (source.repository.to_string(), source.wanted)
    }

    #[test]
    fn the_two_names_of_the_mission_have_their_files() {
        let table = Table::read(None).unwrap();
        let file = |path: &str| Wanted::File(path.to_owned());
        let llama = "unsloth/Llama-3.3-70B-Instruct-GGUF".to_owned();
        for name in ["llama-3.3-70b-q4_k_m", "Llama 3.3 70B Instruct:Q4_K_M", "llama-3-3-70b-q4-k-m:latest"] {
            assert_eq!(source(&table, name), (llama.clone(), file("Llama-3.3-70B-Instruct-Q4_K_M.gguf")), "{name}");
        }
        let (repository, wanted) = source(&table, "qwen-2.5-coder-32b-q6_k");
        assert!(repository.ends_with("/Qwen2.5-Coder-32B-Instruct-GGUF"));
        assert_eq!(wanted, file("Qwen2.5-Coder-32B-Instruct-Q6_K.gguf"));
        assert_eq!(source(&table, "llama-3.3-70b").1, Wanted::Best);
        assert_eq!(source(&table, "llama-3.3-70b-iq2_xs").1, Wanted::Quant("iq2_xs".to_owned()));
    }

    #[test]
    fn every_entry_is_found_by_its_name_and_each_quantisation() {
        let table = Table::read(None).unwrap();
        assert!(table.entries().len() > 100);
        for entry in table.entries() {
            for (quant, path) in &entry.files {
                let name = format!("{}-{quant}", entry.name);
                let expected = (entry.repository.to_string(), Wanted::File(path.clone()));
                assert_eq!(source(&table, &name), expected, "{name}");
            }
        }
    }

    #[test]
    fn an_operator_s_entry_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("models.toml");
        let text = "[[model]]\nname = \"llama 3.3 70b\"\nrepository = \"acme/own-GGUF\"\nrevision = \"v1\"\n";
        std::fs::write(&own, text).unwrap();
        let table = Table::read(Some(&own)).unwrap();
        assert_eq!(
            source(&table, "llama-3.3-70b-q4_k_m"),
            ("acme/own-GGUF".to_owned(), Wanted::Quant("q4_k_m".to_owned()))
        );
        for (text, part) in
            [("[[model]]\nname = \"\"\nrepository = \"a/b\"", "is no name"), ("[[model]]\nx = 1", "unknown")]
        {
            std::fs::write(&own, text).unwrap();
            let error = Table::read(Some(&own)).unwrap_err().to_string();
            assert!(error.contains("models.toml") && error.contains(part), "{error}");
        }
        assert!(Table::read(Some(&folder.path().join("none"))).is_err());
    }

    #[test]
    fn an_unknown_name_lists_those_that_begin_alike() {
        let table = Table::read(None).unwrap();
        let error = table.find("kimi-k9").unwrap_err().to_string();
        assert!(error.contains("there is Kimi-K2.5, Kimi-K2;"), "{error}");
        assert!(
            table.find("zzz").unwrap_err().to_string().starts_with("cannot find zzz in the table of models; write")
        );
    }
}
