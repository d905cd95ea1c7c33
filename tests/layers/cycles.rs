//! No module cycles: at each level of a crate, the imports between siblings have no cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::modules::{Module, Modules};

#[test]
fn no_modules_of_a_crate_import_each_other() {
    let mut folders: Vec<_> = std::fs::read_dir(crates()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut faults = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root));
        let found: Vec<String> =
            roots.iter().filter(|root| root.is_file()).flat_map(|root| cycles(&Modules::read(root).edges())).collect();
        faults.extend(found.iter().map(|cycle| format!("{name}: {cycle}")));
    }
    assert!(faults.is_empty(), "modules import each other:\n  {}", faults.join("\n  "));
}

/// The check itself: a cycle through a re-export and a macro is found, one through tests is none.
#[test]
fn a_cycle_is_found_through_re_exports_and_macros() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a; mod b; mod c; pub use a::Thing;");
    write("a.rs", "pub struct Thing; fn f() { println!(\"{}\", crate::b::text()); }");
    write("b.rs", "use crate::Thing; pub fn text() -> &'static str { \"\" }");
    write("c.rs", "pub fn g() {} #[cfg(test)] mod tests { use crate::a::Thing; } use crate::b::text;");
    let found = cycles(&Modules::read(&folder.path().join("lib.rs")).edges());
    assert_eq!(
        found,
        [
            "in crate: a imports b and is reached from it (a -> b)",
            "in crate: b imports a and is reached from it (b -> a)"
        ]
    );
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

/// A pair of siblings below the module that holds both, as `a > b`.
type Level = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// The cycles among the children of each module, each with the imports that close it.
fn cycles(edges: &BTreeSet<(Module, Module)>) -> Vec<String> {
    let mut levels: BTreeMap<Module, Level> = BTreeMap::new();
    for (from, to) in edges {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) else { continue };
        let example = format!("{} -> {}", from.join("::"), to.join("::"));
        let level = levels.entry(from[..shared].to_vec()).or_default();
        level.entry(a.clone()).or_default().entry(b.clone()).or_default().push(example);
    }
    let mut found = Vec::new();
    for (parent, level) in &levels {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            level.keys().map(|name| (name.as_str(), reached(level, name))).collect();
        let in_cycle: Vec<&str> = level.keys().map(String::as_str).filter(|name| reach[name].contains(name)).collect();
        for (from, tos) in level.iter().filter(|(from, _)| in_cycle.contains(&from.as_str())) {
            for (to, examples) in tos
                .iter()
                .filter(|(to, _)| reach.get(to.as_str()).is_some_and(|from_to| from_to.contains(from.as_str())))
            {
                let parent = if parent.is_empty() { "crate".to_owned() } else { parent.join("::") };
                found
                    .push(format!("in {parent}: {from} imports {to} and is reached from it ({})", examples.join(", ")));
            }
        }
    }
    found
}

/// All siblings that can be reached from one.
fn reached<'level>(level: &'level Level, from: &str) -> BTreeSet<&'level str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = level.get(from).into_iter().flat_map(|tos| tos.keys().map(String::as_str)).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(level.get(next).into_iter().flat_map(|tos| tos.keys().map(String::as_str)));
        }
    }
    reached
}
