//! Figures over time: the first, least, greatest and last value of each, its growth, and a sparkline.

use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// The levels of the sparkline, and its width.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const WIDTH: usize = 40;

/// One figure at many times.
#[derive(Debug)]
pub(crate) struct Series {
    name: String,
    values: Vec<(Duration, f64)>,
}

impl Series {
    pub(crate) fn new(name: &str) -> Series {
        Series { name: name.to_owned(), values: Vec::new() }
    }

    pub(crate) fn note(&mut self, at: Duration, value: f64) {
        self.values.push((at, value));
    }

    pub(crate) fn first(&self) -> Option<f64> {
        self.values.first().map(|(_, value)| *value)
    }

    /// The mean of one part of the values: of `parts`, number `part`.
    pub(crate) fn mean_of(&self, part: usize, parts: usize) -> Option<f64> {
        let count = self.values.len();
        let values = &self.values[count * part / parts..count * (part + 1) / parts];
        (!values.is_empty()).then(|| values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64)
    }

    /// The slope of the straight line that fits best, for an hour.
    fn per_hour(&self) -> Option<f64> {
        let count = self.values.len() as f64;
        let mean = |of: fn(&(Duration, f64)) -> f64| self.values.iter().map(of).sum::<f64>() / count;
        let (time, value) = (mean(|(at, _)| at.as_secs_f64()), mean(|(_, value)| *value));
        let across: f64 = self.values.iter().map(|(at, v)| (at.as_secs_f64() - time) * (v - value)).sum();
        let along: f64 = self.values.iter().map(|(at, _)| (at.as_secs_f64() - time).powi(2)).sum();
        (self.values.len() > 2 && along > 0.0).then(|| across / along * 3600.0)
    }

    /// The values as a sparkline.
    fn picture(&self) -> String {
        let (least, most) = self.bounds();
        let parts = self.values.len().min(WIDTH);
        let step = |value: f64| {
            let share = if most > least { (value - least) / (most - least) } else { 0.0 };
            STEPS[((share * 7.0).round() as usize).min(7)]
        };
        (0..parts).filter_map(|part| self.mean_of(part, parts)).map(step).collect()
    }

    /// The least and the most.
    pub(crate) fn bounds(&self) -> (f64, f64) {
        let values = || self.values.iter().map(|(_, value)| *value);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// All series, as a table.
pub(crate) fn table(series: &[&Series], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["figure", "first", "least", "most", "last", "per hour", ""]);
    for one in series.iter().filter(|one| !one.values.is_empty()) {
        let (least, most) = one.bounds();
        let last = one.values.last().map_or(0.0, |(_, value)| *value);
        let figures = [one.first().unwrap_or_default(), least, most, last].map(shown);
        let growth = one.per_hour().map_or_else(|| "–".to_owned(), |growth| format!("{growth:+.1}"));
        table.add_row([one.name.clone()].into_iter().chain(figures).chain([growth, one.picture()]));
    }
    for column in 1..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(f, "{table}")
}

/// Counts as counts, sizes with one digit.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
