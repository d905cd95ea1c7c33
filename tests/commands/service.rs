//! `install` and `uninstall` for the root of another system: which files, with which rights, and what is left.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::TestHost;

struct Image {
    host: TestHost,
    root: PathBuf,
}

impl Image {
    fn new() -> Self {
        let host = TestHost::new();
        let root = host.scratch.join("image");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\nrender:x:104:\n").unwrap();
        Self { host, root }
    }

    /// Runs the command for this root; standard error of it.
    fn run(&self, verb: &str, variables: &[(&str, &str)], code: i32) -> String {
        self.outputs(&[verb], variables, code).1
    }

    /// The same with further arguments; standard output and error.
    fn outputs(&self, arguments: &[&str], variables: &[(&str, &str)], code: i32) -> (String, String) {
        let mut command = self.host.command(&[arguments, &["--root", self.root.to_str().unwrap()]].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{errors}");
        (said, errors)
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.root.join(path)).unwrap().permissions().mode() & 0o777
    }
}

const UNIT: &str = "etc/systemd/system/auxot-worker.service";
const CONFIG: &str = "etc/auxot/auxot-worker.toml";

#[test]
fn an_installation_has_a_unit_settings_and_a_key_for_the_service_alone() {
    let image = Image::new();
    let variables = [
        ("AUXOT_ROUTER_URL", "router.example.com"),
        ("AUXOT_GPU_KEY", "gpu_secret"),
        ("AUXOT_GPU_AUTOLOAD_MODELS", "llama-3.3-70b-q4_k_m"),
    ];
    image.run("install", &variables, 0);
    let (unit, config) = (image.text(UNIT), image.text(CONFIG));
    for line in ["SupplementaryGroups=render", "LoadCredential=worker-key:/etc/auxot/worker-key", "Type=notify"] {
        assert!(unit.lines().any(|known| known == line), "{line} in {unit}");
    }
    assert!(
        config.contains("url = \"router.example.com\"") && config.contains("[\"llama-3.3-70b-q4_k_m\"]"),
        "{config}"
    );
    assert!(!unit.contains("gpu_secret") && !config.contains("gpu_secret"));
    assert_eq!(
        (image.text("etc/auxot/worker-key").as_str(), image.mode("etc/auxot/worker-key")),
        ("gpu_secret\n", 0o600)
    );
    assert_eq!((image.mode("usr/local/bin/auxot-worker"), image.mode(UNIT)), (0o755, 0o644));
}

#[test]
fn an_upgrade_keeps_the_operators_settings_and_key() {
    let image = Image::new();
    image.run("install", &[("AUXOT_GPU_KEY", "gpu_one")], 0);
    std::fs::write(image.root.join(CONFIG), "# mine\n").unwrap();
    image.run("install", &[("AUXOT_ROUTER_URL", "other")], 0);
    assert_eq!((image.text(CONFIG).as_str(), image.text("etc/auxot/worker-key").as_str()), ("# mine\n", "gpu_one\n"));
    assert!(image.text(UNIT).contains("LoadCredential="));
}

#[test]
fn an_uninstall_leaves_nothing_but_the_models() {
    let image = Image::new();
    image.run("install", &[("AUXOT_GPU_KEY", "gpu_one")], 0);
    let models = image.root.join("var/lib/auxot/models");
    std::fs::write(models.join("m.gguf"), "a model").unwrap();
    std::fs::write(image.root.join("var/lib/auxot/catalog"), "state").unwrap();
    image.run("uninstall", &[], 0);
    for path in [UNIT, CONFIG, "etc/auxot", "usr/local/bin/auxot-worker", "var/lib/auxot/catalog"] {
        assert!(!image.root.join(path).exists(), "{path} is left");
    }
    assert!(models.join("m.gguf").exists());
    image.run("uninstall", &[], 0);
}

#[test]
fn without_a_key_only_a_worker_for_local_programs_is_installed() {
    let image = Image::new();
    let refused = image.run("install", &[], 1);
    assert!(refused.starts_with("cannot install without a key: set AUXOT_GPU_KEY"), "{refused}");
    assert!(!image.root.join(UNIT).exists());
    image.run("install", &[("AUXOT_GATEWAY_ADDR", "127.0.0.1:8080")], 0);
    assert!(image.text(CONFIG).contains("addr = [\"127.0.0.1:8080\"]"));
    assert!(!image.text(UNIT).contains("LoadCredential") && !image.text(CONFIG).contains("[router]"));
}

const ROUTER_UNIT: &str = "etc/systemd/system/auxot-router.service";
const ROUTER_KEYS: &str = "var/lib/auxot-router/router-keys";

#[test]
fn a_router_is_installed_with_keys_for_its_worker_and_for_clients() {
    let image = Image::new();
    let (said, _) = image.outputs(&["install", "--with-router", "0.0.0.0:8080"], &[], 0);
    let api_key =
        said.lines().find_map(|line| line.strip_prefix("API key for clients of the router, shown this once: "));
    let (api_key, worker_key) = (api_key.unwrap_or_else(|| panic!("{said}")), image.text("etc/auxot/worker-key"));
    assert!(image.text(CONFIG).contains("url = \"http://127.0.0.1:8080\""));
    assert!(image.text("etc/auxot/auxot-router.env").ends_with("AUXOT_HOST=0.0.0.0\nAUXOT_PORT=8080\n"));
    let unit = image.text(ROUTER_UNIT);
    for line in [
        "ExecStart=/usr/local/bin/auxot-router serve",
        "EnvironmentFile=/etc/auxot/auxot-router.env",
        "Environment=AUXOT_ROUTER_KEYS_FILE=/var/lib/auxot-router/router-keys",
        "FileDescriptorStoreMax=8",
    ] {
        assert!(unit.lines().any(|known| known == line), "{line} in {unit}");
    }
    let keys = image.text(ROUTER_KEYS);
    assert!(keys.contains("sha256:") && !keys.contains(api_key) && !keys.contains(worker_key.trim()));
    assert_eq!((image.mode(ROUTER_KEYS), image.mode("etc/auxot/worker-key")), (0o600, 0o600));
    assert_eq!(image.mode("usr/local/bin/auxot-router"), 0o755);
    // An upgrade needs no address, and leaves settings and keys.
    std::fs::write(image.root.join("usr/local/bin/auxot-router"), "the old version").unwrap();
    std::fs::write(image.root.join("etc/auxot/auxot-router.env"), "AUXOT_PORT=9\n").unwrap();
    std::fs::rename(image.root.join(ROUTER_KEYS), image.root.join("etc/auxot/router-keys.toml")).unwrap();
    image.run("install", &[], 0);
    assert_eq!(
        (image.text(ROUTER_KEYS), image.text("etc/auxot/auxot-router.env")),
        (keys, "AUXOT_PORT=9\n".to_owned())
    );
    assert!(!image.root.join("etc/auxot/router-keys.toml").exists(), "where an earlier version had them");
    assert!(std::fs::metadata(image.root.join("usr/local/bin/auxot-router")).unwrap().len() > 1_000_000);
    image.run("uninstall", &[], 0);
    for path in [ROUTER_UNIT, "etc/auxot", "var/lib/auxot-router", "usr/local/bin/auxot-router"] {
        assert!(!image.root.join(path).exists(), "{path} is left");
    }
}

#[test]
fn a_worker_of_another_router_gets_none_of_its_own() {
    let image = Image::new();
    image.run("install", &[("AUXOT_GPU_KEY", "gpu_one")], 0);
    let (_, refused) = image.outputs(&["install", "--with-router", "127.0.0.1:8080"], &[], 1);
    assert!(refused.contains("auxot-worker.toml says already where the worker gets its jobs"), "{refused}");
    assert_eq!(
        (image.text("etc/auxot/worker-key").as_str(), image.root.join(ROUTER_UNIT).exists()),
        ("gpu_one\n", false)
    );
}
