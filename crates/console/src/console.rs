//! The output of a command: its width and its colours. A closed output is not a failure.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Width of a terminal that does not report one.
const WIDTH: usize = 100;
/// A table needs at least this width.
const NARROWEST: usize = 40;

/// The output of the command.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// Columns; `None` where no width is known and another program reads.
    pub width: Option<usize>,
    colours: bool,
}

/// The kind of a piece of text, which selects its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
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
    /// All other needs.
    Work,
}

impl Console {
    /// The output of this program.
    #[must_use]
    pub fn of_this_program() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let columns = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|_| terminal).map(|size| size.ws_col);
        let columns = columns.filter(|columns| *columns > 0).map(usize::from);
        let from_columns = || variable("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
        let plain = variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|term| term == "dumb");
        let unknown = terminal.then_some(WIDTH);
        let width = columns.or_else(from_columns).or(unknown).map(|width| width.max(NARROWEST));
        Self { width, colours: terminal && !plain }
    }

    /// Columns for a bar chart.
    pub fn columns(&self) -> usize {
        self.width.unwrap_or(WIDTH)
    }

    /// An empty table as wide as the console.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // Output for another program is not wrapped.
        let is_read = self.width.is_none();
        table.set_content_arrangement(if is_read { ContentArrangement::Disabled } else { ContentArrangement::Dynamic });
        if let Some(width) = self.width {
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        table
    }

    /// A console whose text another program shows.
    pub fn without_colours() -> Self {
        Self { width: None, colours: false }
    }

    /// A console of a fixed width without colours.
    #[must_use]
    pub fn fixed_width(width: usize) -> Self {
        Self { width: Some(width), colours: false }
    }

    /// Colours a piece of text, where colours are on.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
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

    /// Prints the result. A closed output is not a failure of this program.
    #[allow(clippy::unused_self, reason = "printing belongs to the console")]
    pub fn print(&self, text: &str) {
        let _ = writeln!(io::stdout(), "{}", text.trim_end());
    }

    /// Prints one line of many; whether the output is still open.
    #[allow(clippy::unused_self, reason = "printing belongs to the console")]
    pub fn print_line(&self, text: &str) -> bool {
        let mut output = io::stdout().lock();
        writeln!(output, "{text}").and_then(|()| output.flush()).is_ok()
    }

    /// Prints why there is no result.
    #[allow(clippy::unused_self, reason = "printing belongs to the console")]
    pub fn print_error(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Aligns columns of numbers.
pub fn align_right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
