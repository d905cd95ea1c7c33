//! The modules of one crate and which of them each one names, read from the source with `syn`.
//!
//! Names are followed through `use` and re-exports to the module that defines them, in code and inside macros. Modules
//! and items for tests only are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, UseTree, Visibility};

/// The path of a module below the crate's root, which is empty itself.
pub(crate) type Module = Vec<String>;

/// One crate's modules.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    modules: BTreeMap<Module, Names>,
}

/// What one module declares and names.
#[derive(Debug, Default)]
struct Names {
    /// What `use` brings in, by its name here; re-exports are among them.
    imports: BTreeMap<String, Module>,
    /// Paths that end with `*`.
    globs: Vec<Module>,
    /// All paths below `crate` that the module names.
    paths: BTreeSet<Module>,
}

impl Modules {
    /// Reads a crate from its root file on.
    pub(crate) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        modules.read_file(root, root.parent().unwrap(), Vec::new());
        modules
    }

    fn read_file(&mut self, file: &Path, folder: &Path, module: Module) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
        self.read_items(parsed.items, folder, module);
    }

    fn read_items(&mut self, items: Vec<Item>, folder: &Path, module: Module) {
        let mut names = Names::default();
        for item in items {
            if is_for_tests(&item) {
                continue;
            }
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let (below, path) = (folder.join(&name), [module.as_slice(), std::slice::from_ref(&name)].concat());
                    match child.content {
                        Some((_, items)) => self.read_items(items, &below, path),
                        None if below.with_extension("rs").is_file() => {
                            self.read_file(&below.with_extension("rs"), &below, path);
                        }
                        None => self.read_file(&below.join("mod.rs"), &below, path),
                    }
                }
                Item::Use(used) => {
                    let is_shown = !matches!(used.vis, Visibility::Inherited);
                    names.add_use(&used.tree, &mut Vec::new(), &module, is_shown);
                }
                other => names.add_tokens(other.to_token_stream(), &module),
            }
        }
        self.modules.insert(module, names);
    }

    /// Each module with the modules that it names, itself aside.
    pub(crate) fn edges(&self) -> BTreeSet<(Module, Module)> {
        let mut edges = BTreeSet::new();
        for (module, names) in &self.modules {
            for path in &names.paths {
                let named = self.defines(path, 0);
                if named != *module {
                    edges.insert((module.clone(), named));
                }
            }
        }
        edges
    }

    /// The module that defines what a path means.
    fn defines(&self, path: &[String], depth: usize) -> Module {
        let deepest = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length])).unwrap_or(0);
        let (module, rest) = path.split_at(deepest);
        let (Some(name), Some(names)) = (rest.first(), self.modules.get(module)) else { return module.to_vec() };
        if depth > 16 {
            return module.to_vec();
        }
        let imported = names.imports.get(name).cloned().or_else(|| self.through_globs(names, name, depth));
        imported.map_or_else(|| module.to_vec(), |import| self.defines(&import, depth + 1))
    }

    fn through_globs(&self, names: &Names, name: &str, depth: usize) -> Option<Module> {
        let mut paths = names.globs.iter().map(|glob| [glob.as_slice(), &[name.to_owned()]].concat());
        paths.find(|path| self.defines(path, depth + 1).len() >= path.len())
    }
}

impl Names {
    fn add_use(&mut self, tree: &UseTree, before: &mut Module, module: &[String], is_shown: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_use(&path.tree, before, module, is_shown);
                before.pop();
            }
            UseTree::Name(name) => self.add_import(before, &name.ident.to_string(), None, module, is_shown),
            UseTree::Rename(name) => {
                self.add_import(before, &name.ident.to_string(), Some(name.rename.to_string()), module, is_shown);
            }
            UseTree::Glob(_) => {
                if let Some(path) = absolute(before, module) {
                    self.paths.insert(path.clone());
                    self.globs.push(path);
                }
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, before, module, is_shown);
                }
            }
        }
    }

    fn add_import(
        &mut self,
        before: &[String],
        name: &str,
        renamed: Option<String>,
        module: &[String],
        is_shown: bool,
    ) {
        let mut path = before.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        }
        let known_as = renamed.or_else(|| path.last().cloned()).unwrap_or_default();
        // A re-export may name a child module without a prefix.
        let found = absolute(&path, module).or_else(|| is_shown.then(|| [module, &path].concat()));
        if let Some(path) = found {
            self.paths.insert(path.clone());
            self.imports.insert(known_as, path);
        }
    }

    /// Paths that begin with `crate`, `super` or `self`, also in the tokens of macros.
    fn add_tokens(&mut self, tokens: TokenStream, module: &[String]) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add_path(&path, module);
                        path.clear();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.add_path(&path, module);
                    path.clear();
                    colons = 0;
                    self.add_tokens(group.stream(), module);
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.add_path(&path, module);
                    path.clear();
                    colons = 0;
                }
            }
        }
        self.add_path(&path, module);
    }

    fn add_path(&mut self, path: &[String], module: &[String]) {
        if path.len() > 1
            && let Some(path) = absolute(path, module)
        {
            self.paths.insert(path);
        }
    }
}

/// A path below the crate's root; none for one that begins elsewhere.
fn absolute(path: &[String], module: &[String]) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let above = module.len().checked_sub(up)?;
            Some([&module[..above], &path[up..]].concat())
        }
        _ => None,
    }
}

fn is_for_tests(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        _ => return false,
    };
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test"))
}
