//! Everything that is counted, and the text that Prometheus reads.
//!
//! Base units, `_total` and `_seconds`; labels are few and bounded: never an image, a pod or a
//! namespace (a rule is `policy` and `rule`, and beyond [`RULE_SERIES_MAX`] of them `(other)`).
//! On the request road only atomics are touched. Start at [`Metrics`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Histogram;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many pairs of policy and rule have a series of their own.
pub const RULE_SERIES_MAX: usize = 2_000;

/// The policy of decisions that have no series of their own.
const OTHER: &str = "(other)";

/// A gauge of seconds since the epoch, with fractions.
pub type Moment = Gauge<f64, AtomicU64>;

/// Everything that is counted. Clones share it.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Decisions by action, policy and rule.
    pub decisions: Decisions,
    /// Answers by path and code.
    pub requests: Requests,
    /// From the head of a request to its answer.
    pub request_seconds: Histogram,
    /// Reading, deciding and writing one review, without the network.
    pub decide_seconds: Histogram,
    /// Answers of 429, by what was full.
    pub overload: Family<What, Counter>,
    /// Requests that are being answered.
    pub in_flight: Gauge,
    /// Of the webhook's listener.
    pub connections: Connections,
    /// Requests that ended in a panic, which was caught.
    pub panics: Counter,
    /// Images whose status was `Unknown` when they were decided.
    pub unknown_images: Counter,
    /// Reviews of a kind that is not known, or that do not decode as their kind.
    pub unknown_kinds: Counter,
    /// How old the last scan of an image was when it was decided.
    pub scan_age_seconds: Histogram,
    /// When the certificate ends.
    pub certificate_expiry: Moment,
    /// Certificate files that could not be used.
    pub certificate_failures: Counter,
    /// The control road.
    pub control: Control,
}

/// What a listener counts.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// Open connections.
    pub open: Gauge,
    /// Connections closed at once because there were too many.
    pub refused: Counter,
    /// Connections without a complete request, closed because another needed their room.
    pub evicted: Counter,
    /// TLS handshakes that failed or took too long.
    pub handshake_failures: Counter,
}

/// What the control road counts.
#[derive(Clone, Debug)]
pub struct Control {
    /// The number of the snapshot in force.
    pub generation: Gauge,
    /// When the snapshot in force was made.
    pub snapshot_time: Moment,
    /// Policies by state: `compiled`, `stale` (the last version that compiled is in force), `broken`.
    pub policies: Family<State, Gauge>,
    /// Objects on each shelf.
    pub objects: Family<Shelf, Gauge>,
    /// Policies that did not compile, counted each time one is seen.
    pub compile_failures: Counter,
    /// One rebuild of the policy set.
    pub compile_seconds: Histogram,
    /// From an event to the snapshot that has it.
    pub apply_seconds: Histogram,
    /// Whether a shelf's watch is connected.
    pub watch_up: Family<Shelf, Gauge>,
    /// When a shelf's watch last heard from the API server, bookmarks included.
    pub watch_heard: Family<Shelf, Moment>,
    /// Failures of a shelf's watch.
    pub watch_errors: Family<Shelf, Counter>,
    /// Full lists of a shelf's watch.
    pub watch_lists: Family<Shelf, Counter>,
    /// Objects that could not be understood.
    pub malformed: Family<Shelf, Counter>,
    /// Whether this replica writes status and scans.
    pub leader: Gauge,
    /// Kubernetes Events by what became of them: `sent`, `limited`, `failed`.
    pub events: Family<Fate, Counter>,
    /// Namespaces that were fetched because the watch had not told of them yet, by `found`,
    /// `missing`, `failed`.
    pub namespace_fetches: Family<Fate, Counter>,
    /// Writes of the leader by `written`, `failed`.
    pub leader_writes: Family<Fate, Counter>,
}

/// Which bound was hit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct What {
    /// `queue`, `bodies` or `validation`.
    pub what: &'static str,
}

/// A shelf by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Shelf {
    /// `policies`, `namespaces`, `scans`, `exceptions`, `settings`, `reports`.
    pub shelf: &'static str,
}

/// The state of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct State {
    /// See [`Control::policies`].
    pub state: &'static str,
}

/// What became of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Fate {
    /// One word.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

impl Metrics {
    /// A registry with every metric at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("caapc");
        let r = &mut registry;
        let build = Family::<Version, Gauge>::default();
        build.get_or_create(&Version { version: env!("CARGO_PKG_VERSION") }).set(1);
        r.register("build_info", "The version of this program", build);
        let decisions = Decisions::default();
        r.register_collector(Box::new(decisions.clone()));
        let requests = Requests::default();
        r.register_collector(Box::new(requests.clone()));
        let seconds = |r: &mut Registry, name: &str, help: &str, histogram: Histogram| {
            r.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let metrics = Self {
            request_seconds: seconds(
                r,
                "request",
                "From the head of a request to its answer, body included",
                Histogram::of_work(latency_bounds()),
            ),
            decide_seconds: seconds(
                r,
                "decide",
                "Reading, deciding and writing one review, without the network",
                Histogram::of_work(latency_bounds()),
            ),
            overload: added(r, "overload", "Answers of 429 by what was full"),
            in_flight: added(r, "requests_in_flight", "Requests that are being answered"),
            connections: Connections {
                open: added(r, "connections", "Open connections of the webhook"),
                refused: added(r, "connections_refused", "Connections over the limit, closed"),
                evicted: added(
                    r,
                    "connections_evicted",
                    "Connections without a complete request, closed because another needed their room",
                ),
                handshake_failures: added(
                    r,
                    "tls_handshake_failures",
                    "TLS handshakes that failed or took too long",
                ),
            },
            panics: added(r, "panics", "Requests that ended in a panic, answered with 500"),
            unknown_images: added(
                r,
                "unknown_images",
                "Images whose scan status was Unknown when they were decided",
            ),
            unknown_kinds: added(r, "unknown_kinds", "Reviews of an object of an unknown kind"),
            scan_age_seconds: seconds(
                r,
                "scan_age",
                "How old the last scan of an image was when it was decided",
                Histogram::of_ages(age_bounds()),
            ),
            certificate_expiry: added(
                r,
                "certificate_expiry_timestamp_seconds",
                "When the certificate of the webhook ends",
            ),
            certificate_failures: added(
                r,
                "certificate_reload_failures",
                "Certificate files that could not be used; the last good ones stay",
            ),
            control: Control::register(r, &seconds),
            decisions,
            requests,
            registry: Arc::new(Registry::default()),
        };
        Self { registry: Arc::new(registry), ..metrics }
    }

    /// The text form, as OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Control {
    fn register(
        r: &mut Registry,
        seconds: &impl Fn(&mut Registry, &str, &str, Histogram) -> Histogram,
    ) -> Self {
        Self {
            generation: added(r, "snapshot_generation", "The number of the snapshot in force"),
            snapshot_time: added(
                r,
                "snapshot_timestamp_seconds",
                "When the snapshot in force was made",
            ),
            policies: added(r, "policies", "Policies by state: compiled, stale, broken"),
            objects: added(r, "objects", "Objects on each shelf"),
            compile_failures: added(r, "compile_failures", "Policies seen that do not compile"),
            compile_seconds: seconds(
                r,
                "compile",
                "Compiling what changed and linking the set",
                Histogram::of_work(slow_bounds()),
            ),
            apply_seconds: seconds(
                r,
                "watch_apply",
                "From an event to the snapshot that has it",
                Histogram::of_work(slow_bounds()),
            ),
            watch_up: added(r, "watch_up", "Whether the watch of a shelf is connected"),
            watch_heard: added(
                r,
                "watch_last_heard_timestamp_seconds",
                "When the watch of a shelf last heard from the API server, bookmarks included",
            ),
            watch_errors: added(r, "watch_errors", "Failures of a shelf's watch"),
            watch_lists: added(r, "watch_lists", "Full lists of a shelf's watch"),
            malformed: added(r, "malformed_objects", "Objects that could not be understood"),
            leader: added(r, "leader", "Whether this replica writes status and scans"),
            events: added(r, "events", "Kubernetes Events by outcome: sent, limited, failed"),
            namespace_fetches: added(
                r,
                "namespace_fetches",
                "Namespaces asked for before the watch told of them: found, missing, failed",
            ),
            leader_writes: added(r, "leader_writes", "Writes of the leader: written, failed"),
        }
    }
}

fn added<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// 1 us to 5 s in steps of 1, 2, 5.
fn latency_bounds() -> Vec<Duration> {
    let mut bounds = Vec::new();
    for decade in [1_u64, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        bounds.extend([1, 2, 5].map(|step| Duration::from_micros(step * decade)));
    }
    bounds
}

/// 100 us to 60 s.
fn slow_bounds() -> Vec<Duration> {
    [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]
        .map(Duration::from_secs_f64)
        .to_vec()
}

/// An hour to a year.
fn age_bounds() -> Vec<Duration> {
    [1_u64, 6, 12, 24, 48, 72, 168, 336, 720, 2160, 8760]
        .map(|hours| Duration::from_secs(hours * 3600))
        .to_vec()
}

/// A gauge that goes down again when this is dropped.
pub struct Gauged<'a>(&'a Gauge);

impl<'a> Gauged<'a> {
    /// Adds one.
    pub fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Gauged<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counters by action, policy and rule: read without a lock, copied when a series is new.
#[derive(Clone, Debug, Default)]
pub struct Decisions(Arc<DecisionsInner>);

#[derive(Debug, Default)]
struct DecisionsInner {
    series: ArcSwap<HashMap<Box<str>, Vec<Series>>>,
    /// How many series there are; no more come when it is full.
    size: AtomicUsize,
    growing: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Series {
    action: &'static str,
    /// `None`: no rule decided.
    rule: Option<u32>,
    count: Counter,
}

impl Decisions {
    /// Counts one decision. `policy` is empty where none decided. INVARIANT (no wait): only what is
    /// counted for the first time takes the lock.
    pub fn count(&self, action: &'static str, policy: &str, rule: Option<u32>) {
        if !self.counted(action, policy, rule) {
            self.grow(action, policy, rule);
        }
    }

    fn is_full(&self) -> bool {
        self.0.size.load(Ordering::Relaxed) >= RULE_SERIES_MAX
    }

    fn counted(&self, action: &str, policy: &str, rule: Option<u32>) -> bool {
        self.found(action, policy, rule) || self.is_full() && self.found(action, OTHER, None)
    }

    fn found(&self, action: &str, policy: &str, rule: Option<u32>) -> bool {
        let series = self.0.series.load();
        let found = series
            .get(policy)
            .and_then(|rows| rows.iter().find(|row| row.rule == rule && row.action == action));
        if let Some(row) = found {
            row.count.inc();
        }
        found.is_some()
    }

    fn grow(&self, action: &'static str, policy: &str, rule: Option<u32>) {
        let _growing = self.0.growing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.counted(action, policy, rule) {
            return;
        }
        let (policy, rule) = if self.is_full() { (OTHER, None) } else { (policy, rule) };
        self.0.size.fetch_add(1, Ordering::Relaxed);
        let mut series = HashMap::clone(&self.0.series.load());
        let row = Series { action, rule, count: Counter::default() };
        row.count.inc();
        series.entry(policy.into()).or_default().push(row);
        self.0.series.store(Arc::new(series));
    }
}

impl Collector for Decisions {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let help = "Decisions by action (allow, reject, warn, audit, error), policy and rule index";
        let mut family = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        let series = self.0.series.load();
        let mut names: Vec<_> = series.keys().collect();
        names.sort_unstable();
        for name in names {
            for row in series.get(name).into_iter().flatten() {
                let rule = row.rule.map_or(String::new(), |rule| rule.to_string());
                let labels = [("action", row.action), ("policy", name), ("rule", &rule)];
                row.count.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Counters by path and code, without a lock: both are from short lists.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<[Box<[Counter; CODES.len()]>; PATHS.len()]>);

const PATHS: [&str; 3] = ["/admission-review", "/validate-policies", "other"];
const CODES: [u16; 11] = [200, 400, 404, 405, 408, 413, 415, 429, 500, 503, 0];

impl Requests {
    /// Counts one answer.
    pub fn count(&self, path: &str, code: u16) {
        let path = PATHS.iter().position(|&known| known == path).unwrap_or(PATHS.len() - 1);
        let code = CODES.iter().position(|&known| known == code).unwrap_or(CODES.len() - 1);
        if let Some(counter) = self.0.get(path).and_then(|codes| codes.get(code)) {
            counter.inc();
        }
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let help = "Answers by path and HTTP code";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (path, counters) in PATHS.iter().zip(self.0.iter()) {
            for (code, counter) in CODES.iter().zip(counters.iter()) {
                if counter.get() > 0 {
                    let code = if *code == 0 { "other".to_owned() } else { code.to_string() };
                    let labels = [("path", *path), ("code", &code)];
                    counter.encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::new();
        for n in 0..RULE_SERIES_MAX + 50 {
            metrics.decisions.count("reject", &format!("p{n}"), Some(1));
        }
        metrics.decisions.count("reject", "p0", Some(1));
        let text = metrics.text();
        assert!(
            text.contains("caapc_decisions_total{action=\"reject\",policy=\"p0\",rule=\"1\"} 2")
        );
        assert!(
            text.contains(
                "caapc_decisions_total{action=\"reject\",policy=\"(other)\",rule=\"\"} 50"
            )
        );
        let series = text.lines().filter(|line| line.starts_with("caapc_decisions_total")).count();
        assert_eq!(series, RULE_SERIES_MAX + 1);
    }
}
