//! The times of the newest jobs of one worker or provider.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Jobs that are remembered.
const MOST: usize = 128;
/// Older jobs do not count.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// The times of the newest completed jobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentTimes(VecDeque<JobTimes>);

#[derive(Debug, Clone, Copy)]
struct JobTimes {
    ended: Instant,
    /// Seconds from the request to its first byte, where it is known.
    first_byte: Option<f32>,
    /// Seconds from the request to its end.
    total: f32,
}

/// Times that the router has measured of the completed jobs of the last five minutes, of the newest 128 at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Their number.
    pub jobs: usize,
    /// Seconds from a request to the first byte of its answer.
    pub first_byte: Percentiles,
    /// Seconds from a request to the end of its answer.
    pub total: Percentiles,
}

/// Percentiles by the nearest rank; absent without a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// 95 of 100 are no larger.
    pub p95: Option<f64>,
    /// 99 of 100 are no larger.
    pub p99: Option<f64>,
}

impl RecentTimes {
    /// A job has been completed.
    pub(crate) fn add(&mut self, first_byte: Option<Duration>, total: Duration) {
        self.add_at(Instant::now(), first_byte, total);
    }

    fn add_at(&mut self, ended: Instant, first_byte: Option<Duration>, total: Duration) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        let first_byte = first_byte.map(|time| time.as_secs_f32());
        self.0.push_back(JobTimes { ended, first_byte, total: total.as_secs_f32() });
    }

    /// The figures at this time.
    pub(crate) fn figures(&self, now: Instant) -> Times {
        let recent = || self.0.iter().filter(|job| now.saturating_duration_since(job.ended) <= WINDOW);
        Times {
            jobs: recent().count(),
            first_byte: Percentiles::of(recent().filter_map(|job| job.first_byte).collect()),
            total: Percentiles::of(recent().map(|job| job.total).collect()),
        }
    }
}

impl Percentiles {
    /// By the nearest rank.
    fn of(mut numbers: Vec<f32>) -> Self {
        numbers.sort_unstable_by(f32::total_cmp);
        let nearest = |percent: usize| {
            let rank = (numbers.len() * percent).div_ceil(100).max(1);
            numbers.get(rank - 1).map(|number| f64::from(*number))
        };
        Self { p50: nearest(50), p95: nearest(95), p99: nearest(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let percentiles = Percentiles::of((1..=100_u16).rev().map(f32::from).collect());
        assert_eq!(percentiles, Percentiles { p50: Some(50.0), p95: Some(95.0), p99: Some(99.0) });
        assert_eq!(Percentiles::of(vec![3.0]), Percentiles { p50: Some(3.0), p95: Some(3.0), p99: Some(3.0) });
        assert_eq!(Percentiles::of(vec![]), Percentiles::default());
    }

    #[test]
    fn old_jobs_do_not_count_and_the_number_is_bounded() {
        let (mut times, now) = (RecentTimes::default(), Instant::now());
        times.add_at(now, Some(Duration::from_secs(9)), Duration::from_secs(10));
        let later = now + WINDOW + Duration::from_secs(1);
        times.add_at(later, None, Duration::from_secs(2));
        let figures = times.figures(later);
        assert_eq!((figures.jobs, figures.first_byte, figures.total.p99), (1, Percentiles::default(), Some(2.0)));
        (0..2 * MOST).for_each(|_| times.add_at(later, None, Duration::from_secs(1)));
        assert_eq!(times.figures(later).jobs, MOST);
    }
}
