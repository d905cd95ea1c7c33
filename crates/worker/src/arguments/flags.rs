//! The flags for clap, and clap's errors in the form of the settings' faults.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::LazyLock;

use auxot_settings::{Defaults, NAMES, Origin, SettingFault, SettingName, Settings, nearest};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::generated;
use super::help::{
    AFTER_ASKING, AFTER_DOCTOR, AFTER_HELP, AFTER_IMPORT, AFTER_INSPECTION, AFTER_KEYS, AFTER_PULL, AFTER_SERVICE,
    AFTER_VERIFY, SIGNERS, SOURCES,
};
use super::inspection::{VERBS, names};

/// The result of clap for a command line.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The flags that were parsed.
    pub(super) matches: Option<ArgMatches>,
    /// The arguments that were not.
    pub(super) faults: Vec<SettingFault>,
    /// The help or version text, if requested.
    pub(super) print: Option<String>,
}

/// Parses the whole command line. clap stops at the first error, so each faulty argument is removed and reported until
/// the rest can be parsed.
pub(super) fn parse(mut words: Vec<OsString>) -> Parsed {
    let mut parsed = Parsed::default();
    loop {
        match command().try_get_matches_from(&words) {
            Ok(matches) if matches.subcommand_name() == Some("version") => {
                parsed.print = Some(command().render_version());
            }
            Ok(matches) if generated::is_wanted(&matches) => match generated::text(command(), &matches) {
                Ok(text) => parsed.print = Some(text),
                Err(text) => parsed.faults.push(super::flag_fault("dir", text)),
            },
            Ok(matches) => parsed.matches = Some(matches),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                parsed.print = Some(error.render().to_string());
            }
            Err(error) => {
                let word = faulty_argument(&error).unwrap_or_default();
                parsed.faults.push(fault(&error, &word));
                if remove_argument(&mut words, &word) {
                    continue;
                }
            }
        }
        return parsed;
    }
}

fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(OsString)).help(help)
    };
    Command::new("auxot-worker")
        .version(VERSION.as_str())
        .about("Serves the models of this host's GPUs to an Auxot router")
        .after_help(AFTER_HELP)
        .subcommand(Command::new("version").about("Print the version"))
        .subcommand(models())
        .subcommand(
            inspecting("fit", "Show whether and how a model fits on this host's devices")
                .arg(Arg::new("name").value_name("MODEL").required(true).help("Any name of the model"))
                .arg(number(
                    "ctx",
                    "TOKENS",
                    "Context of one slot; default: ctx_size of the settings, else 8192 at most",
                ))
                .arg(number("slots", "N", "Parallel requests; default: slots of the settings, else 4"))
                .arg(text("kv-type", "TYPE", "Type of the cache: f16, q8_0, q4_0, …")),
        )
        .subcommand(pull())
        .subcommands(services())
        .subcommand(bundle())
        .subcommand(
            inspecting("doctor", "Check engine, devices, models, router, ports and folders, each with what to do")
                .after_help(AFTER_DOCTOR)
                .arg(
                    path("file", "FILE")
                        .long("bundle")
                        .help("What of this bundle will not work here, before it is installed"),
                )
                .arg(signers()),
        )
        .subcommands(asking_commands())
        .subcommand(config())
        .subcommand(keys())
        .subcommands(generated::commands())
        .arg(text("type", "TYPE", "Kind of worker; `gpu` is the only one").default_value("gpu"))
        .arg(text("config", "FILE", "Configuration file, which must exist [AUXOT_CONFIG]"))
        .arg(
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Print the effective settings and the source of each, without secrets"),
        )
        .arg(
            text("debug", "1|2", "Log more: 1 is --log-level debug, 2 is trace")
                .num_args(0..=1)
                .default_missing_value("1"),
        )
        .args(shown_settings())
        .args(old_flags())
}

/// The commands for the running worker.
fn asking_commands() -> Vec<Command> {
    let switch = |name: &'static str, short: Option<char>, help: &'static str| {
        Arg::new(name).long(name).short(short).action(ArgAction::SetTrue).help(help)
    };
    let model = || Arg::new("name").value_name("MODEL").help("Any name of the model");
    let follow = || switch("follow", Some('f'), "Show what comes, too, until interrupted");
    let verbs = VERBS.iter().map(|(verb, about)| {
        let command = asking(verb, about).arg(model().required(*verb != "reset"));
        match *verb {
            "load" => command.arg(switch("wait", None, "Show the progress and wait until the model is loaded")),
            _ => command,
        }
    });
    let others = [
        asking("status", "Show the running worker: router, devices, models").arg(switch(
            "watch",
            None,
            "Show it again every second",
        )),
        asking("top", "Show the running worker as a picture that changes, and steer its models by keys"),
        asking("jobs", "Show the jobs that run, and the newest that have ended"),
        asking("events", "Show what has happened to models, engines and the router").arg(follow()),
        asking("logs", "Show what the engines of a model have printed, also of one that has failed")
            .arg(model().required(true))
            .arg(number("lines", "N", "The most kept lines").short('n'))
            .arg(follow()),
        asking("page", "Print a link that opens the worker's page in a browser of this host, once").arg(switch(
            "token",
            None,
            "Print the address and a token for programs and agents instead",
        )),
        asking("mcp", "Serve the worker's tools to an agent over standard input and output (MCP)"),
        asking("drain", "Let the worker finish its jobs and end, as after SIGTERM"),
        asking("reload", "Let the worker read its settings again, and failed models be loaded again, as after SIGHUP"),
        asking("log-level", "Show or change how much the worker logs, until it ends")
            .arg(Arg::new("name").value_name("LEVEL").help("As log.level in the settings")),
    ];
    others.into_iter().chain(verbs).collect()
}

/// The commands for the models of this host.
fn models() -> Command {
    let name = || Arg::new("name").value_name("NAME").help("Any name of the model");
    let repair = Arg::new("repair").long("repair").action(ArgAction::SetTrue).help("Fetch damaged blocks again");
    inspecting("models", "List the models of this host")
        .subcommand(inspecting("show", "Show the details of one model").arg(name().required(true)))
        .subcommand(
            inspecting("verify", "Compare downloaded files with their SHA-256; without a name, those of all models")
                .after_help(AFTER_VERIFY)
                .arg(name())
                .arg(repair),
        )
        .subcommand(inspecting("rm", "Remove a downloaded model").after_help(AFTER_VERIFY).arg(name().required(true)))
}

/// The command that downloads.
fn pull() -> Command {
    let source = Arg::new("name").value_name("SOURCE").required(true).help(SOURCES);
    let to = Arg::new("to").long("to").value_name("DIR").value_parser(value_parser!(OsString)).help("Another folder");
    let dry_run = Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("Show what would be downloaded");
    inspecting("pull", "Download a model into the first models folder")
        .after_help(AFTER_PULL)
        .args([source, to, dry_run])
}

/// The commands for settings.
fn config() -> Command {
    let file = Arg::new("name").value_name("FILE").required(true);
    inspecting("config", "Show the effective settings, or import those of another program")
        .subcommand_required(true)
        .subcommand(inspecting("show", "Print the effective settings and the source of each, without secrets"))
        .subcommand(
            inspecting("import", "Print settings made from a configuration file of another program")
                .after_help(AFTER_IMPORT)
                .arg(file.help("A file of llama-swap (.yaml), or presets of llama-server's router mode (.ini)")),
        )
}

/// The commands for the worker as a service.
fn services() -> [Command; 3] {
    let service = |name, about| {
        let root = Arg::new("root").long("root").value_name("DIR").value_parser(value_parser!(OsString));
        inspecting(name, about)
            .after_help(AFTER_SERVICE)
            .arg(
                Arg::new("user")
                    .long("user")
                    .action(ArgAction::SetTrue)
                    .help("A service of this user, not of the system"),
            )
            .arg(root.help("The root of another system: write or remove its files, and start nothing"))
    };
    [
        service("install", "Install this program as a service, or upgrade the installed one, and start it").arg(
            Arg::new("with-router")
                .long("with-router")
                .value_name("ADDRESS")
                .value_parser(value_parser!(SocketAddr))
                .help("Install auxot-router too, with keys of its own, for clients that connect to this address"),
        ),
        service("uninstall", "Stop and remove the service; the models stay"),
        inspecting("list", "List the installed services").after_help(AFTER_SERVICE),
    ]
}

/// The commands for bundles.
fn bundle() -> Command {
    let file = path("file", "FILE").required(true);
    inspecting("bundle", "Check bundles for hosts without a network").subcommand_required(true).subcommand(
        inspecting("verify", "Compare each file of a bundle with the bundle's list of SHA-256, before unpacking it")
            .arg(file.help("The bundle, a tar file of `make airgap`"))
            .arg(signers()),
    )
}

/// A path.
fn path(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).value_name(value).value_parser(value_parser!(OsString))
}

/// Whose signatures count.
fn signers() -> Arg {
    path("signers", "FILE").long("signers").help(SIGNERS)
}

/// The commands for API keys.
fn keys() -> Command {
    let name = |help: &'static str| Arg::new("name").value_name("NAME").help(help);
    inspecting("keys", "Create, list and revoke API keys of local clients")
        .subcommand_required(true)
        .after_help(AFTER_KEYS)
        .subcommand(
            inspecting("create", "Create a key; it is shown once, and only its hash is stored")
                .after_help(AFTER_KEYS)
                .arg(name("Name of the key").default_value("default")),
        )
        .subcommand(inspecting("list", "List the stored keys; they cannot be shown again").after_help(AFTER_KEYS))
        .subcommand(
            inspecting("revoke", "Remove a key; a running worker notices it within seconds")
                .after_help(AFTER_KEYS)
                .arg(name("Name of the key").required(true)),
        )
}

/// A command that only inspects this host. It accepts the flags of all settings, hidden from its help.
fn inspecting(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .after_help(AFTER_INSPECTION)
        .disable_help_subcommand(true)
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
        .arg(Arg::new("config").long("config").value_parser(value_parser!(OsString)).hide(true))
        // Made for the command that is used only: they are some sixty for each.
        .defer(|command| command.args(NAMES.table.iter().map(|name| setting(name).hide(true))).args(old_flags()))
}

/// A command that asks the running worker.
fn asking(name: &'static str, about: &'static str) -> Command {
    inspecting(name, about).after_help(AFTER_ASKING)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(value_parser!(u32).range(1..)).help(help)
}

/// As printed: `v1.2.3 (0123abcdef)`.
static VERSION: LazyLock<String> = LazyLock::new(|| format!("v{}", auxot_settings::VERSION));

/// The flags of all settings with their help.
fn shown_settings() -> impl Iterator<Item = Arg> {
    let defaults = Defaults::of::<Settings>();
    NAMES.table.iter().map(move |name| setting(name).help(setting_help(name, &defaults)))
}

/// The flag of a setting, without its help.
fn setting(name: &SettingName) -> Arg {
    Arg::new(name.flag)
        .long(name.flag)
        .visible_aliases(name.alias)
        .value_name(name.value)
        .value_parser(value_parser!(OsString))
        // The setting refuses a negative number and names its key.
        .allow_negative_numbers(true)
}

fn setting_help(name: &SettingName, defaults: &Defaults) -> String {
    let default = defaults.text(name.key).filter(|text| text != "[]" && text != "\"\"");
    let default = default.map_or_else(String::new, |text| format!(", default {}", text.replace(['"', '[', ']'], "")));
    format!("{} [{}{default}]", name.help, name.variable)
}

/// The flags of settings under their old names, hidden from the help.
fn old_flags() -> impl Iterator<Item = Arg> {
    let flags = NAMES.renamed.iter().filter_map(|renamed| renamed.flat).map(|flat| flat.flag);
    flags.map(|flag| {
        Arg::new(flag).long(flag).value_parser(value_parser!(OsString)).allow_negative_numbers(true).hide(true)
    })
}

/// The argument of a clap error.
fn faulty_argument(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    kinds.iter().find_map(|kind| match error.get(*kind)? {
        // "--router-url <URL>": the flag and its placeholder.
        ContextValue::String(text) => text.split(' ').next().map(str::to_owned),
        ContextValue::Strings(texts) => texts.first()?.split(' ').next().map(str::to_owned),
        _ => None,
    })
}

fn fault(error: &clap::Error, word: &str) -> SettingFault {
    let flag = word.strip_prefix("--");
    let text = match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => {
            let known = command();
            let known = known.get_arguments().filter_map(Arg::get_long);
            match flag.and_then(|flag| nearest(flag, known)) {
                Some(near) => format!("unknown flag; did you mean --{near}?"),
                None if word.starts_with('-') => "unknown flag; --help lists the known ones".to_owned(),
                None => match command_like(word) {
                    Some(near) => format!("unknown command; did you mean {near}?"),
                    None => "unknown command; --help lists the known ones".to_owned(),
                },
            }
        }
        ErrorKind::InvalidValue => "the value is missing".to_owned(),
        ErrorKind::ValueValidation => "must be a whole number, 1 or more".to_owned(),
        ErrorKind::MissingRequiredArgument => "is missing".to_owned(),
        ErrorKind::TooManyValues => "takes no value".to_owned(),
        ErrorKind::ArgumentConflict => "set twice; keep one of the two".to_owned(),
        // Only the kind: clap's own message may contain a value.
        other => format!("cannot read this: {other}"),
    };
    let origin = match flag {
        Some(flag) => Origin::Flag(flag.to_owned()),
        None => Origin::Word(word.to_owned()),
    };
    SettingFault { origin, key: String::new(), text }
}

/// The command most similar to a word.
fn command_like(word: &str) -> Option<String> {
    let others = ["models show", "config show", "completions", "man", "version", "help"];
    nearest(&word.to_ascii_lowercase(), names().chain(others))
}

/// Removes the last such argument, together with its value.
fn remove_argument(words: &mut Vec<OsString>, word: &str) -> bool {
    let is = |candidate: &OsString| {
        let candidate = candidate.to_string_lossy();
        candidate == word || candidate.split_once('=').is_some_and(|(flag, _)| flag == word)
    };
    let Some(at) = words.iter().skip(1).rposition(is).map(|at| at + 1) else { return false };
    let taken = words.remove(at);
    let whole = taken.to_string_lossy().contains('=') || !word.starts_with('-');
    if !whole && words.get(at).is_some_and(|next| !next.to_string_lossy().starts_with('-')) {
        words.remove(at);
    }
    true
}
