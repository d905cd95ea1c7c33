//! Reads a bundle once, from its start to its end, and compares each file with the list.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path};

use auxot_hub::Sum;
use tar::{Archive, Entry, EntryType};

use super::signature::{Signature, SignatureError, Signers};

const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.sig";
/// The longest list of digests.
const LONGEST_LIST: u64 = 4 << 20;
/// The longest signature.
const LONGEST_SIGNATURE: u64 = 64 << 10;

/// Why a bundle is not used.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum BundleError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("cannot use {file}: it does not begin with {SUMS}, so it is no bundle")]
    NoList { file: String },
    #[error("cannot use {file}: line {line} of {SUMS} is not a digest and a path")]
    Line { file: String, line: usize },
    #[error("cannot use {file}: {} of its files are not as {SUMS} says: {}", .faults.len(), .faults.join("; "))]
    Faults { file: String, faults: Vec<String> },
    #[error("cannot use {file}: {source}")]
    Signature { file: String, source: SignatureError },
}

/// What a whole bundle has.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Contents {
    pub(in super::super) files: Vec<BundledFile>,
    pub(in super::super) signature: Signature,
}

/// A file of a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct BundledFile {
    pub(in super::super) name: String,
    pub(in super::super) bytes: u64,
    /// Where its content begins in the bundle.
    pub(in super::super) position: u64,
}

impl Contents {
    pub(in super::super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// The list of a bundle, and what is still to come of it.
struct List {
    text: Vec<u8>,
    wanted: BTreeMap<String, Sum>,
}

/// Reads all of a bundle; its signature must be that of one of the signers, where there are any.
pub(in super::super) fn check(file: &str, bundle: impl Read, signers: &Signers) -> Result<Contents, BundleError> {
    let fault = |source| BundleError::Read { file: file.to_owned(), source };
    let unsigned = |source| BundleError::Signature { file: file.to_owned(), source };
    let mut archive = Archive::new(bundle);
    let mut list: Option<List> = None;
    let (mut files, mut faults, mut signature) = (Vec::new(), Vec::new(), Signature::Missing);
    for entry in archive.entries().map_err(fault)? {
        let mut entry = entry.map_err(fault)?;
        if entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let is_plain = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
        if entry.header().entry_type() != EntryType::Regular || !is_plain {
            faults.push(format!("{name} is no plain file"));
            continue;
        }
        let Some(List { text, wanted }) = &mut list else {
            if name != SUMS {
                return Err(BundleError::NoList { file: file.to_owned() });
            }
            let text = read(&mut entry, LONGEST_LIST).map_err(fault)?;
            let wanted = parse(file, &String::from_utf8_lossy(&text))?;
            list = Some(List { text, wanted });
            continue;
        };
        if name == SIGNATURE {
            let of_list = read(&mut entry, LONGEST_SIGNATURE).map_err(fault)?;
            signature = signers.check(text, &of_list).map_err(unsigned)?;
            continue;
        }
        // Without a good signature the rest is not worth reading.
        signers.require(&signature).map_err(unsigned)?;
        let position = entry.raw_file_position();
        let found = Sum::of(&mut entry).map_err(fault)?;
        match wanted.remove(&name) {
            Some(expected) if expected == found => {}
            Some(_) => faults.push(format!("{name} has another content")),
            None => faults.push(format!("{name} is not in the list, or is there twice")),
        }
        files.push(BundledFile { name, bytes: entry.size(), position });
    }
    signers.require(&signature).map_err(unsigned)?;
    let list = list.ok_or_else(|| BundleError::NoList { file: file.to_owned() })?;
    faults.extend(list.wanted.keys().map(|name| format!("{name} is missing")));
    match faults.is_empty() {
        true => Ok(Contents { files, signature }),
        false => Err(BundleError::Faults { file: file.to_owned(), faults }),
    }
}

fn read(entry: &mut Entry<'_, impl Read>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The digests of `sha256sum`'s list, by path.
fn parse(file: &str, text: &str) -> Result<BTreeMap<String, Sum>, BundleError> {
    let lines = text.lines().enumerate().map(|(at, line)| {
        let (sum, path) = line.split_once([' ']).unwrap_or_default();
        let path = path.trim_start_matches([' ', '*']).trim_start_matches("./");
        let fault = || BundleError::Line { file: file.to_owned(), line: at + 1 };
        if path.is_empty() { Err(fault()) } else { Ok((path.to_owned(), sum.parse().map_err(|()| fault())?)) }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn line(name: &str, text: &str) -> String {
        format!("{}  ./{name}\n", Sum::of(&mut text.as_bytes()).unwrap())
    }

    fn checked(files: &[(&str, &str)]) -> Result<Contents, String> {
        check("b.tar", bundle(files).as_slice(), &Signers::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_bundle_is_as_its_list_says() {
        let sums = line("a", "one") + &line("models/b", "two");
        let whole = [(SUMS, sums.as_str()), (SIGNATURE, "s"), ("a", "one"), ("models/b", "two")];
        let contents = checked(&whole).unwrap();
        assert_eq!((contents.files.len(), contents.bytes(), &contents.signature), (2, 6, &Signature::Unchecked));
        let bytes = bundle(&whole);
        let b = &contents.files[1];
        assert_eq!((b.name.as_str(), &bytes[b.position as usize..][..3]), ("models/b", b"two".as_slice()));
        for (files, part) in [
            (&[(SUMS, sums.as_str()), ("a", "one"), ("models/b", "tw0")][..], "models/b has another content"),
            (
                &[(SUMS, sums.as_str()), ("a", "one")][..],
                "1 of its files are not as SHA256SUMS says: models/b is missing",
            ),
            (&[(SUMS, sums.as_str()), ("a", "one"), ("models/b", "two"), ("c", "")][..], "c is not in the list"),
            (&[(SUMS, sums.as_str()), ("a", "one"), ("models/b", "two"), ("a", "one")][..], "or is there twice"),
            (&[("a", "one"), (SUMS, sums.as_str())][..], "so it is no bundle"),
            (&[(SUMS, "x  a\n")][..], "line 1 of SHA256SUMS"),
            (&[][..], "so it is no bundle"),
        ] {
            let error = checked(files).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_cut_bundle_is_not_whole() {
        let sums = line("a", &"one".repeat(1000));
        let bytes = bundle(&[(SUMS, sums.as_str()), ("a", &"one".repeat(1000))]);
        assert!(check("b.tar", &bytes[..bytes.len() - 3000], &Signers::default()).is_err());
    }

    #[test]
    fn a_link_is_no_file_of_a_bundle() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a", "/etc/passwd").unwrap();
        let error =
            check("b.tar", builder.into_inner().unwrap().as_slice(), &Signers::default()).unwrap_err().to_string();
        assert!(error.contains("no bundle") || error.contains("a is no plain file"), "{error}");
    }
}
