//! `bundle verify` and `doctor --bundle`: what a bundle is worth, before anything of it is installed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use auxot_tests::gguf::ModelFile;
use serde_json::Value;

use crate::TestHost;

/// A program that accepts the signature `good` alone, and only as the worker is to ask for it.
const KEYGEN: &str = r#"#!/bin/sh
[ "$1 $2 $3 $4 $5 $6 $7" = "-Y verify -I auxot -n auxot-release -f" ] || exit 9
[ "$(cat "${10}")" = good ] && grep -q auxot-worker && { echo 'Good "auxot-release" signature for auxot with ED25519 key SHA256:abc'; exit 0; }
echo "Signature verification failed" >&2
exit 255
"#;
const STARTS: &str = "#!/bin/sh\necho version 9\n";
const TOO_OLD: &str = "#!/bin/sh\necho \"libc.so.6: version GLIBC_9.99 not found\" >&2\nexit 1\n";

struct TestBundle {
    host: TestHost,
    folder: PathBuf,
}

impl TestBundle {
    /// A bundle with a worker, an engine for the processor, and a model.
    fn new() -> Self {
        let host = TestHost::with_cards(&[]);
        let folder = host.scratch.join("release");
        std::fs::create_dir_all(folder.join("models")).unwrap();
        let bundle = Self { folder, host };
        bundle.program(&format!("auxot-worker-{}", kind()), STARTS);
        bundle.engine(STARTS);
        ModelFile::named("m").write(&bundle.folder.join("models"), "m-q8_0.gguf");
        write_program(&bundle.host.scratch.join("bin/ssh-keygen"), KEYGEN);
        bundle
    }

    fn program(&self, name: &str, text: &str) {
        write_program(&self.folder.join(name), text);
    }

    fn engine(&self, text: &str) {
        write_program(&self.host.scratch.join("engine/llama-server"), text);
        let archive = self.folder.join(format!("engine-cpu-{}.tar.gz", kind()));
        shell(&self.host.scratch.join("engine"), &format!("tar -czf {} llama-server", archive.display()));
    }

    /// Makes the tar file, with this signature.
    fn pack(&self, signature: Option<&str>) -> PathBuf {
        let tar = self.host.scratch.join("bundle.tar");
        shell(
            &self.folder,
            "rm -f SHA256SUMS*; find . -type f ! -name SHA256SUMS | sort | xargs sha256sum >SHA256SUMS",
        );
        if let Some(signature) = signature {
            std::fs::write(self.folder.join("SHA256SUMS.sig"), signature).unwrap();
        }
        let rest = "find . -type f ! -name 'SHA256SUMS*'";
        shell(
            &self.folder,
            &format!("tar -cf {} SHA256SUMS $(ls SHA256SUMS.sig 2>/dev/null) $({rest})", tar.display()),
        );
        tar
    }

    /// Runs a command; its output and errors.
    fn run(&self, arguments: &[&str], code: i32) -> (String, String) {
        let mut command = self.host.command(arguments);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.host.scratch.join("bin").display()));
        let output = command.output().unwrap();
        let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{said}{errors}");
        (said, errors)
    }

    /// What `doctor` finds: the verdict and the text of an area.
    fn doctor(&self, tar: &Path, code: i32) -> impl Fn(&str) -> (String, String) + use<> {
        let (said, _) = self.run(&["doctor", "--bundle", tar.to_str().unwrap(), "--json"], code);
        let findings: Vec<Value> = serde_json::from_str(&said).unwrap();
        move |area| {
            let found = findings.iter().find(|finding| finding["area"] == area);
            let found = found.unwrap_or_else(|| panic!("nothing about {area} in {findings:?}"));
            let text = |key: &str| found[key].as_str().unwrap().to_owned();
            (text("verdict"), text("text"))
        }
    }
}

fn kind() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

fn write_program(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn shell(folder: &Path, command: &str) {
    assert!(Command::new("sh").args(["-c", command]).current_dir(folder).status().unwrap().success(), "{command}");
}

#[test]
fn a_signature_counts_where_keys_are_trusted() {
    let bundle = TestBundle::new();
    let signers = bundle.host.scratch.join("signers");
    std::fs::write(&signers, "auxot ssh-ed25519 AAAA\n").unwrap();
    let signers = signers.to_str().unwrap();
    let tar = |signature| bundle.pack(signature).to_str().unwrap().to_owned();
    let unsigned = tar(None);
    assert!(bundle.run(&["bundle", "verify", &unsigned], 0).0.contains("it has no signature"));
    let refused = bundle.run(&["bundle", "verify", &unsigned, "--signers", signers], 1).1;
    assert!(refused.contains("it has no signature, and must have one of a key in "), "{refused}");
    let good = tar(Some("good"));
    assert!(bundle.run(&["bundle", "verify", &good], 0).0.contains("its signature is not checked"));
    let said = bundle.run(&["bundle", "verify", &good, "--signers", signers, "--json"], 0).0;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["signer"], "ED25519 key SHA256:abc");
    let bad = tar(Some("bad"));
    let refused = bundle.run(&["bundle", "verify", &bad, "--signers", signers], 1).1;
    assert!(
        refused.contains("is not one of a key in") && refused.contains("Signature verification failed"),
        "{refused}"
    );
}

#[test]
fn a_bundle_for_this_host_is_found_good() {
    let bundle = TestBundle::new();
    let found = bundle.doctor(&bundle.pack(None), 0);
    assert_eq!(found("worker"), ("good".into(), "version 9".into()));
    assert_eq!(found("engine"), ("good".into(), "cpu starts; there is no GPU here".into()));
    let (verdict, text) = found("models");
    assert!(verdict == "good" && text.starts_with("m-q8_0 fits, "), "{verdict} {text}");
    assert_eq!((found("bundle").0.as_str(), found("space").0.as_str()), ("warning", "good"));
}

#[test]
fn what_will_not_work_here_is_said_before() {
    let bundle = TestBundle::new();
    bundle.program(&format!("auxot-worker-{}", kind()), TOO_OLD);
    bundle.engine(TOO_OLD);
    std::fs::write(bundle.folder.join("models/m-q8_0.gguf"), "GGUF, and no more").unwrap();
    let found = bundle.doctor(&bundle.pack(None), 1);
    assert!(found("worker").1.contains("GLIBC_9.99 not found"), "{}", found("worker").1);
    assert!(found("engine").1.contains("cpu does not start here"), "{}", found("engine").1);
    assert!(found("models").1.contains("cannot use m-q8_0.gguf"), "{}", found("models").1);
    std::fs::remove_file(bundle.folder.join(format!("auxot-worker-{}", kind()))).unwrap();
    bundle.program("auxot-worker-linux-riscv64", STARTS);
    let (verdict, text) = bundle.doctor(&bundle.pack(None), 1)("worker");
    assert!(verdict == "bad" && text.contains("no worker for ") && text.ends_with("it has: linux-riscv64"), "{text}");
    let tar = bundle.pack(None);
    std::fs::OpenOptions::new().write(true).open(&tar).unwrap().set_len(3000).unwrap();
    assert_eq!(bundle.doctor(&tar, 1)("bundle").0, "bad");
}
