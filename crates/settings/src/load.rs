//! Loads any settings tree: defaults, then file, then environment, then flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entry::Entry;
use crate::explain::{explain, is_unknown};
use crate::fault::{Fault, Faults, Origin};
use crate::file::File;
use crate::names::{CONFIG, Names};
use crate::readings::understand;
use crate::toml_text::dotted;
use crate::tree::Tree;
use crate::variables::Variables;

/// A flag of the command line that sets a key.
#[derive(Clone)]
pub struct Given {
    /// The flag as it was written, without dashes.
    pub flag: String,
    /// The dotted key it sets.
    pub key: String,
    /// Its value; empty counts as not given.
    pub value: String,
}

/// Everything outside the program that settings come from.
///
/// It can be read again later, which is what a reload is. It has no `Debug`: the worker key is in it.
#[derive(Clone, Default)]
pub struct Sources {
    /// The whole environment; tests pass their own, so no test ever sets a variable of its process.
    pub environment: Vec<(OsString, OsString)>,
    /// `--config`, which wins over `AUXOT_CONFIG`.
    pub config: Option<PathBuf>,
    /// The file that an earlier reading found, though nobody named it: it must still be there.
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

    /// The file that must be there, and who says so.
    fn named_file(&self) -> Option<(PathBuf, Origin)> {
        let flag = self.config.clone().map(|path| (path, Origin::Flag("config".to_owned())));
        let named = flag.or_else(|| self.variable(CONFIG).map(|path| (path, Origin::Variable(CONFIG.to_owned()))));
        named.or_else(|| self.found.clone().map(|path| (path.clone(), at(&path))))
    }

    /// Where the file is looked for when nobody names one; the first that exists is read.
    #[must_use]
    pub fn usual_files(&self) -> Vec<PathBuf> {
        // The XDG rules: a relative path there is to be ignored.
        let home = self.variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let home = home.or_else(|| self.variable("HOME").map(|home| home.join(".config")));
        home.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join("auxot/auxot-worker.toml")).collect()
    }
}

/// Settings, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub value: T,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Variables that belong to sibling programs and mean nothing here.
    pub ignored: Vec<String>,
    pub(crate) given: BTreeMap<Vec<String>, Written>,
}

/// What somebody wrote for a key, and where.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) origin: Origin,
    /// `None` for what must not be told: a secret, or a key of the user's own.
    pub(crate) value: Option<Value>,
}

impl<T> Loaded<T> {
    /// Where the value of a dotted key came from. A table's is where the first of its values did.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        let inside = |given: &str| given.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let found = self.given.iter().find(|(given, _)| inside(&dotted(given)));
        found.map_or(Origin::Default, |(_, given)| given.origin.clone())
    }
}

/// What loading found: as much of the settings as could be read, and everything wrong with the rest.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) loaded: Loaded<T>,
    pub(crate) faults: Vec<Fault>,
}

/// Loads `T` from `sources`; `names` are the outside names of its keys.
///
/// # Errors
/// All faults at once: unknown keys, variables and values of every source, overridden ones included,
/// because an overridden fault is one that waits for the day the override goes.
pub fn load<T>(sources: &Sources, names: &Names) -> Result<Loaded<T>, Faults>
where
    T: Serialize + DeserializeOwned + Default,
{
    let outcome = collect(sources, names, &T::default());
    Faults(outcome.faults).into_result()?;
    Ok(outcome.loaded)
}

/// `shape` is the defaults, with one entry of the name [`ANY`](crate::tree::ANY) in each table whose names are the user's.
pub(crate) fn collect<T>(sources: &Sources, names: &Names, shape: &T) -> Outcome<T>
where
    T: Serialize + DeserializeOwned + Default,
{
    let tree = match Tree::of(shape) {
        Ok(tree) => tree,
        Err(fault) => return Outcome { loaded: Loaded::untouched(), faults: vec![fault] },
    };
    let (path, file) = read_file(sources);
    let variables = Variables::read(&sources.environment, names, &tree);
    let mut faults = file.faults;
    let mut good = Vec::new();
    let mut in_file = Vec::new();
    sift::<T>(file.entries, &tree, &mut good, &mut in_file);
    for fault in &mut in_file {
        // The fault may be an outer section's, which has a place of its own.
        fault.origin = file.places.get(&fault.key).unwrap_or(&fault.origin).clone();
    }
    in_file.sort_by_key(|fault| match fault.origin {
        Origin::File { place, .. } => place,
        _ => None,
    });
    faults.extend(in_file);
    faults.extend(variables.faults);
    sift::<T>(variables.entries, &tree, &mut good, &mut faults);
    sift::<T>(sources.flags.iter().map(Given::entry).collect(), &tree, &mut good, &mut faults);

    let merged = good.iter().fold(Figment::new(), |figment, entry| figment.merge(entry));
    let mut loaded = Loaded::untouched();
    match merged.extract_lossy() {
        Ok(value) => loaded.value = value,
        Err(errors) => faults.extend(errors.into_iter().map(|error| whole_fault(&error, &good))),
    }
    loaded.file = path;
    loaded.ignored = variables.ignored;
    loaded.given = good.into_iter().map(|entry| written(entry, &tree)).collect();
    Outcome { loaded, faults }
}

impl<T: Default> Loaded<T> {
    fn untouched() -> Self {
        Self { value: T::default(), file: None, ignored: Vec::new(), given: BTreeMap::new() }
    }
}

fn written(entry: Entry, tree: &Tree) -> (Vec<String>, Written) {
    let value = tree.get(&entry.key).map(|_| entry.value);
    (entry.key, Written { origin: entry.origin, value })
}

impl Given {
    fn entry(&self) -> Entry {
        Entry {
            key: self.key.split('.').map(str::to_owned).collect(),
            value: Value::from(self.value.trim()),
            origin: Origin::Flag(self.flag.clone()),
        }
    }
}

/// Reads the named file, or the first usual one that exists; a missing usual file is fine.
fn read_file(sources: &Sources) -> (Option<PathBuf>, File) {
    let named = sources.named_file();
    let must_exist = named.is_some();
    let candidates = match named {
        Some(named) => vec![named],
        None => sources.usual_files().into_iter().map(|path| (path.clone(), at(&path))).collect(),
    };
    for (path, origin) in candidates {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let file = File::parse(&path, &text);
                return (Some(path), file);
            }
            Err(error) if !must_exist && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let text = format!("cannot read the configuration file {}: {error}", path.display());
                let fault = Fault { origin, key: String::new(), text };
                return (Some(path), File { faults: vec![fault], ..File::default() });
            }
        }
    }
    (None, File::default())
}

fn at(path: &Path) -> Origin {
    Origin::File { path: path.to_owned(), place: None }
}

/// Tries each entry alone: the good ones go on, the others become faults. One fault per unknown
/// section is enough, however many keys it holds.
fn sift<T: DeserializeOwned>(entries: Vec<Entry>, tree: &Tree, good: &mut Vec<Entry>, faults: &mut Vec<Fault>) {
    let first = faults.len();
    for entry in entries {
        match understand::<T>(&entry) {
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

/// Empty text is the same as no value, in every source.
fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn same_key(one: &Fault, other: &Fault) -> bool {
    one.key == other.key && std::mem::discriminant(&one.origin) == std::mem::discriminant(&other.origin)
}

/// A fault of the whole that no single entry shows: something required is missing beside it.
fn whole_fault(error: &figment::Error, good: &[Entry]) -> Fault {
    let culprit = good.iter().rev().find(|entry| entry.key.starts_with(&error.path));
    Fault {
        origin: culprit.map_or(Origin::Default, |entry| entry.origin.clone()),
        key: dotted(&error.path),
        text: error.kind.to_string(),
    }
}
