//! Times of single calls, and what they say together.

use std::time::{Duration, Instant};

/// Samples of one thing that are kept at most.
const SAMPLES_MAX: usize = 1 << 20;

/// Nanoseconds of single calls.
#[derive(Default)]
pub(super) struct Samples(Vec<f64>);

/// The least, the median, the 99th and the 99.9th percentile.
pub(super) type Quantiles = [f64; 4];

impl Samples {
    /// Times `work` until the budget is used up, at least once. A sample is the mean of a batch of
    /// about two microseconds, or of one call if that takes longer: the clock itself takes tens of
    /// nanoseconds.
    pub(super) fn take(&mut self, budget: Duration, mut work: impl FnMut()) {
        const BATCH_NANOS: f64 = 2_000.0;
        work();
        let mut once = time(1, &mut work);
        if once < BATCH_NANOS {
            // Told apart from the clock's own time.
            once = time(64, &mut work);
        }
        let batch = ((BATCH_NANOS / once.max(1.0)) as u32).clamp(1, 1_000);
        let start = Instant::now();
        loop {
            self.push(time(batch, &mut work));
            if start.elapsed() >= budget || self.0.len() >= SAMPLES_MAX {
                return;
            }
        }
    }

    /// Adds the time of a call.
    pub(super) fn push(&mut self, nanos: f64) {
        self.0.push(nanos);
    }

    /// Adds those of another.
    pub(super) fn append(&mut self, other: Self) {
        let room = SAMPLES_MAX.saturating_sub(self.0.len()).max(1);
        self.0.extend(other.0.into_iter().take(room));
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = |quantile: f64| {
            let place = ((sorted.len() as f64 * quantile) as usize).min(last);
            sorted.get(place).copied().unwrap_or(0.0)
        };
        [at(0.0), at(0.5), at(0.99), at(0.999)]
    }
}

/// Nanoseconds of one call, the mean of so many.
fn time(calls: u32, work: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}
