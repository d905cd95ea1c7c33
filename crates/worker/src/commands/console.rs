//! Where a command speaks: how wide it is, whether a person sees colours there, and that nobody may be listening.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

/// Width of a terminal that does not say how wide it is.
const WIDTH: usize = 100;
/// Narrower than this no table can be read.
const NARROWEST: usize = 40;

/// The command's output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    /// Columns; `None` where nobody said how many, and another program reads.
    pub(super) width: Option<usize>,
    colours: bool,
}

/// What a piece of text is, for those who see colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// A heading or a name.
    Strong,
    /// What matters less.
    Faint,
    /// Good news, and weights.
    Good,
    /// Bad news.
    Bad,
    /// The cache.
    Cache,
    /// Everything else that is needed.
    Work,
}

impl Console {
    pub(super) fn of_this_program() -> Self {
        let told = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let columns = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|_| terminal).map(|size| size.ws_col);
        let columns = columns.filter(|columns| *columns > 0).map(usize::from);
        let said = || told("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
        let plain = told("NO_COLOR").is_some() || told("TERM").is_some_and(|term| term == "dumb");
        let unknown = terminal.then_some(WIDTH);
        let width = columns.or_else(said).or(unknown).map(|width| width.max(NARROWEST));
        Self { width, colours: terminal && !plain }
    }

    /// Columns that a picture may take.
    pub(super) fn columns(&self) -> usize {
        self.width.unwrap_or(WIDTH)
    }

    /// A console of a width, as a file is one.
    #[cfg(test)]
    pub(super) fn plain(width: usize) -> Self {
        Self { width: Some(width), colours: false }
    }

    /// Paints a piece of text, where somebody sees it.
    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colours || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Strong => "1",
            Paint::Faint => "2",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Cache => "36",
            Paint::Work => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Writes the answer. A reader that has gone away is no failure of ours.
    #[allow(clippy::unused_self, reason = "the console speaks")]
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(io::stdout(), "{}", text.trim_end());
    }

    /// Writes why there is no answer.
    #[allow(clippy::unused_self, reason = "the console speaks")]
    pub(super) fn complain(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }
}
