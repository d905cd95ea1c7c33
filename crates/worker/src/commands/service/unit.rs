//! The texts of the unit and of the first settings file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use auxot_settings::Settings;

use super::layout::Layout;

const SYSTEM: &str = include_str!("../../../../../config/systemd/auxot-worker.service");
const USER: &str = include_str!("../../../../../config/systemd/auxot-worker.user.service");
const ROUTER_SYSTEM: &str = include_str!("../../../../../config/systemd/auxot-router.service");
const ROUTER_USER: &str = include_str!("../../../../../config/systemd/auxot-router.user.service");
const LAUNCHD: &str = include_str!("../../../../../config/launchd/com.auxot.worker.plist");
/// What a stop takes besides the drain.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// The unit of this service.
pub(super) fn text(layout: &Layout, settings: &Settings, has_key: bool) -> String {
    let own = |path: &Path| layout.own(path).display().to_string();
    let stop = (settings.fleet.drain_timeout + STOP_MARGIN).as_secs();
    if cfg!(target_os = "macos") {
        let log = own(&layout.models.with_file_name("worker.log"));
        let filled = LAUNCHD.replace("@LOG@", &xml(&log)).replace("@STOP@", &stop.to_string());
        return filled
            .replace("@PROGRAM@", &xml(&own(&layout.program)))
            .replace("@CONFIG@", &xml(&own(&layout.config)));
    }
    let credential = match (has_key, layout.user) {
        (false, _) => String::new(),
        (true, false) => {
            format!("LoadCredential=worker-key:{}\nEnvironment=AUXOT_GPU_KEY_FILE=%d/worker-key", own(&layout.key))
        }
        (true, true) => format!("Environment=AUXOT_GPU_KEY_FILE={}", own(&layout.key)),
    };
    let groups = layout.groups().join(" ");
    let template = if layout.user { USER } else { SYSTEM };
    let filled = template.lines().filter(|line| !groups.is_empty() || !line.contains("@GROUPS@"));
    let filled: String = filled.map(|line| format!("{line}\n")).collect();
    filled
        .replace("@PROGRAM@", &own(&layout.program))
        .replace("@CONFIG@", &own(&layout.config))
        .replace("@STOP@", &format!("{stop}s"))
        .replace("@GROUPS@", &groups)
        .replace("@CREDENTIAL@", &credential)
}

/// The unit of the router of a single host.
pub(super) fn router(layout: &Layout) -> String {
    let own = |path: &Path| layout.own(path).display().to_string();
    let template = if layout.user { ROUTER_USER } else { ROUTER_SYSTEM };
    template
        .replace("@PROGRAM@", &own(&layout.router.program))
        .replace("@SETTINGS@", &own(&layout.router.settings))
        .replace("@KEYS@", &own(&layout.router.keys))
}

/// The first settings file: what the installation was called with, and where the models are.
///
/// Without a key there is no router: an address of one would then be a fault.
pub(super) fn config(settings: &Settings, has_key: bool, engine: Option<&Path>, models: PathBuf) -> String {
    let text = |text: &str| toml_text(text);
    let mut file = "# Written by `auxot-worker install`; config/auxot-worker.toml explains every key.\n".to_owned();
    if has_key {
        file.push_str(&format!("\n[router]\nurl = {}\n", text(&settings.router.url)));
    }
    if settings.gateway.is_on() {
        let addresses: Vec<String> = settings.gateway.addr.iter().map(|address| text(&address.to_string())).collect();
        file.push_str(&format!("\n[gateway]\naddr = [{}]\n", addresses.join(", ")));
    }
    if !settings.fleet.autoload.is_empty() {
        let names: Vec<String> = settings.fleet.autoload.iter().map(|name| text(name)).collect();
        file.push_str(&format!("\n[fleet]\nautoload = [{}]\n", names.join(", ")));
    }
    file.push_str(&format!("\n[catalog]\nmodels_dir = [{}]\n", text(&models.display().to_string())));
    if let Some(engine) = engine {
        file.push_str(&format!("\n[engine]\nbinary = {}\n", text(&engine.display().to_string())));
    }
    file
}

fn toml_text(text: &str) -> String {
    // JSON's escapes are TOML's.
    serde_json::Value::from(text).to_string()
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::ServiceRequest;

    fn layout(user: bool, groups: &str) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/group"), groups).unwrap();
        let layout = Layout::new(&ServiceRequest { user, root: Some(root.path().to_path_buf()), router: None });
        (root, layout)
    }

    #[test]
    fn a_unit_has_the_key_s_path_only_and_the_groups_of_the_host() {
        let (_root, system) = layout(false, "root:x:0:\nrender:x:104:\n");
        let settings = Settings::default();
        let text = text(&system, &settings, true);
        for line in [
            "ExecStart=/usr/local/bin/auxot-worker --config /etc/auxot/auxot-worker.toml",
            "LoadCredential=worker-key:/etc/auxot/worker-key",
            "Environment=AUXOT_GPU_KEY_FILE=%d/worker-key",
            "SupplementaryGroups=render",
            "KillMode=mixed",
            "TimeoutStopSec=45s",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(!text.contains('@') || !text.contains("@PROGRAM@"));
        let (_root, plain) = layout(false, "root:x:0:\n");
        let text = super::text(&plain, &settings, false);
        assert!(!text.contains("SupplementaryGroups") && !text.contains("LoadCredential"), "{text}");
    }

    #[test]
    fn the_commands_find_the_service() {
        let (_root, system) = layout(false, "");
        let text = text(&system, &Settings::default(), false);
        let directory = text.lines().find_map(|line| line.strip_prefix("RuntimeDirectory=")).unwrap();
        let base = Path::new("/run").join(directory).join("engines");
        assert!(auxot_engine::runtime_bases(None).contains(&base), "{}", base.display());
    }

    #[test]
    fn no_placeholder_is_left() {
        for user in [false, true] {
            let (_root, layout) = layout(user, "video:x:44:\n");
            let texts = text(&layout, &Settings::default(), true) + &router(&layout);
            for name in ["@PROGRAM@", "@CONFIG@", "@STOP@", "@GROUPS@", "@CREDENTIAL@", "@LOG@", "@SETTINGS@", "@KEYS@"]
            {
                assert!(!texts.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn the_first_settings_can_be_loaded() {
        let mut settings = Settings::default();
        settings.router.url = "router \"x\"".to_owned();
        settings.fleet.autoload = vec!["a".to_owned(), "b".to_owned()];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auxot-worker.toml");
        std::fs::write(&file, config(&settings, true, Some(Path::new("/bin/true")), folder.path().to_path_buf()))
            .unwrap();
        let sources = auxot_settings::Sources { config: Some(file), ..auxot_settings::Sources::default() };
        let loaded = Settings::load_for_inspection(&sources).unwrap_or_else(|faults| panic!("{faults}")).value;
        assert_eq!((loaded.router.url, loaded.fleet.autoload), (settings.router.url, settings.fleet.autoload));
        assert_eq!(loaded.catalog.models_dir, [folder.path()]);
    }
}
