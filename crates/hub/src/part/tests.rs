//! Part files over several processes, which are several openings here: a lock belongs to its opening.

use super::*;

const SMALL: u64 = 128;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn target(&self) -> PathBuf {
        self.0.path().join("m.gguf")
    }

    fn open(&self, item: &Item) -> Part {
        Part::open(&self.target(), item, SMALL, || panic!("nothing to wait for")).unwrap()
    }
}

fn item(content: &[u8]) -> Item {
    let mut digest = GrowingDigest::new(SMALL);
    digest.update(content);
    let origin = Origin::Url("https://h/m.gguf".parse().unwrap());
    Item { origin, path: "m.gguf".into(), size: Some(content.len() as u64), sha256: Some(digest.sum()) }
}

fn content() -> Vec<u8> {
    (0..1000_u32).map(|number| (number % 251) as u8).collect()
}

#[test]
fn a_part_goes_on_where_it_ended() {
    let (folder, content) = (Folder::new(), content());
    let item = item(&content);
    for (from, to) in [(0, 300), (300, 301), (301, 1000)] {
        let mut part = folder.open(&item);
        assert_eq!(part.have(), from as u64);
        part.note(None, None, None).unwrap();
        part.append(&content[from..to]).unwrap();
    }
    let mut part = folder.open(&item);
    assert_eq!((part.have(), Some(part.sum())), (1000, item.sha256));
    part.finish(part.sum()).unwrap();
    drop(part);
    let part = folder.open(&item);
    assert_eq!((part.have(), part.whole()), (1000, item.sha256));
    part.place(&folder.target()).unwrap();
    assert_eq!(fs::read(folder.target()).unwrap(), content);
    assert_eq!(Record::of(&folder.target()).unwrap().sha256, item.sha256.unwrap());
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2, "the file and its record");
}

#[test]
fn a_part_of_another_content_begins_anew() {
    let (folder, content) = (Folder::new(), content());
    let mut part = folder.open(&item(&content));
    part.note(None, None, None).unwrap();
    part.append(&content).unwrap();
    drop(part);
    assert_eq!(folder.open(&item(&content[1..])).have(), 0);
}

#[test]
fn without_a_digest_the_validator_decides() {
    let (folder, content) = (Folder::new(), content());
    let unknown = Item { size: None, sha256: None, ..item(&content) };
    for (etag, have) in [(None, 0), (Some("\"x\"".to_owned()), 300)] {
        let mut part = folder.open(&unknown);
        assert_eq!(part.have(), 0);
        part.note(None, None, etag).unwrap();
        part.append(&content[..300]).unwrap();
        drop(part);
        assert_eq!(folder.open(&unknown).have(), have);
    }
}

#[test]
fn what_a_crash_left_is_cut_at_the_damage() {
    let (folder, mut content) = (Folder::new(), content());
    let item = item(&content);
    let mut part = folder.open(&item);
    part.note(None, None, None).unwrap();
    part.append(&content).unwrap();
    content[3 * SMALL as usize + 5] ^= 1;
    fs::write(part_path(&folder.target()), &content).unwrap();
    part.drop_damage().unwrap();
    assert_eq!(part.have(), 3 * SMALL);
    // A sound part has been received wrong.
    fs::write(part_path(&folder.target()), &content[..3 * SMALL as usize]).unwrap();
    part.drop_damage().unwrap();
    assert_eq!(part.have(), 0);
}

#[test]
fn an_overlong_part_begins_anew() {
    let (folder, content) = (Folder::new(), content());
    let item = item(&content);
    folder.open(&item).note(None, None, None).unwrap();
    fs::write(part_path(&folder.target()), [&content[..], b"more"].concat()).unwrap();
    assert_eq!(folder.open(&item).have(), 0);
}

#[test]
fn a_second_process_waits_and_finds_the_part_gone() {
    let (folder, content) = (Folder::new(), content());
    let item = item(&content);
    let mut first = folder.open(&item);
    let (waiting, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (folder, item) = (&folder, &item);
        let second = scope.spawn(move || {
            let part = Part::open(&folder.target(), item, SMALL, move || waiting.send(()).unwrap()).unwrap();
            (part.have(), Record::of(&folder.target()).is_some())
        });
        waits.recv().unwrap();
        first.append(&content).unwrap();
        first.finish(item.sha256.unwrap()).unwrap();
        first.place(&folder.target()).unwrap();
        assert_eq!(second.join().unwrap(), (0, true), "a new part, beside the finished file");
    });
}
