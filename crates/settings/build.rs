//! Adds the commit to the version of the worker and of the router, where the source is a git checkout. It needs no git
//! program.

use std::path::{Path, PathBuf};

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    println!("cargo:rerun-if-changed={}", root.join("crates/settings/build.rs").display());
    match commit(&root) {
        Some(commit) => println!("cargo:rustc-env=AUXOT_VERSION={version} ({commit})"),
        None => println!("cargo:rustc-env=AUXOT_VERSION={version}"),
    }
}

/// The checked-out commit, shortened.
fn commit(root: &Path) -> Option<String> {
    let git = git_folder(&root.join(".git"))?;
    let head = read(&git.join("HEAD"))?;
    let commit = match head.strip_prefix("ref: ") {
        None => head,
        Some(name) => {
            // A worktree has its own HEAD; its branches are in the folder of the repository.
            let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |common| git.join(common));
            read(&common.join(name)).or_else(|| packed(&common, name))?
        }
    };
    let short: String = commit.chars().take(10).collect();
    (short.len() == 10 && short.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(short)
}

/// The git folder; in a worktree `.git` is a file that names it.
fn git_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let named = read(path)?;
    Some(path.parent()?.join(named.strip_prefix("gitdir: ")?))
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let refs = read(&common.join("packed-refs"))?;
    let line = refs.lines().find(|line| line.split(' ').nth(1) == Some(name))?;
    line.split(' ').next().map(str::to_owned)
}

/// The text of a file; a change of the file rebuilds the program.
fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    println!("cargo:rerun-if-changed={}", path.display());
    Some(text.trim_end().to_owned())
}
