//! One line of the table.

use serde::{Deserialize, Serialize};

/// A measured figure and its bound.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// With the worker between engine and router.
    pub value: f64,
    /// The same work done directly against the engine, if it can be.
    pub direct: Option<f64>,
    pub bound: Bound,
    /// A goal beyond the bound.
    pub stretch: Option<f64>,
    /// The figure of the upstream Go worker, if it has one.
    pub go_worker: Option<f64>,
}

/// The bound of a figure.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub(crate) fn at_most(name: &'static str, unit: &'static str, value: f64, bound: f64) -> Figure {
        let bound = Bound::AtMost(bound);
        Figure { name, unit, value, direct: None, bound, stretch: None, go_worker: None }
    }

    pub(crate) fn at_least(name: &'static str, unit: &'static str, value: f64, bound: f64) -> Figure {
        Figure { bound: Bound::AtLeast(bound), ..Figure::at_most(name, unit, value, bound) }
    }

    pub(crate) fn direct(self, direct: f64) -> Figure {
        Figure { direct: Some(direct), ..self }
    }

    pub(crate) fn stretch(self, stretch: f64) -> Figure {
        Figure { stretch: Some(stretch), ..self }
    }

    pub(crate) fn go(self, go_worker: f64) -> Figure {
        Figure { go_worker: Some(go_worker), ..self }
    }

    /// Whether the figure is within its bound.
    pub(crate) fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.value <= bound,
            Bound::AtLeast(bound) => self.value >= bound,
        }
    }
}
