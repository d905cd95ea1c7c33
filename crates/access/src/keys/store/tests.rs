//! Keys of a file that changes: at its end, as a whole, half written, and away for a moment.

use std::fs;

use super::super::file::KeyFile;
use super::super::hash::digest;
use super::super::{KeyTerms, NewKeys};
use super::*;

const LONG: Duration = Duration::from_secs(9);

struct Watched {
    _folder: tempfile::TempDir,
    file: KeyFile,
    store: KeyStore,
    keys: Vec<String>,
}

impl Watched {
    fn new(keys: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        let add = |number: usize| api(&file, &number.to_string());
        let keys = (0..keys).map(add).collect();
        let store = KeyStore::open(Keys::file(file.path().to_owned())).unwrap();
        Self { _folder: folder, file, store, keys }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file.path()).unwrap()
    }

    /// Writes the file as an editor does, this long ago.
    fn write(&self, text: &str, age: Duration) {
        fs::write(self.file.path(), text).unwrap();
        let file = fs::File::options().write(true).open(self.file.path()).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// Which keys are good after a look, and whether others are bad.
    fn look(&self) -> (Vec<bool>, bool) {
        self.store.look();
        let current = self.store.current();
        (self.keys.iter().map(|key| current.set.find(&digest(key)).is_some()).collect(), current.certain)
    }

    fn without(&self, name: &str) -> String {
        let is_kept = |line: &&str| !line.contains(&format!("\"name\":\"{name}\""));
        self.text().lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
    }
}

fn api(file: &KeyFile, name: &str) -> String {
    file.create(name, &NewKeys::Api(KeyTerms::default()), None).unwrap().api.unwrap()
}

#[test]
fn lines_at_the_end_count_at_once_and_are_all_that_is_read() {
    let mut watched = Watched::new(2);
    watched.keys.push(api(&watched.file, "new"));
    assert_eq!(watched.look(), (vec![true, true, true], true), "a new key");
    let before = watched.store.current().version;
    watched.file.revoke("0").unwrap();
    assert_eq!(watched.look(), (vec![false, true, true], true), "a revoked key");
    assert_eq!(watched.store.count(KeyKind::Api), 2);
    assert!(watched.store.current().version > before);
    watched.file.rotate("1", LONG).unwrap();
    watched.store.look();
    let expires = |key: &str| watched.store.current().set.find(&digest(key)).unwrap().expires;
    assert!(expires(&watched.keys[1]).is_some() && expires(&watched.keys[2]).is_none(), "a changed key");
    let version = watched.store.current().version;
    watched.store.look();
    assert_eq!(watched.store.current().version, version, "no change");

    let text = watched.text();
    fs::write(watched.file.path(), format!("{text}{{\"name\":\"hal")).unwrap();
    assert_eq!(watched.look(), (vec![false, true, true], false), "a line that is being written");
    fs::write(watched.file.path(), format!("{text}# a note\n")).unwrap();
    assert_eq!(watched.look(), (vec![false, true, true], true));
}

#[test]
fn a_changed_beginning_is_read_however_the_file_grows() {
    let watched = Watched::new(3);
    let text = watched.without("0") + &watched.without("1") + &watched.without("2");
    assert!(text.len() > watched.text().len());
    let kept: String = text.lines().filter(|line| !line.contains("\"name\":\"1\"")).map(|l| format!("{l}\n")).collect();
    watched.write(&format!("{kept}{}", "# a long comment\n".repeat(100)), LONG);
    assert_eq!(watched.look(), (vec![true, false, true], true));
}

#[test]
fn keys_missing_for_a_moment_stay_and_removed_keys_are_revoked() {
    let watched = Watched::new(2);
    let (whole, one) = (watched.text(), watched.without("1"));
    fs::remove_file(watched.file.path()).unwrap();
    assert_eq!(watched.look(), (vec![true, true], false), "other keys are unknown");
    for age in [Duration::ZERO, LONG] {
        watched.write("", age);
        assert_eq!(watched.look(), (vec![true, true], false), "it is truncated and not written yet");
    }
    watched.write(&one, Duration::ZERO);
    assert_eq!(watched.look(), (vec![true, true], false), "it may be half written");
    watched.write("{", LONG);
    assert_eq!(watched.look(), (vec![true, true], false), "it cannot be read");
    watched.write(&one, LONG);
    assert_eq!(watched.look(), (vec![true, false], true));
    watched.write(&format!("# changed\n{whole}"), Duration::ZERO);
    assert_eq!(watched.look(), (vec![true, true], false), "new keys count at once");
    watched.write(&format!("# changed\n{whole}"), LONG);
    assert_eq!(watched.look(), (vec![true, true], true));
}

#[test]
fn the_hashes_of_the_environment_stay_beside_those_of_the_file() {
    let watched = Watched::new(1);
    let hash = super::super::cheap_hash("k").unwrap();
    let keys = Keys::file(watched.file.path().to_owned()).with_hashes(Some(&hash), Some(&hash));
    let store = KeyStore::open(keys).unwrap();
    let counts = || (store.count(KeyKind::Worker), store.count(KeyKind::Api));
    assert_eq!(counts(), (1, 2));
    watched.write("# none\n", LONG);
    store.look();
    assert_eq!(counts(), (1, 1));
}

#[test]
fn a_last_line_without_an_end_is_a_key_until_it_is_taken_away() {
    let watched = Watched::new(2);
    let (whole, one) = (watched.text(), watched.without("1"));
    watched.write(whole.trim_end(), LONG);
    let store = KeyStore::open(Keys::file(watched.file.path().to_owned())).unwrap();
    let is_good = |key: &str| {
        store.look();
        store.current().set.find(&digest(key)).is_some()
    };
    assert!(is_good(&watched.keys[1]));
    watched.write(&one, LONG);
    assert!(
        is_good(&watched.keys[0]) && !is_good(&watched.keys[1]),
        "the line is removed from the file that was opened"
    );
    fs::write(watched.file.path(), whole.trim_end()).unwrap();
    assert!(is_good(&watched.keys[1]), "the line is added");
    watched.write(&one, LONG);
    assert!(is_good(&watched.keys[0]) && !is_good(&watched.keys[1]), "the line that was added is removed");
}

#[test]
fn a_look_that_waited_shares_the_one_that_began_meanwhile() {
    let mut watched = Watched::new(1);
    let asked = Instant::now();
    watched.store.look();
    watched.keys.push(api(&watched.file, "new"));
    watched.store.look_since(asked);
    assert!(watched.store.current().set.find(&digest(&watched.keys[1])).is_none(), "it has looked already");
    assert_eq!(watched.look(), (vec![true, true], true));
}

#[test]
fn a_file_that_says_nothing_certain_is_read_again_after_a_pause_or_a_change() {
    let watched = Watched::new(1);
    let text = watched.text();
    let last_read = || watched.store.file.lock().unwrap().read.unwrap().0;
    let missing = || fs::remove_file(watched.file.path()).unwrap();
    let torn = || watched.write(&format!("{text}{{\"name\":\"ha"), LONG);
    let malformed = || watched.write("{\n", LONG);
    for change in [&torn as &dyn Fn(), &malformed, &missing] {
        change();
        assert_eq!(watched.look(), (vec![true], false), "it has changed");
        let read = last_read();
        watched.store.look_since(read + SETTLED / 2);
        assert_eq!(last_read(), read);
        watched.store.look_since(read + SETTLED);
        assert!(last_read() > read);
    }
    watched.write(&text, LONG);
    assert_eq!(watched.look(), (vec![true], true), "it is back");
}
