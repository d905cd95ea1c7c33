//! Restarts the program with the worker key in its environment instead of its arguments.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const FLAG: &[u8] = b"--gpu-key";
const VARIABLE: &str = "AUXOT_GPU_KEY";

/// A command line without its key.
///
/// Arguments are world-readable (`ps`); the environment is readable by its owner only. A change of the arguments in
/// place would leave a moment and a copy. An exec leaves neither, keeps the process id, and takes the same path as a
/// key from the environment.
#[derive(PartialEq, Eq)]
pub(crate) struct Restart {
    arguments: Vec<OsString>,
    key: OsString,
}

impl fmt::Debug for Restart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Restart").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

impl Restart {
    /// Removes every key from the arguments, the last one wins; `None` when there is none. A flag without a value
    /// stays, so that the parser reports it.
    pub(crate) fn needed(arguments: &[OsString]) -> Option<Self> {
        let mut rest = Vec::with_capacity(arguments.len());
        let mut key = None;
        let mut words = arguments.iter().peekable();
        while let Some(word) = words.next() {
            match word.as_bytes().strip_prefix(FLAG) {
                Some([b'=', value @ ..]) => key = Some(OsStr::from_bytes(value).to_owned()),
                Some([]) => match words.next_if(|next| !next.as_bytes().starts_with(b"--")) {
                    Some(value) => key = Some(value.clone()),
                    None => rest.push(word.clone()),
                },
                _ => rest.push(word.clone()),
            }
        }
        key.map(|key| Self { arguments: rest, key })
    }

    /// Replaces this process by the new program; returns only on failure.
    pub(crate) fn exec(&self) -> io::Error {
        match std::env::current_exe() {
            Ok(program) => self.command(&program).exec(),
            Err(error) => error,
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((name, arguments)) = self.arguments.split_first() {
            command.arg0(name).args(arguments);
        }
        // An empty flag counts as unset and must not hide a key in the environment.
        if !self.key.is_empty() {
            command.env(VARIABLE, &self.key);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_key_leaves_the_arguments() {
        for given in [["w", "--gpu-key", "gpu_1", "--debug", "2"].as_slice(), &["w", "--gpu-key=gpu_1", "--debug", "2"]]
        {
            let restart = Restart::needed(&words(given)).unwrap();
            assert_eq!(restart.arguments, words(&["w", "--debug", "2"]));
            assert_eq!(restart.key, "gpu_1");
            assert!(!format!("{restart:?}").contains("gpu_1"));
        }
        let restart = Restart::needed(&words(&["w", "--gpu-key", "a", "--gpu-key=b"])).unwrap();
        assert_eq!((restart.arguments, restart.key), (words(&["w"]), "b".into()));
    }

    #[test]
    fn without_a_key_nothing_is_restarted() {
        for given in
            [["w"].as_slice(), &["w", "--gpu-key"], &["w", "--gpu-key", "--debug"], &["w", "--gpu-key-file", "f"]]
        {
            assert_eq!(Restart::needed(&words(given)), None);
        }
    }

    #[test]
    fn the_new_program_sees_the_key_in_its_environment_only() {
        let script =
            words(&["w", "-c", "printf '%s|' \"$0\" \"$@\" \"$AUXOT_GPU_KEY\"", "--type", "gpu", "--gpu-key", "k"]);
        let output = Restart::needed(&script).unwrap().command(Path::new("/bin/sh")).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "--type|gpu|k|");
    }
}
