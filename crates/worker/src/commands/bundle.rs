//! `auxot-worker bundle verify FILE`: whether an air-gapped bundle is whole and unchanged, before anything of it is unpacked.
//!
//! A bundle is a tar file whose first file is `SHA256SUMS`; every other file must be in that list, once, with its digest.
//! It is read once, from its start to its end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use std::process::ExitCode;

use auxot_hub::Sum;
use auxot_placement::bytes_text;
use serde_json::json;
use tar::{Archive, EntryType};

use super::console::Console;

const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.sig";
/// The longest list of digests.
const LONGEST_LIST: u64 = 4 << 20;
/// The system's own reads of a large file are of this size.
const BUFFER: usize = 1 << 20;

/// Why a bundle is not used.
#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("cannot use {file}: it does not begin with {SUMS}, so it is no bundle")]
    NoList { file: String },
    #[error("cannot use {file}: line {line} of {SUMS} is not a digest and a path")]
    Line { file: String, line: usize },
    #[error("cannot use {file}: {} of its files are not as {SUMS} says: {}", .faults.len(), .faults.join("; "))]
    Faults { file: String, faults: Vec<String> },
}

/// What a whole bundle has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    files: usize,
    bytes: u64,
    signed: bool,
}

/// Runs the command.
pub(super) fn verify(path: &Path, as_json: bool, console: &Console) -> ExitCode {
    let file = path.display().to_string();
    let read = File::open(path).map_err(|source| BundleError::Read { file: file.clone(), source });
    match read.and_then(|opened| check(&file, BufReader::with_capacity(BUFFER, opened))) {
        Ok(Contents { files, bytes, signed }) => {
            console.print(&match as_json {
                true => json!({"bundle": file, "files": files, "bytes": bytes, "signed": signed}).to_string(),
                false => {
                    let signature =
                        if signed { "it has a signature, which the installer checks" } else { "it has no signature" };
                    format!("{file} is whole: {files} files, {}; {signature}", bytes_text(bytes))
                }
            });
            ExitCode::SUCCESS
        }
        Err(error) => {
            console.print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn check(file: &str, bundle: impl Read) -> Result<Contents, BundleError> {
    let fault = |source| BundleError::Read { file: file.to_owned(), source };
    let mut archive = Archive::new(bundle);
    let mut wanted: Option<BTreeMap<String, Sum>> = None;
    let (mut contents, mut faults) = (Contents::default(), Vec::new());
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
        let Some(wanted) = &mut wanted else {
            if name != SUMS {
                return Err(BundleError::NoList { file: file.to_owned() });
            }
            let mut text = String::new();
            entry.by_ref().take(LONGEST_LIST).read_to_string(&mut text).map_err(fault)?;
            wanted = Some(list(file, &text)?);
            continue;
        };
        if name == SIGNATURE {
            contents.signed = true;
            continue;
        }
        let found = Sum::of(&mut entry).map_err(fault)?;
        contents.files += 1;
        contents.bytes += entry.size();
        match wanted.remove(&name) {
            Some(expected) if expected == found => {}
            Some(_) => faults.push(format!("{name} has another content")),
            None => faults.push(format!("{name} is not in the list, or is there twice")),
        }
    }
    let wanted = wanted.ok_or_else(|| BundleError::NoList { file: file.to_owned() })?;
    faults.extend(wanted.keys().map(|name| format!("{name} is missing")));
    if faults.is_empty() { Ok(contents) } else { Err(BundleError::Faults { file: file.to_owned(), faults }) }
}

/// The digests of `sha256sum`'s list, by path.
fn list(file: &str, text: &str) -> Result<BTreeMap<String, Sum>, BundleError> {
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
        check("b.tar", bundle(files).as_slice()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_bundle_is_as_its_list_says() {
        let sums = line("a", "one") + &line("models/b", "two");
        let whole = [(SUMS, sums.as_str()), (SIGNATURE, "s"), ("a", "one"), ("models/b", "two")];
        assert_eq!(checked(&whole), Ok(Contents { files: 2, bytes: 6, signed: true }));
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
        assert!(check("b.tar", &bytes[..bytes.len() - 3000]).is_err());
    }

    #[test]
    fn a_link_is_no_file_of_a_bundle() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a", "/etc/passwd").unwrap();
        let error = check("b.tar", builder.into_inner().unwrap().as_slice()).unwrap_err().to_string();
        assert!(error.contains("no bundle") || error.contains("a is no plain file"), "{error}");
    }
}
