//! A histogram without locks, for the request road.
//!
//! prometheus-client's own takes a lock for each observation. Here an observation is two or three
//! relaxed additions; a scrape may see one of them before the other, which Prometheus tolerates.

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
    /// Upper bounds in nanoseconds, ascending.
    bounds: Box<[u64]>,
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    /// In microseconds, so that it lasts half a million years.
    sum_micros: AtomicU64,
    /// What is left below a microsecond, carried over.
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, ascending.
    pub fn new(bounds: impl IntoIterator<Item = Duration>) -> Self {
        let bounds: Box<[u64]> = bounds.into_iter().map(nanos).collect();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner {
            bounds,
            counts,
            sum_micros: AtomicU64::new(0),
            sum_nanos: AtomicU64::new(0),
        }))
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let inner = &*self.0;
        let value = nanos(duration);
        let bucket = inner.bounds.partition_point(|&bound| bound < value);
        if let Some(count) = inner.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        inner.sum_micros.fetch_add(value / 1000, Ordering::Relaxed);
        inner.sum_nanos.fetch_add(value % 1000, Ordering::Relaxed);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let inner = &*self.0;
        let bounds = inner.bounds.iter().map(|&bound| bound as f64 / 1e9).chain([f64::INFINITY]);
        let counts = inner.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|&(_, count)| count).sum();
        let sum = inner.sum_micros.load(Ordering::Relaxed) as f64 / 1e6
            + inner.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_closed_above() {
        let histogram = Histogram::new([10, 100].map(Duration::from_micros));
        for micros in [1, 10, 11, 100, 101, 5000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register("t", "A test", histogram.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string grows");
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
}
