//! The symbolic links to a file: the paths whose change leads to other content.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// More links than the system itself follows.
const MAX_LINKS: usize = 40;

/// Every link on the path to a file, and the file itself, each as a path without links in its folders.
pub(super) fn linked_paths(file: &Path) -> Vec<PathBuf> {
    let mut left = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut paths = Vec::new();
    while paths.len() < MAX_LINKS {
        let Some((link, target, rest)) = first_link(&left) else { break };
        // An absolute target replaces the folder. Joining an empty rest leaves a trailing slash, which `collect`
        // removes.
        left = link.parent().unwrap_or(Path::new("/")).join(target).join(rest).components().collect();
        paths.push(link);
    }
    paths.push(left);
    paths
}

/// The first link on a path, its target, and the rest of the path.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let mut so_far = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        so_far.push(component);
        if matches!(component, Component::Normal(_))
            && let Ok(target) = fs::read_link(&so_far)
        {
            return Some((so_far, target, components.as_path().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_and_the_file_itself_are_found() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        fs::create_dir_all(home.join("one/real")).unwrap();
        fs::write(home.join("one/real/file"), "").unwrap();
        assert_eq!(linked_paths(&home.join("one/real/file")), [home.join("one/real/file")]);
        // As in a Kubernetes mount: the file is a link through a link.
        symlink("real", home.join("one/data")).unwrap();
        symlink("data/file", home.join("one/file")).unwrap();
        let paths = [home.join("one/file"), home.join("one/data"), home.join("one/real/file")];
        assert_eq!(linked_paths(&home.join("one/file")), paths);
        symlink(home.join("one/file"), home.join("far")).unwrap();
        assert_eq!(linked_paths(&home.join("far"))[0], home.join("far"));
        assert_eq!(linked_paths(&home.join("far"))[1..], paths);
        assert!(
            linked_paths(&home.join("far")).iter().all(|path| !path.as_os_str().as_encoded_bytes().ends_with(b"/"))
        );
        // A missing path may be created later, and a cycle of links is bounded.
        assert_eq!(linked_paths(&home.join("two/file")), [home.join("two/file")]);
        symlink("ring", home.join("ring")).unwrap();
        assert_eq!(linked_paths(&home.join("ring")).len(), MAX_LINKS + 1);
    }
}
