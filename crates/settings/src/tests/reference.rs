//! `docs/configuration.md` is made from the types: the keys, defaults and variables of `config/auxot-worker.toml`, which the tests
//! of that file compare with them, the flags of the names, and when a new value is applied.

use std::fmt::Write;

use super::documented::{FILE, as_key};
use crate::change::When;
use crate::{NAMES, nested_variable};

/// With this variable the test writes the page; `make reference` sets it.
const WRITE: &str = "WRITE_REFERENCE";

const HEAD: &str = "\
# Configuration

Made by `make reference` from the settings' types; do not edit it. The same as a file to start from is
[config/auxot-worker.toml](../config/auxot-worker.toml).

Settings come from the defaults, the file ($XDG_CONFIG_HOME/auxot/auxot-worker.toml, else /etc/auxot/auxot-worker.toml, else the one that
`--config` or AUXOT_CONFIG names), the environment, and the command line, the later ones winning. `auxot-worker config show` prints the
effective settings and the source of each. A value that cannot be used ends the start with exit code 64, and all of them are listed.

Times are \"30s\", \"5m\", \"1h30m\", \"500ms\", or a bare number of seconds; sizes are \"512MiB\", \"20GiB\". Empty text is no value. *At once* means
that a running worker applies a new value when the file changes (not on macOS) or on SIGHUP; the others wait for a restart.
";

#[test]
fn the_page_is_made_of_the_present_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = page();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/configuration.md is not that of these settings: run `make reference`");
}

fn page() -> String {
    let (mut page, mut section, mut text) = (HEAD.to_owned(), String::new(), Vec::new());
    let mut table = Vec::new();
    // The comment at the start of the file is about all of it; a blank line ends each block.
    for line in FILE.lines().skip_while(|line| !line.starts_with("# ---")).chain([""]) {
        let shown = as_key(line).unwrap_or(line);
        if let Some(name) = shown.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            let _ = write!(page, "\n## [{name}]\n");
        } else if let Some((name, default)) = as_key(line).and_then(|key| key.split_once(" = ")) {
            table.push(row(&format!("{section}.{name}"), default));
        } else if line.is_empty() {
            block(&mut page, &mut text, &mut table);
        } else if !line.starts_with("# AUXOT_") && !line.starts_with("# ---") {
            text.push(line.trim_start_matches("# "));
        }
    }
    page
}

/// Writes an explanation and the keys that it is for.
fn block(page: &mut String, text: &mut Vec<&str>, table: &mut Vec<String>) {
    if !text.is_empty() {
        let _ = write!(page, "\n{}\n", text.join("\n"));
    }
    if !table.is_empty() {
        let _ = write!(
            page,
            "\n| key | default | variable and flag | applied |\n| --- | --- | --- | --- |\n{}",
            table.concat()
        );
    }
    text.clear();
    table.clear();
}

fn row(key: &str, default: &str) -> String {
    let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
    let names = match NAMES.table.iter().find(|name| name.key == key) {
        Some(name) => format!("{}, `--{}`", name.variable, name.flag),
        None => nested_variable(&parts),
    };
    let when = if When::of(&parts) == When::Now { "at once" } else { "at the next start" };
    let default = if default == "\"\"" { "not set".to_owned() } else { format!("`{}`", default.replace('|', "\\|")) };
    format!("| `{key}` | {default} | {names} | {when} |\n")
}
