//! What of a bundle will not work on this host, before anything is installed: the bundle itself, its programs, its models, and
//! the room that they need.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use auxot_catalog::Catalog;
use auxot_gpu::{Kind, Sample};
use auxot_placement::bytes_text;
use auxot_settings::Settings;
use rustix::fs::statvfs;

use super::super::bundle::{self, BundledFile, Contents, Signature, Signers};
use super::super::pull::fit_text;
use super::finding::{Finding, bad, good, warning};
use super::nearest;
use crate::arguments::BundleRequest;

/// Where an installation puts programs and engines, and models.
const TARGETS: [&str; 2] = ["/usr/local", "/var/lib/auxot"];
/// Bytes of a model's file that hold its header.
const HEADER: u64 = 64 << 20;
/// A system that systemd runs has this folder.
const SYSTEMD: &str = "/run/systemd/system";

/// Checks a bundle for this host.
pub(super) fn check(settings: &Settings, request: &BundleRequest) -> Vec<Finding> {
    let contents = match bundle::read(&request.file, &Signers::new(request.signers.as_deref())) {
        Ok(contents) => contents,
        Err(error) => return vec![bad("bundle", error.to_string(), "get the bundle again, from where it was made")],
    };
    let sample = auxot_gpu::sample_once(&settings.gpu);
    let mut findings = vec![whole(&contents)];
    let examined = Bundle::open(&request.file, &contents).and_then(|bundle| {
        findings.extend(bundle.worker()?);
        findings.extend(bundle.engine(&sample)?);
        findings.extend(bundle.models(settings, &sample)?);
        Ok(())
    });
    if let Err(error) = examined {
        let text = format!("cannot unpack parts of {} for a look: {error}", request.file.display());
        findings.push(bad("bundle", text, format!("free some space in {}", std::env::temp_dir().display())));
    }
    findings.extend(room(&contents));
    findings.push(match cfg!(target_os = "macos") || Path::new(SYSTEMD).is_dir() {
        true => good("service", "the service manager is there"),
        false => {
            warning("service", "systemd does not run here", "start the worker by hand, or from another service manager")
        }
    });
    findings
}

fn whole(contents: &Contents) -> Finding {
    let text = format!("it is whole: {} files, {}", contents.files.len(), bytes_text(contents.bytes()));
    match &contents.signature {
        Signature::Good(key) => good("bundle", format!("{text}, signed with {key}")),
        Signature::Missing => warning("bundle", format!("{text}, and not signed"), "ask its maker for its sha256"),
        Signature::Unchecked => {
            warning("bundle", format!("{text}; its signature is not checked"), "name the trusted keys with --signers")
        }
    }
}

/// A bundle that is whole, and a folder for parts of it.
struct Bundle<'b> {
    file: File,
    contents: &'b Contents,
    folder: tempfile::TempDir,
}

impl<'b> Bundle<'b> {
    fn open(file: &Path, contents: &'b Contents) -> io::Result<Self> {
        Ok(Self { file: File::open(file)?, contents, folder: tempfile::tempdir()? })
    }

    fn find(&self, name: &str) -> Option<&'b BundledFile> {
        self.contents.files.iter().find(|file| file.name == name)
    }

    /// The names that begin so, without it.
    fn others(&self, prefix: &str) -> String {
        let names = self.contents.files.iter().filter_map(|file| file.name.strip_prefix(prefix));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Writes the first bytes of a file into the folder; the result has the whole length.
    fn unpack(&self, file: &BundledFile, most: u64) -> io::Result<PathBuf> {
        let path = self.folder.path().join(&file.name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (mut bundle, mut target) = (&self.file, File::create(&path)?);
        bundle.seek(SeekFrom::Start(file.position))?;
        io::copy(&mut bundle.take(file.bytes.min(most)), &mut target)?;
        target.flush()?;
        target.set_len(file.bytes)?;
        Ok(path)
    }

    fn worker(&self) -> io::Result<Vec<Finding>> {
        let name = format!("auxot-worker-{}", host());
        let Some(file) = self.find(&name) else {
            let text = format!("no worker for {}; it has: {}", host(), self.others("auxot-worker-"));
            return Ok(vec![bad("worker", text, "get the bundle that was made for this kind of host")]);
        };
        let program = self.unpack(file, u64::MAX)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700))?;
        Ok(vec![match output(&program, "version") {
            Ok(version) => good("worker", version),
            Err(reason) => bad("worker", format!("it does not start here: {reason}"), remedy(&reason)),
        }])
    }

    /// The engine that the installer takes: the first of those for the devices here that starts.
    fn engine(&self, sample: &Sample) -> io::Result<Vec<Finding>> {
        let (best, backends) = backends(sample);
        let mut findings = Vec::new();
        for backend in backends {
            let Some(file) = self.find(&format!("engine-{backend}-{}.tar.gz", host())) else { continue };
            let archive = self.unpack(file, u64::MAX)?;
            let folder = self.folder.path().join(backend);
            std::fs::create_dir_all(&folder)?;
            let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder).status()?;
            if !unpacked.success() {
                return Err(io::Error::other(format!("tar cannot unpack {}", file.name)));
            }
            let server = folder.join("llama-server");
            if let Err(reason) = output(&server, "--version") {
                findings.push(warning("engine", format!("{backend} does not start here: {reason}"), remedy(&reason)));
                continue;
            }
            findings.push(devices(backend, best, &server));
            return Ok(findings);
        }
        let text = format!("no engine for {} starts here; it has: {}", host(), self.others("engine-"));
        findings.push(bad("engine", text, "make the bundle with BACKENDS for this host"));
        Ok(findings)
    }

    fn models(&self, settings: &Settings, sample: &Sample) -> io::Result<Vec<Finding>> {
        let models = self.contents.files.iter().filter(|file| file.name.starts_with("models/"));
        for file in models {
            self.unpack(file, HEADER)?;
        }
        let folder = self.folder.path().join("models");
        if !folder.is_dir() {
            return Ok(vec![warning("models", "it has no models", "copy some to /var/lib/auxot/models afterwards")]);
        }
        let config = auxot_catalog::Config { models_dir: vec![folder], ..auxot_catalog::Config::default() };
        let catalog = Catalog::scan(&config);
        let fits = catalog.models().iter().map(|model| match fit_text(settings, &catalog, model, sample) {
            Ok(size) => good("models", format!("{} fits, {size}", model.name)),
            Err(refusal) => warning("models", format!("{} {refusal}", model.name), "take a smaller quantisation"),
        });
        let damaged = catalog.damaged().iter().map(|damaged| {
            let name = damaged.path.file_name().unwrap_or_default().to_string_lossy();
            bad("models", format!("cannot use {name}: {}", damaged.fault), "make the bundle again with a sound file")
        });
        Ok(fits.chain(damaged).collect())
    }
}

/// What to do where a program does not start for this reason.
fn remedy(reason: &str) -> &'static str {
    if reason.contains("cannot open shared object file") {
        "install the package of this library, or make the bundle on a host that has it: it is then a part of the bundle"
    } else {
        "this system is older than the one that the program was built on, or of another kind"
    }
}

/// System and architecture, as in the names of a release.
fn host() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The backend that is made for the devices of this host, where there are any, and all in the order of the installer.
fn backends(sample: &Sample) -> (Option<&'static str>, &'static [&'static str]) {
    let has = |kind| sample.devices.iter().any(|device| device.kind == kind && !device.lost);
    match () {
        () if has(Kind::Apple) => (Some("metal"), &["metal", "cpu"]),
        () if has(Kind::Nvidia) => (Some("cuda"), &["cuda", "vulkan", "cpu"]),
        () if has(Kind::Amd) => (Some("rocm"), &["rocm", "vulkan", "cpu"]),
        () => (None, &["vulkan", "cpu"]),
    }
}

/// Whether an engine uses the devices of this host.
fn devices(backend: &str, best: Option<&str>, server: &Path) -> Finding {
    let listed = output(server, "--list-devices").unwrap_or_default();
    let is_device = |line: &&str| line.starts_with(' ') && line.contains(": ");
    let found = listed.lines().filter(is_device).count();
    match best {
        Some(best) if backend == "cpu" => warning(
            "engine",
            format!("{backend}: models run on the processor, although a GPU is here"),
            format!("make the bundle with BACKENDS={best}"),
        ),
        Some(_) if found == 0 => warning(
            "engine",
            format!("{backend} starts, and finds no GPU"),
            "install the GPU's driver, in a version that this engine's libraries work with",
        ),
        Some(_) => good("engine", format!("{backend} starts, and finds devices: {found}")),
        None => good("engine", format!("{backend} starts; there is no GPU here")),
    }
}

/// The first line that a program prints; or why it does not start.
fn output(program: &Path, argument: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr).lines().next().unwrap_or("it says nothing").to_owned()),
    }
}

/// Whether the disks have room for what the bundle installs.
fn room(contents: &Contents) -> Vec<Finding> {
    let is_model = |file: &&BundledFile| file.name.starts_with("models/");
    let of_models: u64 = contents.files.iter().filter(is_model).map(|file| file.bytes).sum();
    let needs = [contents.bytes() - of_models, of_models];
    let lacks = TARGETS.iter().zip(needs).filter_map(|(target, needs)| {
        let there = nearest(Path::new(target));
        let space = statvfs(&there).ok()?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        (free < needs).then(|| {
            let text = format!("{target} needs {}, and {} are free", bytes_text(needs), bytes_text(free));
            bad("space", text, "free some space, or mount a larger disk there")
        })
    });
    let lacks: Vec<Finding> = lacks.collect();
    if lacks.is_empty() {
        vec![good("space", format!("there is room for {}", bytes_text(contents.bytes())))]
    } else {
        lacks
    }
}
