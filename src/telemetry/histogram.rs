//! A histogram without locks, for the request road.
//!
//! prometheus-client's own takes a lock for each observation. Here an observation is two relaxed
//! additions; a scrape may see one of them before the other, which Prometheus tolerates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A histogram of durations; clones share it.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tick: Tick,
    /// Upper bounds in ticks, ascending.
    bounds: Box<[u64]>,
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    /// In ticks.
    sum: AtomicU64,
}

/// What durations are counted in, so that their sum lasts for centuries.
#[derive(Clone, Copy, Debug)]
enum Tick {
    Nanosecond,
    Second,
}

impl Tick {
    fn of(self, duration: Duration) -> u64 {
        match self {
            Self::Nanosecond => {
                let nanos = duration.as_secs().saturating_mul(1_000_000_000);
                nanos.saturating_add(duration.subsec_nanos().into())
            }
            Self::Second => duration.as_secs(),
        }
    }

    fn seconds(self, ticks: u64) -> f64 {
        match self {
            Self::Nanosecond => ticks as f64 / 1e9,
            Self::Second => ticks as f64,
        }
    }
}

impl Histogram {
    /// A histogram of what takes nanoseconds to hours, with these upper bounds, ascending.
    pub fn of_work(bounds: impl IntoIterator<Item = Duration>) -> Self {
        Self::new(Tick::Nanosecond, bounds)
    }

    /// A histogram of ages in whole seconds, with these upper bounds, ascending.
    pub fn of_ages(bounds: impl IntoIterator<Item = Duration>) -> Self {
        Self::new(Tick::Second, bounds)
    }

    fn new(tick: Tick, bounds: impl IntoIterator<Item = Duration>) -> Self {
        let bounds: Box<[u64]> = bounds.into_iter().map(|bound| tick.of(bound)).collect();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { tick, bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let inner = &*self.0;
        let ticks = inner.tick.of(duration);
        let bucket = inner.bounds.partition_point(|&bound| bound < ticks);
        if let Some(count) = inner.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        inner.sum.fetch_add(ticks, Ordering::Relaxed);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let inner = &*self.0;
        let seconds = |ticks| inner.tick.seconds(ticks);
        let bounds = inner.bounds.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
        let counts = inner.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|&(_, count)| count).sum();
        let sum = seconds(inner.sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(histogram: &Histogram) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register("t", "A test", histogram.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string grows");
        text
    }

    #[test]
    fn buckets_are_cumulative_and_closed_above() {
        let histogram = Histogram::of_work([10, 100].map(Duration::from_micros));
        for micros in [1, 10, 11, 100, 101, 5000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let text = encoded(&histogram);
        assert_eq!(histogram.count(), 6);
        for line in [
            "t_bucket{le=\"0.00001\"} 2",
            "t_bucket{le=\"0.0001\"} 4",
            "t_bucket{le=\"+Inf\"} 6",
            "t_count 6",
            "t_sum 0.005223",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn ages_of_many_years_add_up() {
        let histogram = Histogram::of_ages([Duration::from_secs(3600)]);
        for secs in [3600, 3601, 1 << 40] {
            histogram.observe(Duration::from_secs(secs));
        }
        let text = encoded(&histogram);
        for line in ["t_bucket{le=\"3600.0\"} 1", "t_count 3", "t_sum 1099511634977.0"] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
