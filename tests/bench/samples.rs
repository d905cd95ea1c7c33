//! Many measurements of one quantity, and their statistics.

/// Measurements in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Calls a function with each.
    pub(crate) fn each(&self, call: impl FnMut(f64)) {
        self.0.iter().copied().for_each(call);
    }

    /// The quantile of a share, for instance 0.99; NaN without measurements, which is within no bound.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn worst(&self) -> f64 {
        self.quantile(1.0)
    }
}
