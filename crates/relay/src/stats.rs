//! What the last minute of jobs was like, for the heartbeat: exact quantiles over a bounded window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back the figures look.
const WINDOW: Duration = Duration::from_secs(60);
/// Jobs remembered at most: a busier minute is described by its newest part.
const CAPACITY: usize = 1024;

/// One ended job, as far as the heartbeat is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ended: Instant,
    pub(crate) latency: Duration,
    pub(crate) first_token: Option<Duration>,
    pub(crate) tokens: u64,
}

/// The jobs of the last minute of one model.
#[derive(Debug, Default)]
pub(crate) struct Window {
    samples: VecDeque<Sample>,
}

/// The figures of one window; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) latency_p50: Option<Duration>,
    pub(crate) latency_p95: Option<Duration>,
    pub(crate) first_token_p50: Option<Duration>,
    pub(crate) tokens_per_second: Option<f64>,
}

impl Window {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.forget_before(sample.ended);
        if self.samples.len() == CAPACITY {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(crate) fn figures(&mut self, now: Instant) -> Figures {
        self.forget_before(now);
        let Some(oldest) = self.samples.front() else { return Figures::default() };
        let span = now.duration_since(oldest.ended).max(oldest.latency).max(Duration::from_millis(1));
        let tokens: u64 = self.samples.iter().map(|sample| sample.tokens).sum();
        let latencies = sorted(self.samples.iter().map(|sample| sample.latency));
        let first_tokens = sorted(self.samples.iter().filter_map(|sample| sample.first_token));
        Figures {
            latency_p50: quantile(&latencies, 50),
            latency_p95: quantile(&latencies, 95),
            first_token_p50: quantile(&first_tokens, 50),
            tokens_per_second: Some(tokens as f64 / span.min(WINDOW).as_secs_f64()),
        }
    }

    fn forget_before(&mut self, now: Instant) {
        while self.samples.front().is_some_and(|sample| now.duration_since(sample.ended) > WINDOW) {
            self.samples.pop_front();
        }
    }
}

fn sorted(values: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut values: Vec<Duration> = values.collect();
    values.sort_unstable();
    values
}

/// Nearest rank, the smallest value that at least `percent` of the values do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_and_old_jobs_are_forgotten() {
        let start = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.figures(start), Figures::default());
        for job in 1..=100_u32 {
            window.add(Sample {
                ended: start,
                latency: Duration::from_millis(u64::from(job)),
                first_token: (job % 2 == 0).then(|| Duration::from_millis(u64::from(job))),
                tokens: 10,
            });
        }
        let figures = window.figures(start + Duration::from_secs(10));
        assert_eq!(figures.latency_p50, Some(Duration::from_millis(50)));
        assert_eq!(figures.latency_p95, Some(Duration::from_millis(95)));
        assert_eq!(figures.first_token_p50, Some(Duration::from_millis(50)));
        assert_eq!(figures.tokens_per_second, Some(100.0));
        assert_eq!(window.figures(start + Duration::from_secs(61)), Figures::default());
    }

    #[test]
    fn the_window_is_bounded() {
        let start = Instant::now();
        let mut window = Window::default();
        for _ in 0..CAPACITY * 2 {
            window.add(Sample { ended: start, latency: Duration::ZERO, first_token: None, tokens: 0 });
        }
        assert_eq!(window.samples.len(), CAPACITY);
    }
}
