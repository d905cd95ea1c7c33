//! The results: kept as JSON, row by row, and printed as a table.

use std::path::PathBuf;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::expected::{Expected, rows};
use crate::moment::Moment;
use crate::row::{name, seconds};

/// The result of a row.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    fault: String,
    cells: Vec<Cell>,
    /// From the fault, or from its removal, to a new answer: the longest of the row.
    worst_recovery_s: Option<f64>,
}

/// The result of a cell.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    moment: String,
    expected: String,
    recovery_s: Option<f64>,
    /// Why the combination does not exist.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    senseless: Option<String>,
    /// The difference from the expected outcome.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    broken: Option<String>,
}

impl Cell {
    fn new(moment: Moment, expected: &str) -> Cell {
        let (moment, expected) = (moment.name().to_owned(), expected.to_owned());
        Cell { moment, expected, recovery_s: None, senseless: None, broken: None }
    }

    /// A cell that does not exist.
    pub(crate) fn senseless(moment: Moment, reason: &str) -> Cell {
        Cell { senseless: Some(reason.to_owned()), ..Cell::new(moment, "–") }
    }

    /// A cell with the expected outcome.
    pub(crate) fn held(moment: Moment, expected: Expected, recovery: Duration) -> Cell {
        Cell { recovery_s: Some(seconds(recovery)), ..Cell::new(moment, expected.word()) }
    }

    /// A cell with another outcome.
    pub(crate) fn broken(moment: Moment, expected: Expected, words: String) -> Cell {
        Cell { broken: Some(words), ..Cell::new(moment, expected.word()) }
    }

    fn shown(&self) -> String {
        match (&self.broken, self.recovery_s) {
            (Some(_), _) => format!("NOT {}", self.expected),
            (None, Some(recovery)) => format!("{} {recovery:.1}", self.expected),
            (None, None) => self.expected.clone(),
        }
    }
}

impl Row {
    /// A row of cells in any order.
    pub(crate) fn new(name: String, mut cells: Vec<Cell>) -> Row {
        cells.sort_by_key(|cell| Moment::ALL.iter().position(|moment| moment.name() == cell.moment));
        let worst_recovery_s = cells.iter().filter_map(|cell| cell.recovery_s).reduce(f64::max);
        Row { fault: name, cells, worst_recovery_s }
    }

    /// The cells with another outcome than expected, one paragraph each.
    pub(crate) fn faults(&self) -> String {
        let cells = self.cells.iter().filter_map(|cell| Some((cell, cell.broken.as_ref()?)));
        let lines = cells.map(|(cell, words)| format!("{} × {}: {words}", self.fault, cell.moment));
        lines.collect::<Vec<_>>().join("\n\n")
    }

    /// Writes it to the target folder.
    pub(crate) fn write(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(folder())?;
        std::fs::write(file(&self.fault), serde_json::to_string_pretty(self)? + "\n")
    }
}

/// The rows of the last runs, in the order of the table.
pub(crate) fn read() -> Vec<Row> {
    let row = |(fault, actor)| serde_json::from_slice(&std::fs::read(file(&name(fault, actor))).ok()?).ok();
    rows().filter_map(row).collect()
}

/// Prints the table, aligned, with notes below it.
pub(crate) fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["fault"].into_iter().chain(Moment::ALL.map(Moment::name)).chain(["worst"]));
    for row in rows {
        let worst = row.worst_recovery_s.map_or_else(|| "–".to_owned(), |worst| format!("{worst:.1} s"));
        let cell = |moment: Moment| row.cells.iter().find(|cell| cell.moment == moment.name());
        let cells = Moment::ALL.map(|moment| cell(moment).map_or_else(String::new, Cell::shown));
        table.add_row([row.fault.clone()].into_iter().chain(cells).chain([worst]));
    }
    if let Some(column) = table.column_mut(Moment::ALL.len() + 1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{table}\n");
    let cells = || rows.iter().flat_map(|row| &row.cells);
    let (broken, senseless) =
        (cells().filter(|cell| cell.broken.is_some()), cells().filter(|cell| cell.senseless.is_some()));
    println!(
        "{} cells, {} without sense, {} not as expected; seconds from the fault, or from its mending, to a fresh answer",
        cells().count(),
        senseless.count(),
        broken.count()
    );
    let mut reasons: Vec<String> = rows
        .iter()
        .flat_map(|row| row.cells.iter().map(move |cell| (row, cell)))
        .filter_map(|(row, cell)| Some(format!("– {} × {}: {}", row.fault, cell.moment, cell.senseless.as_ref()?)))
        .collect();
    reasons.dedup();
    println!("{}", reasons.join("\n"));
}

/// `target/chaos`, beside the folder of the profile that this runs from.
fn folder() -> PathBuf {
    let me = std::env::current_exe().unwrap_or_default();
    me.ancestors().nth(3).map(|target| target.join("chaos")).unwrap_or_default()
}

fn file(fault: &str) -> PathBuf {
    folder().join(format!("{}.json", fault.replace([' ', ','], "-")))
}
