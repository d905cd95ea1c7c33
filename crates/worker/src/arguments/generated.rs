//! What is generated from the command line's description: completions for shells, and manual pages.

use std::path::Path;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use clap_mangen::Man;

/// The commands that print what is generated.
pub(super) fn commands() -> [Command; 2] {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(["bash", "zsh", "fish"]);
    let dir = Arg::new("dir").long("dir").value_name("DIR").value_parser(value_parser!(String));
    [
        Command::new("completions")
            .about("Print the completions for a shell")
            .after_help("bash: auxot-worker completions bash > ~/.local/share/bash-completion/completions/auxot-worker")
            .arg(shell.help("bash, zsh or fish")),
        Command::new("man")
            .about("Print the manual page, or write those of all commands")
            .after_help("auxot-worker man | man -l -")
            .arg(dir.help("Write the pages of all commands into this folder, which must exist")),
    ]
}

/// Whether one of these commands was given.
pub(super) fn is_wanted(matches: &ArgMatches) -> bool {
    matches!(matches.subcommand_name(), Some("completions" | "man"))
}

/// What is to be printed.
pub(super) fn text(mut command: Command, matches: &ArgMatches) -> Result<String, String> {
    match matches.subcommand() {
        Some(("completions", arguments)) => {
            let shell = match arguments.get_one::<String>("shell").map(String::as_str) {
                Some("zsh") => Shell::Zsh,
                Some("fish") => Shell::Fish,
                _ => Shell::Bash,
            };
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, "auxot-worker", &mut text);
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Some((_, arguments)) => match arguments.get_one::<String>("dir") {
            Some(dir) => write_pages(command, Path::new(dir)),
            None => page(command).map_err(|fault| format!("cannot write the page: {fault}")),
        },
        None => Ok(String::new()),
    }
}

fn page(command: Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn write_pages(command: Command, dir: &Path) -> Result<String, String> {
    clap_mangen::generate_to(command, dir)
        .map(|()| format!("manual pages are in {}", dir.display()))
        .map_err(|fault| format!("cannot write manual pages to {}: {fault}", dir.display()))
}
