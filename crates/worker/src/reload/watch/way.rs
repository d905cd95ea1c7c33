//! The way to a file: what must change for its path to lead to other text.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// More links than the system itself would follow.
const MOST_LINKS: usize = 40;

/// Every link on the way to a file, and the file at its end, each as a path through folders only.
pub(super) fn way_to(file: &Path) -> Vec<PathBuf> {
    let mut left = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut way = Vec::new();
    while way.len() < MOST_LINKS {
        let Some((link, target, rest)) = first_link(&left) else { break };
        // An absolute target replaces the folder. Joining nothing leaves a slash, with which a file is none.
        left = link.parent().unwrap_or(Path::new("/")).join(target).join(rest).components().collect();
        way.push(link);
    }
    way.push(left);
    way
}

/// The first link on a path, where it leads, and what comes after it.
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
    fn every_link_and_the_file_at_the_end_are_on_the_way() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        fs::create_dir_all(home.join("one/real")).unwrap();
        fs::write(home.join("one/real/file"), "").unwrap();
        assert_eq!(way_to(&home.join("one/real/file")), [home.join("one/real/file")]);
        // As a cluster mounts its files: the file is a link through a link.
        symlink("real", home.join("one/data")).unwrap();
        symlink("data/file", home.join("one/file")).unwrap();
        let way = [home.join("one/file"), home.join("one/data"), home.join("one/real/file")];
        assert_eq!(way_to(&home.join("one/file")), way);
        symlink(home.join("one/file"), home.join("far")).unwrap();
        assert_eq!(way_to(&home.join("far"))[0], home.join("far"));
        assert_eq!(way_to(&home.join("far"))[1..], way);
        assert!(way_to(&home.join("far")).iter().all(|path| !path.as_os_str().as_encoded_bytes().ends_with(b"/")));
        // What is not there yet may come, and a ring has an end.
        assert_eq!(way_to(&home.join("two/file")), [home.join("two/file")]);
        symlink("ring", home.join("ring")).unwrap();
        assert_eq!(way_to(&home.join("ring")).len(), MOST_LINKS + 1);
    }
}
