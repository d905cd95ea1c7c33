//! The commands that inspect this host and exit: `models`, `models show`, `fit`, `doctor`, `config show`, `config import`; `pull`; those that ask a running
//! worker, such as `status` and `load`; and `keys`, for API keys of local clients.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use auxot_catalog::KvType;
use auxot_settings::{SettingFault, Sources};
use clap::ArgMatches;

use super::{flag_fault, take_settings};

/// One inspection command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Whether the output is JSON.
    pub(crate) json: bool,
    pub(crate) what: Target,
}

/// What it inspects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// All models.
    Models,
    /// One model, by any of its names.
    Show(String),
    /// Whether and how a model fits.
    Fit(FitRequest),
    /// Downloads a model.
    Pull(PullRequest),
    /// Compares downloaded files with what was downloaded: one model, by any of its names, or all.
    Verify {
        /// The model; `None` is all.
        name: Option<String>,
        /// Whether damaged blocks are fetched again.
        repair: bool,
    },
    /// Removes a downloaded model, by any of its names.
    Remove(String),
    /// What is wrong on this host; with a bundle, what of it will not work here.
    Doctor(Option<BundleRequest>),
    /// The state of the running worker.
    Status {
        /// Whether it is shown again and again, until the command is interrupted.
        watch: bool,
    },
    /// A command for models of the running worker.
    Command {
        /// The command.
        verb: &'static str,
        /// Any name of the model; `reset` without one is for all that have failed.
        model: Option<String>,
        /// Whether the command waits until the model is loaded.
        wait: bool,
    },
    /// Jobs that run, and that have ended.
    Jobs,
    /// What has happened.
    Events {
        /// Whether further events are awaited, until the command is interrupted.
        follow: bool,
    },
    /// What the engines of a model have printed.
    Logs {
        /// Any name of the model.
        model: String,
        /// The most kept lines.
        lines: usize,
        /// Whether further lines are awaited, until the command is interrupted.
        follow: bool,
    },
    /// The worker finishes its jobs and ends.
    Drain,
    /// A link to the page, or a token for its address.
    Page {
        /// Whether a token is wanted.
        token: bool,
    },
    /// Tools for an agent, on standard input and output.
    Mcp,
    /// The worker reads its settings again.
    Reload,
    /// How much the worker logs, or is to log.
    LogLevel(Option<String>),
    /// A picture of the running worker that changes.
    Top,
    /// The effective settings, with their sources.
    Config,
    /// Settings made from a configuration file of another program.
    Import(PathBuf),
    /// API keys of local clients.
    Keys(KeyCommand),
    /// Installs the worker as a service, or upgrades it.
    Install(ServiceRequest),
    /// Removes the service.
    Uninstall(ServiceRequest),
    /// Lists the installed services.
    Services,
    /// Checks a bundle for a host without a network.
    Bundle(BundleRequest),
}

/// What is done with API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyCommand {
    /// A key of this name is made.
    Create(String),
    /// All are listed.
    List,
    /// The key of this name is removed.
    Revoke(String),
}

/// The commands for one model of the running worker, each with its help.
pub(super) const VERBS: [(&str, &str); 5] = [
    ("load", "Load a model now; a failed one is tried again"),
    ("unload", "Unload a model; its jobs may finish, and the next job loads it again"),
    ("pin", "Never evict a model, until the worker ends"),
    ("unpin", "Let a model be evicted, until the worker ends"),
    ("reset", "Try a failed model again now; without a name, all of them"),
];

/// The other commands that inspect this host or ask the running worker.
const OTHERS: [&str; 20] = [
    "page",
    "mcp",
    "models",
    "fit",
    "pull",
    "install",
    "uninstall",
    "list",
    "bundle",
    "doctor",
    "config",
    "keys",
    "status",
    "jobs",
    "events",
    "logs",
    "drain",
    "reload",
    "log-level",
    "top",
];

/// All commands that inspect this host or ask the running worker.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    VERBS.iter().map(|(verb, _)| *verb).chain(OTHERS)
}

/// Whether a word is one of these commands.
pub(super) fn is_command(word: &str) -> bool {
    names().any(|name| name == word)
}

/// The model of `fit` and how it should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FitRequest {
    /// Any name of the model.
    pub(crate) name: String,
    /// Context of one slot in tokens.
    pub(crate) ctx: Option<u32>,
    /// Parallel requests.
    pub(crate) slots: Option<u32>,
    /// Type of the cache; `None` for the type of the settings.
    pub(crate) kv_type: Option<KvType>,
}

/// The model of `pull` and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullRequest {
    /// A repository, an address, a file or a name.
    pub(crate) source: String,
    /// The folder; `None` for the first models folder.
    pub(crate) folder: Option<PathBuf>,
    /// Whether only what would be downloaded is shown.
    pub(crate) dry_run: bool,
}

/// A bundle, and whose signature it must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BundleRequest {
    /// The tar file.
    pub(crate) file: PathBuf,
    /// The file of trusted keys; `None` is that of an earlier installation, where there is one.
    pub(crate) signers: Option<PathBuf>,
}

/// The service of `install` and `uninstall`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceRequest {
    /// Whether it is a service of this user, not of the system.
    pub(crate) user: bool,
    /// The root of another system, for which files are written and nothing is started.
    pub(crate) root: Option<PathBuf>,
    /// The address of a router that is installed too.
    pub(crate) router: Option<SocketAddr>,
}

impl Inspection {
    /// Reads an inspection command and the settings in its arguments; the path is that of `--config`.
    pub(super) fn read(
        matches: &ArgMatches,
        sources: &mut Sources,
        faults: &mut Vec<SettingFault>,
    ) -> Option<(Option<PathBuf>, Self)> {
        let (command, inner) = matches.subcommand().filter(|(name, _)| is_command(name))?;
        let mut path = None;
        let mut take = |matches: &ArgMatches| {
            take_settings(matches, sources, faults);
            let config = matches.get_one::<OsString>("config").filter(|path| !path.is_empty());
            path = config.map(PathBuf::from).or(path.take());
        };
        take(inner);
        let mut json = inner.get_flag("json");
        if let Some((_, more)) = inner.subcommand() {
            take(more);
            json |= more.get_flag("json");
        }
        if command == "fit" {
            let what = Target::Fit(fit_request(inner, faults));
            return Some((path, Self { json, what }));
        }
        let what = match inner.subcommand() {
            Some((name, more)) => target(command, Some(name), more),
            None => target(command, None, inner),
        };
        Some((path, Self { json, what }))
    }
}

/// The value of the argument `name`.
fn name(matches: &ArgMatches) -> Option<String> {
    matches.get_one::<String>("name").cloned()
}

fn fit_request(matches: &ArgMatches, faults: &mut Vec<SettingFault>) -> FitRequest {
    let kv_type = matches.get_one::<OsString>("kv-type").and_then(|text| {
        let known = text.to_string_lossy().parse().map_err(|fault: String| flag_fault("kv-type", fault));
        known.map_err(|fault| faults.push(fault)).ok()
    });
    let number = |name| matches.get_one::<u32>(name).copied();
    FitRequest { name: name(matches).unwrap_or_default(), ctx: number("ctx"), slots: number("slots"), kv_type }
}

/// The bundle that a command is about.
fn bundle_request(matches: &ArgMatches) -> Option<BundleRequest> {
    let path = |name| matches.try_get_one::<OsString>(name).ok().flatten().filter(|path| !path.is_empty());
    Some(BundleRequest { file: path("file")?.into(), signers: path("signers").map(PathBuf::from) })
}

fn service_request(matches: &ArgMatches) -> ServiceRequest {
    let root = matches.get_one::<OsString>("root").filter(|path| !path.is_empty()).map(PathBuf::from);
    let router = matches.try_get_one::<SocketAddr>("with-router").ok().flatten().copied();
    ServiceRequest { user: matches.get_flag("user"), root, router }
}

/// What a command other than `fit` is about; the arguments are those of its subcommand, where it has one.
fn target(command: &str, subcommand: Option<&str>, matches: &ArgMatches) -> Target {
    let named = || name(matches).unwrap_or_default();
    let flag = |name| matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    match (command, subcommand) {
        ("keys", Some("create")) => Target::Keys(KeyCommand::Create(named())),
        ("keys", Some("revoke")) => Target::Keys(KeyCommand::Revoke(named())),
        ("keys", _) => Target::Keys(KeyCommand::List),
        ("models", Some("verify")) => Target::Verify { name: name(matches), repair: flag("repair") },
        ("models", Some("rm")) => Target::Remove(named()),
        ("models", Some(_)) => Target::Show(named()),
        ("install", _) => Target::Install(service_request(matches)),
        ("uninstall", _) => Target::Uninstall(service_request(matches)),
        ("list", _) => Target::Services,
        ("bundle", _) => Target::Bundle(bundle_request(matches).unwrap_or_default()),
        ("pull", _) => {
            let folder = matches.get_one::<OsString>("to").filter(|path| !path.is_empty()).map(PathBuf::from);
            Target::Pull(PullRequest { source: named(), folder, dry_run: flag("dry-run") })
        }
        ("doctor", _) => Target::Doctor(bundle_request(matches)),
        ("config", Some("import")) => Target::Import(PathBuf::from(named())),
        ("config", _) => Target::Config,
        ("status", _) => Target::Status { watch: flag("watch") },
        ("jobs", _) => Target::Jobs,
        ("events", _) => Target::Events { follow: flag("follow") },
        ("logs", _) => {
            let lines = matches.get_one::<u32>("lines").copied().unwrap_or(u32::MAX);
            Target::Logs { model: named(), lines: lines as usize, follow: flag("follow") }
        }
        ("page", _) => Target::Page { token: flag("token") },
        ("mcp", _) => Target::Mcp,
        ("drain", _) => Target::Drain,
        ("reload", _) => Target::Reload,
        ("log-level", _) => Target::LogLevel(name(matches)),
        ("top", _) => Target::Top,
        _ => match VERBS.iter().find(|(verb, _)| *verb == command) {
            Some((verb, _)) => Target::Command { verb, model: name(matches), wait: flag("wait") },
            None => Target::Models,
        },
    }
}
