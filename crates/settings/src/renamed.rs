//! Settings with a new name: the old one is accepted for one release, with a warning.

use crate::entry::SettingEntry;
use crate::fault::{Origin, SettingFault};
use crate::names::{RenamedSetting, SettingNames, nested_variable};

/// A value that was given under an old name.
#[derive(Debug)]
pub(crate) struct OldName<'n> {
    renamed: &'n RenamedSetting,
    origin: Origin,
}

impl SettingNames {
    /// Gives each entry with an old key the new one.
    pub(crate) fn rename<'n>(&'n self, entries: &mut [SettingEntry], found: &mut Vec<OldName<'n>>) {
        for entry in entries {
            let Some(renamed) = self.renamed.iter().find(|renamed| entry.key.iter().eq(parts(renamed.old))) else {
                continue;
            };
            entry.key = parts(renamed.key).map(str::to_owned).collect();
            found.push(OldName { renamed, origin: entry.origin.clone() });
        }
    }
}

impl OldName<'_> {
    /// Whether `entry` is the value of this name.
    fn is_of(&self, entry: &SettingEntry) -> bool {
        entry.origin == self.origin && entry.key.iter().eq(parts(self.renamed.key))
    }

    fn fault(&self, text: String) -> SettingFault {
        SettingFault { origin: self.origin.clone(), key: self.renamed.old.to_owned(), text }
    }

    fn warning(&self, names: &SettingNames) -> SettingFault {
        let key = self.renamed.key;
        let text = match names.table.iter().find(|name| name.key == key) {
            Some(name) => format!("renamed to `{key}`, {} or --{}", name.variable, name.flag),
            None => {
                let parts: Vec<String> = parts(key).map(str::to_owned).collect();
                format!("renamed to `{key}` or {}", nested_variable(&parts))
            }
        };
        self.fault(format!("{text}; the next release refuses the old name"))
    }
}

/// The warnings about old names among the accepted entries, and the faults of keys that are set under both names.
pub(crate) fn old_names(
    found: &[OldName<'_>],
    accepted: &[SettingEntry],
    names: &SettingNames,
) -> (Vec<SettingFault>, Vec<SettingFault>) {
    let (mut warnings, mut faults) = (Vec::new(), Vec::new());
    // A value that is blank or faulty is not among the accepted entries.
    for old in found.iter().filter(|old| accepted.iter().any(|entry| old.is_of(entry))) {
        let is_new = |entry: &&SettingEntry| {
            entry.key.iter().eq(parts(old.renamed.key)) && !found.iter().any(|old| old.is_of(entry))
        };
        match accepted.iter().find(is_new) {
            Some(new) => faults.push(old.fault(format!(
                "is the old name of `{}`, which is set too ({}); keep the new name only",
                old.renamed.key, new.origin
            ))),
            None => warnings.push(old.warning(names)),
        }
    }
    (warnings, faults)
}

fn parts(key: &'static str) -> std::str::Split<'static, char> {
    key.split('.')
}
