//! Loads any settings tree: defaults, then file, then environment, then flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entry::SettingEntry;
use crate::explain::{explain, is_unknown};
use crate::fault::{Faults, Origin, SettingFault};
use crate::file::ConfigFile;
use crate::interpret::interpret;
use crate::names::{CONFIG, SettingNames};
use crate::renamed::old_names;
use crate::toml_text::dotted;
use crate::tree::Tree;
use crate::variables::Variables;

/// A flag of the command line that sets a key.
#[derive(Clone)]
pub struct Given {
    /// The flag without dashes.
    pub flag: String,
    /// The dotted key that it sets.
    pub key: String,
    /// Its value; an empty one counts as unset.
    pub value: String,
}

/// The external sources of the settings.
///
/// They can be read again, for a reload. There is no `Debug`, because the worker key is among them.
#[derive(Clone, Default)]
pub struct Sources {
    /// The whole environment. Tests pass their own, so that no test sets a variable of its process.
    pub environment: Vec<(OsString, OsString)>,
    /// `--config`, which wins over `AUXOT_CONFIG`.
    pub config: Option<PathBuf>,
    /// The default file that an earlier load found: it must still exist.
    pub found: Option<PathBuf>,
    /// The other flags.
    pub flags: Vec<Given>,
}

impl Sources {
    /// The sources of a program without a command line.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { environment: environment.into_iter().collect(), ..Self::default() }
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.filter(|(_, value)| !value.is_empty()).map(|(_, value)| PathBuf::from(value))
    }

    /// The file that must exist, and the source that names it.
    fn named_file(&self) -> Option<(PathBuf, Origin)> {
        let flag = self.config.clone().map(|path| (path, Origin::Flag("config".to_owned())));
        let named = flag.or_else(|| self.variable(CONFIG).map(|path| (path, Origin::Variable(CONFIG.to_owned()))));
        named.or_else(|| self.found.clone().map(|path| (path.clone(), at(&path))))
    }

    /// The default paths of the file; the first that exists is read.
    #[must_use]
    pub fn usual_files(&self) -> Vec<PathBuf> {
        // By the XDG rules a relative path is ignored.
        let home = self.variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let home = home.or_else(|| self.variable("HOME").map(|home| home.join(".config")));
        home.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join("auxot/auxot-worker.toml")).collect()
    }
}

/// The settings and the source of each value.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub value: T,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Variables of sibling programs, without meaning here.
    pub ignored: Vec<String>,
    /// Values that were given under an old name; they are used.
    pub old_names: Vec<SettingFault>,
    pub(crate) given: BTreeMap<Vec<String>, Written>,
}

/// The value of a key as its source gives it.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) origin: Origin,
    /// `None` for a value that must not be printed: a secret, or one under a user-defined key.
    pub(crate) value: Option<Value>,
}

impl<T> Loaded<T> {
    /// The source of the value of a dotted key; for a table, the source of its first value.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        let inside = |given: &str| given.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let found = self.given.iter().find(|(given, _)| inside(&dotted(given)));
        found.map_or(Origin::Default, |(_, given)| given.origin.clone())
    }
}

/// The result of loading: all settings that could be read, and the faults of the others.
#[derive(Debug)]
pub(crate) struct LoadOutcome<T> {
    pub(crate) loaded: Loaded<T>,
    pub(crate) faults: Vec<SettingFault>,
}

/// Loads `T` from `sources`; `names` are the external names of its keys.
///
/// # Errors
/// All faults: unknown keys, variables and values of every source. Overridden values count, because a fault in one
/// would appear only when the override goes.
pub fn load<T>(sources: &Sources, names: &SettingNames) -> Result<Loaded<T>, Faults>
where
    T: Serialize + DeserializeOwned + Default,
{
    let outcome = collect(sources, names, &T::default());
    Faults(outcome.faults).into_result()?;
    Ok(outcome.loaded)
}

/// `shape` is the defaults, with one entry of the name [`ANY`](crate::tree::ANY) in each table with user-defined names.
pub(crate) fn collect<T>(sources: &Sources, names: &SettingNames, shape: &T) -> LoadOutcome<T>
where
    T: Serialize + DeserializeOwned + Default,
{
    let tree = match Tree::of(shape) {
        Ok(tree) => tree,
        Err(fault) => return LoadOutcome { loaded: Loaded::defaults(), faults: vec![fault] },
    };
    let (path, mut file) = read_file(sources);
    let mut variables = Variables::read(&sources.environment, names, &tree);
    let mut flags: Vec<SettingEntry> = sources.flags.iter().map(Given::entry).collect();
    let mut renamed = Vec::new();
    for entries in [&mut file.entries, &mut variables.entries, &mut flags] {
        names.rename(entries, &mut renamed);
    }
    let mut faults = file.faults;
    let mut good = Vec::new();
    let mut in_file = Vec::new();
    keep_good::<T>(file.entries, &tree, &mut good, &mut in_file);
    for fault in &mut in_file {
        // The fault may belong to an outer section, which has a place of its own.
        fault.origin = file.places.get(&fault.key).unwrap_or(&fault.origin).clone();
    }
    in_file.sort_by_key(|fault| match fault.origin {
        Origin::File { place, .. } => place,
        _ => None,
    });
    faults.extend(in_file);
    faults.extend(variables.faults);
    keep_good::<T>(variables.entries, &tree, &mut good, &mut faults);
    keep_good::<T>(flags, &tree, &mut good, &mut faults);
    let (warnings, set_twice) = old_names(&renamed, &good, names);
    faults.extend(set_twice);

    let merged = good.iter().fold(Figment::new(), |figment, entry| figment.merge(entry));
    let mut loaded = Loaded::defaults();
    match merged.extract_lossy() {
        Ok(value) => loaded.value = value,
        Err(errors) => faults.extend(errors.into_iter().map(|error| whole_fault(&error, &good))),
    }
    loaded.file = path;
    loaded.ignored = variables.ignored;
    loaded.old_names = warnings;
    loaded.given = good.into_iter().map(|entry| written(entry, &tree)).collect();
    LoadOutcome { loaded, faults }
}

impl<T: Default> Loaded<T> {
    fn defaults() -> Self {
        Self { value: T::default(), file: None, ignored: Vec::new(), old_names: Vec::new(), given: BTreeMap::new() }
    }
}

fn written(entry: SettingEntry, tree: &Tree) -> (Vec<String>, Written) {
    let value = tree.get(&entry.key).map(|_| entry.value);
    (entry.key, Written { origin: entry.origin, value })
}

impl Given {
    fn entry(&self) -> SettingEntry {
        SettingEntry {
            key: self.key.split('.').map(str::to_owned).collect(),
            value: Value::from(self.value.trim()),
            origin: Origin::Flag(self.flag.clone()),
        }
    }
}

/// Reads the named file, or the first default path that exists; default files may all be missing.
fn read_file(sources: &Sources) -> (Option<PathBuf>, ConfigFile) {
    let named = sources.named_file();
    let must_exist = named.is_some();
    let candidates = match named {
        Some(named) => vec![named],
        None => sources.usual_files().into_iter().map(|path| (path.clone(), at(&path))).collect(),
    };
    for (path, origin) in candidates {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let file = ConfigFile::parse(&path, &text);
                return (Some(path), file);
            }
            Err(error) if !must_exist && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let text = format!("cannot read the configuration file {}: {error}", path.display());
                let fault = SettingFault { origin, key: String::new(), text };
                return (Some(path), ConfigFile { faults: vec![fault], ..ConfigFile::default() });
            }
        }
    }
    (None, ConfigFile::default())
}

fn at(path: &Path) -> Origin {
    Origin::File { path: path.to_owned(), place: None }
}

/// Checks each entry alone: good ones are kept, the others become faults. An unknown section is one fault, however many
/// keys it contains.
fn keep_good<T: DeserializeOwned>(
    entries: Vec<SettingEntry>,
    tree: &Tree,
    good: &mut Vec<SettingEntry>,
    faults: &mut Vec<SettingFault>,
) {
    let first = faults.len();
    for entry in entries {
        match interpret::<T>(&entry) {
            Ok(understood) if !is_blank(&understood.value) => good.push(understood),
            Ok(_) => {}
            Err(error) if is_blank(&entry.value) && !is_unknown(&error) => {}
            Err(error) => {
                let fault = explain::<T>(&error, &entry, tree);
                let again = is_unknown(&error) && faults[first..].iter().any(|known| same_key(known, &fault));
                if !again {
                    faults.push(fault);
                }
            }
        }
    }
}

/// Empty text counts as no value, in every source.
fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn same_key(one: &SettingFault, other: &SettingFault) -> bool {
    one.key == other.key && std::mem::discriminant(&one.origin) == std::mem::discriminant(&other.origin)
}

/// A fault of the whole that no single entry has: a required key is missing.
fn whole_fault(error: &figment::Error, good: &[SettingEntry]) -> SettingFault {
    let culprit = good.iter().rev().find(|entry| entry.key.starts_with(&error.path));
    SettingFault {
        origin: culprit.map_or(Origin::Default, |entry| entry.origin.clone()),
        key: dotted(&error.path),
        text: error.kind.to_string(),
    }
}
