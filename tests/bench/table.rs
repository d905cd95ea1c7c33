//! The figures as a table and as JSON.

use std::path::Path;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::compare::{Compared, WORST_RATIO};
use crate::figure::{Bound, Figure};

pub(crate) fn print(figures: &[Figure]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["figure", "unit", "worker", "direct", "bound", "", "Go worker"]);
    for figure in figures {
        let bound = match figure.bound {
            Bound::AtMost(bound) => format!("≤ {}", shown(bound)),
            Bound::AtLeast(bound) => format!("≥ {}", shown(bound)),
        };
        let stretch = figure.stretch.map(|stretch| format!(", stretch {}", shown(stretch))).unwrap_or_default();
        let or_dash = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), shown);
        table.add_row([
            figure.name.to_owned(),
            figure.unit.to_owned(),
            shown(figure.value),
            or_dash(figure.direct),
            bound + &stretch,
            if figure.holds() { "pass" } else { "MISS" }.to_owned(),
            or_dash(figure.go_worker),
        ]);
    }
    for column in [2, 3, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
}

/// The figures of two builds.
pub(crate) fn print_compared(figures: &[Compared]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["figure", "unit", "base", "this build", "ratio", ""]);
    for figure in figures {
        let (name, unit) = (figure.name.clone(), figure.unit.clone());
        let verdict = if figure.ratio <= WORST_RATIO { "pass" } else { "MISS" };
        table.add_row([
            name,
            unit,
            shown(figure.base),
            shown(figure.value),
            format!("{:.2}", figure.ratio),
            verdict.to_owned(),
        ]);
    }
    for column in 2..=4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
}

/// Three significant digits.
fn shown(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 0.1 => 4,
        small if small < 1.0 => 3,
        small if small < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// Writes `latest.json` beside this file.
pub(crate) fn write(figures: &[Figure], load_average: [f64; 2]) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/latest.json");
    let rows: Vec<_> = figures
        .iter()
        .map(|figure| {
            let mut row = json!(figure);
            row["holds"] = json!(figure.holds());
            row
        })
        .collect();
    let whole = json!({
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "load_average": {"before": load_average[0], "after": load_average[1]},
        "log_level": std::env::var("AUXOT_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned()),
        "figures": rows,
    });
    let text = serde_json::to_string_pretty(&whole)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
