//! Keys that are made, listed, rotated and revoked; files of earlier versions, of an editor, and of others.

use super::super::hash::{KeyDigest, KeyHash};
use super::super::phc::{cheap_hash, verify};
use super::*;
use crate::keys::digest;

/// A file of an earlier version with these pairs, whose keys are `NAME-w` and `NAME-a`.
fn tables(names: &[&str]) -> String {
    let pair = |name: &&str| {
        format!(
            "\n[[pair]]\nname = \"{name}\"\ncreated = \"2026-01-01T00:00:00Z\"\nworker = \"{}\"\napi = \"{}\"\napi_hint = \"{}\"\n",
            cheap_hash(&format!("{name}-w")).unwrap(),
            cheap_hash(&format!("{name}-a")).unwrap(),
            crate::keys::hint(&digest(&format!("{name}-a"))),
        )
    };
    names.iter().map(pair).collect()
}

fn names(file: &KeyFile) -> Vec<String> {
    file.list().unwrap().iter().map(|key| key.name.to_string()).collect()
}

fn is_of(key: &Key, text: &str) -> bool {
    let digest: KeyDigest = digest(text);
    matches!(&key.hash, KeyHash::Sha256(known) if *known == digest)
}

fn scratch() -> (tempfile::TempDir, KeyFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("keys"));
    (folder, file)
}

fn api(file: &KeyFile, name: &str) -> String {
    file.create(name, &NewKeys::Api(KeyTerms::default()), None).unwrap().api.unwrap()
}

#[test]
fn a_file_has_hashes_only_and_is_private_to_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("deep/er/keys"));
    let pair = file.create("default", &NewKeys::Pair(KeyTerms::workers_only()), None).unwrap();
    let (worker, api) = (pair.worker.unwrap(), pair.api.unwrap());
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(!text.contains(&worker[13..]) && !text.contains(&api[13..]), "{text}");
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!is_exposed(file.path()));
    let stored = file.list().unwrap();
    assert!(is_of(&stored[0], &worker) && is_of(&stored[1], &api) && !is_of(&stored[0], &api));
    assert_eq!((stored[0].kind, stored[1].kind), (KeyKind::Worker, KeyKind::Api));
    assert!(api.starts_with(stored[1].id.as_str()));
    assert_eq!((stored[0].terms(), stored[1].terms()), (&KeyTerms::default(), &KeyTerms::workers_only()));
}

#[test]
fn a_change_is_added_at_the_end_and_a_taken_name_changes_nothing() {
    let (folder, file) = scratch();
    api(&file, "a");
    let before = fs::read_to_string(file.path()).unwrap();
    api(&file, "b");
    let after = fs::read_to_string(file.path()).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len());
    let taken = file.create("a", &NewKeys::Worker, None).map(drop);
    assert!(matches!(taken, Err(FileError::Taken { .. })));
    for bad in ["", "a\"b", &"x".repeat(65)] {
        assert!(matches!(file.create(bad, &NewKeys::Worker, None).map(drop), Err(FileError::Name(_))));
    }
    assert_eq!(fs::read_to_string(file.path()).unwrap(), after);
    assert_eq!(names(&file), ["a", "b"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_revoked_key_is_gone_and_its_name_is_free() {
    let (_folder, file) = scratch();
    for name in ["one", "two", "three"] {
        api(&file, name);
    }
    assert!(matches!(file.revoke("none"), Err(FileError::Unknown { .. })));
    assert_eq!(file.revoke("two").unwrap(), 1);
    assert_eq!(names(&file), ["one", "three"]);
    api(&file, "two");
    assert_eq!(names(&file), ["one", "three", "two"]);
    let made = KeyFile::of_gateway(file.path()).create("four", &NewKeys::Api(KeyTerms::default()), None);
    assert!(made.unwrap().api.unwrap().starts_with("gw_"));
}

#[test]
fn a_rotation_keeps_all_old_keys_for_the_time_given_and_no_longer() {
    let (_folder, file) = scratch();
    let terms = KeyTerms { max_parallel: Some(3), ..KeyTerms::default() };
    let expires = now() + Duration::from_secs(1000);
    let first = file.create("a", &NewKeys::Api(terms.clone()), Some(expires)).unwrap().api.unwrap();
    api(&file, "other");
    let second = file.rotate("a", Duration::from_secs(60)).unwrap().api.unwrap();
    let stored = file.list().unwrap();
    assert_eq!(names(&file), ["a", "other", "a"]);
    assert!(is_of(&stored[0], &first) && is_of(&stored[2], &second));
    assert!(stored[0].expires.unwrap() <= now() + Duration::from_secs(60) && !stored[0].is_expired(now()));
    assert!(stored[2].expires.unwrap() > expires - Duration::from_secs(60), "it lasts as long as the first did");
    assert_eq!(stored[2].terms(), &terms);

    let third = file.rotate("a", Duration::from_secs(30)).unwrap().api.unwrap();
    let stored = file.list().unwrap();
    assert_eq!(names(&file), ["a", "other", "a", "a"]);
    assert!(is_of(&stored[3], &third));
    for old in [&stored[0], &stored[2]] {
        assert!(old.expires.unwrap() <= now() + Duration::from_secs(30) && !old.is_expired(now()));
    }

    let over = Key { expires: Some(now() - Duration::from_secs(1)), ..stored[0].clone() };
    append(file.path(), false, &[Line::Key(over)]).unwrap();
    let fourth = file.rotate("a", Duration::from_secs(90)).unwrap().api.unwrap();
    let later = file.list().unwrap();
    assert_eq!(names(&file), ["other", "a", "a", "a"], "the first is removed: its time is over");
    assert!(later[1] == stored[2] && is_of(&later[2], &third) && is_of(&later[3], &fourth), "the second gets no more");

    let last = file.rotate("a", Duration::ZERO).unwrap().api.unwrap();
    assert_eq!(names(&file), ["other", "a"], "all old ones are removed");
    assert!(is_of(&file.list().unwrap()[1], &last));
    assert!(matches!(file.rotate("none", Duration::ZERO).map(drop), Err(FileError::Unknown { .. })));
}

#[test]
fn a_rotation_into_a_time_without_a_date_is_refused() {
    let (_folder, file) = scratch();
    let long_ago = Timestamp::from_second(0).unwrap();
    let far =
        Key { created: long_ago, expires: Some(Timestamp::MAX), ..Key::bare("far", KeyKind::Api, KeyHash::of("far")) };
    api(&file, "a");
    append(file.path(), false, &[Line::Key(far)]).unwrap();
    let before = fs::read_to_string(file.path()).unwrap();
    for (name, keep) in [("a", Duration::MAX), ("far", Duration::ZERO)] {
        let error = file.rotate(name, keep).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot rotate the key `{name}`")), "{error}");
    }
    assert_eq!(fs::read_to_string(file.path()).unwrap(), before);
}

#[test]
fn a_file_of_an_earlier_version_is_read_and_is_written_anew_with_the_first_change() {
    let (_folder, file) = scratch();
    fs::write(file.path(), format!("# mine\n{}", tables(&["a", "b"]))).unwrap();
    let old = file.list().unwrap();
    assert_eq!(names(&file), ["a", "a", "b", "b"]);
    api(&file, "c");
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(text.contains("\n# mine\n") && !text.contains("[[pair]]"), "{text}");
    let new = file.list().unwrap();
    assert_eq!(new[..4], old[..]);
    let phc = &new[1].slow_hash().unwrap().phc;
    assert!(verify("a-a", phc) && new[1].slow_hash().unwrap().hint.is_some());
    file.rotate("a", Duration::ZERO).unwrap();
    assert_eq!(names(&file), ["b", "b", "c", "a", "a"], "a rotation of an old pair");
}

#[test]
fn lines_that_are_out_of_date_go_when_they_are_many() {
    let (_folder, file) = scratch();
    api(&file, "kept");
    for number in 0..MAY_BE_OLD {
        let name = format!("k{number}");
        let key = Key::bare(&name, KeyKind::Api, KeyHash::of(&name));
        append(file.path(), false, &[Line::Key(key.clone()), Line::Revoked(key, now())]).unwrap();
    }
    fs::write(file.path(), format!("# mine\n{}", fs::read_to_string(file.path()).unwrap())).unwrap();
    api(&file, "last");
    let text = fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("# mine\n") && text.matches(HEAD).count() == 1);
    assert_eq!(names(&file), ["kept", "last"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_replaced_is_changed_at_its_end() {
    /// With the byte that ends it.
    const LONGEST_PATH: usize = 4096;
    let folder = tempfile::tempdir().unwrap();
    // There is room in the path for a file of a short name, and none for the file that is to replace it.
    let mut path = folder.path().to_owned();
    while path.as_os_str().len() < LONGEST_PATH - 8 {
        path.push("d".repeat((LONGEST_PATH - 8 - path.as_os_str().len()).min(200)));
    }
    fs::create_dir_all(&path).unwrap();
    let file = KeyFile::of_router(path.join("k"));
    fs::write(file.path(), "# mine\n").unwrap();
    assert!(
        matches!(Content::default().replace(file.path(), &path), Err(error) if error.kind() == io::ErrorKind::InvalidFilename)
    );
    api(&file, "kept");
    api(&file, "lost");
    let comments = "#\n".repeat(MAY_BE_OLD + 10);
    fs::write(file.path(), format!("{}{comments}", fs::read_to_string(file.path()).unwrap())).unwrap();
    assert_eq!(file.revoke("lost").unwrap(), 1);
    assert_eq!(names(&file), ["kept"]);
    fs::write(file.path(), tables(&["a"])).unwrap();
    assert!(matches!(file.revoke("a"), Err(FileError::Io { verb: "write", .. })), "these can only be replaced");
}

#[test]
fn a_last_line_without_an_end_is_completed_or_given_up() {
    let (_folder, file) = scratch();
    api(&file, "a");
    let text = fs::read_to_string(file.path()).unwrap();
    fs::write(file.path(), text.trim_end()).unwrap();
    api(&file, "b");
    assert_eq!(names(&file), ["a", "b"], "an editor left the end away");
    let text = fs::read_to_string(file.path()).unwrap();
    fs::write(file.path(), format!("{text}{{\"name\":\"ha")).unwrap();
    assert_eq!(names(&file), ["a", "b"], "a write that was cut");
    api(&file, "c");
    assert_eq!(names(&file), ["a", "b", "c"]);
}

#[test]
fn a_file_with_other_content_is_named_and_left_unchanged() {
    let (_folder, file) = scratch();
    let table = "[[pair]]\nname = \"a\"\ncreated = \"2026-01-01T00:00:00Z\"\nworker = \"x\"\napi = \"x\"\n";
    for text in ["pear = 1", table, "{\"name\":1}\n", "{\n"] {
        fs::write(file.path(), text).unwrap();
        let error = file.create("b", &NewKeys::Worker, None).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("cannot understand") && error.contains("/keys"), "{error}");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
    }
}

#[test]
fn a_symbolic_link_is_kept_and_its_target_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real/keys"), folder.path().join("link"));
    fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real/keys", &link).unwrap();
    for name in ["first", "second"] {
        api(&KeyFile::of_router(&link), name);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
    assert_eq!(names(&KeyFile::of_router(&real)), ["first", "second"]);
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let (folder, file) = scratch();
    api(&file, "a");
    for mode in [0o620, 0o602] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(file.list(), Err(FileError::Writable { .. })));
        assert!(matches!(file.revoke("a"), Err(FileError::Writable { .. })));
    }
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(file.list().unwrap().len(), 1);
    assert!(is_exposed(file.path()));
    let none = KeyFile::of_router(folder.path().join("none"));
    assert!(matches!(none.list(), Err(FileError::Missing { .. })));
}
