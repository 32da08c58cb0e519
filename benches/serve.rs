//! The webhook under load on the loopback: what a review costs over a handler that decides
//! nothing, in the same server.
//!
//! `cargo bench --bench serve -- [SECONDS] [CONNECTIONS]`; the client shares the processors with
//! the server, so compare the rows with each other, not with other machines. Log lines are
//! written as in production; send standard error to /dev/null. `nothing` reads the body and
//! answers; `allowed` and `rejected` decide a recorded Deployment by ten policies of ten rules
//! with five patterns each. Memory is that of the process, client included: it must stay flat.

#[path = "../tests/support/client.rs"]
mod client;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use caapc::admission::Snapshot;
use caapc::admission::options::Options;
use caapc::namespaces::{Namespace, Namespaces};
use caapc::policy_set::PolicySet;
use caapc::scan::ScanShelf;
use caapc::serve::http::Handler;
use caapc::serve::limits::Limits;
use caapc::serve::service::Service;
use caapc::serve::status::{self, Body};
use caapc::serve::tls::Tls;
use caapc::serve::webhook::Webhook;
use caapc::serve::{body, selfsigned};
use caapc::telemetry::log;
use caapc::telemetry::metrics::Metrics;
use caapc_compiler::set::{OnInvalid, Set};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

/// Reads the body and answers what an allowed review is answered.
struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        match body::read(request.into_body(), 8 << 20, deadline).await {
            Ok(_) => status::json(StatusCode::OK, bytes::Bytes::from_static(ALLOWED)),
            Err(refused) => *refused,
        }
    }
}

const ALLOWED: &[u8] = br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"e24fa7e7-f0e0-43ae-90ad-02318e149ccd","allowed":true}}"#;

/// Latencies in microseconds: 16 steps for each power of two.
struct Latencies(Vec<AtomicU64>);

impl Latencies {
    fn new() -> Self {
        Self((0..64 * 16).map(|_| AtomicU64::new(0)).collect())
    }

    fn add(&self, took: Duration) {
        let micros = (took.as_micros() as u64).max(16);
        let power = micros.ilog2();
        let step = (micros >> (power - 4)) & 15;
        self.0[power as usize * 16 + step as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The upper end of the step that holds this share.
    fn at(&self, share: f64) -> f64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.0.iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            if seen >= wanted {
                let (power, step) = (at / 16, at % 16);
                return ((17 + step) << power) as f64 / 16.0 / 1000.0;
            }
        }
        0.0
    }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let secs = numbers.first().copied().unwrap_or(5);
    let connections = numbers.get(1).copied().unwrap_or(8);
    let _flush = log::init(log::Format::Json, "info").expect("a subscriber");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(async {
        println!("{connections} connections, {secs} s each, HTTP/1.1 keep-alive, TLS 1.3");
        println!("handler    body      req/s   p50 ms   p99 ms  p99.9 ms   RSS MiB begin, end");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let deployment = root.join("golden/recordings/001-CREATE-Deployment.json");
        let review = std::fs::read(deployment).expect("a recording");
        let metrics = Metrics::new();
        run("nothing", Arc::new(Nothing), &review, secs, connections, &metrics).await;
        let allowed = Arc::new(Webhook::over(snapshot("^nothing\\.example/"), Options::default()));
        run("allowed", allowed, &review, secs, connections, &metrics).await;
        let rejected = Arc::new(Webhook::over(snapshot(""), Options::default()));
        run("rejected", Arc::clone(&rejected), &review, secs, connections, &metrics).await;
        let text = rejected.metrics.text();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(0.0)
        };
        println!(
            "a rejection without the network: {:.1} us on average",
            1e6 * value("caapc_decide_seconds_sum") / value("caapc_decide_seconds_count")
        );
    });
}

async fn run<H: Handler>(
    name: &str,
    handler: Arc<H>,
    review: &[u8],
    secs: u64,
    connections: u64,
    metrics: &Metrics,
) {
    let folder = std::env::temp_dir().join(format!("caapc-bench-{}", std::process::id()));
    let (files, ca) = selfsigned::make(&folder, [127, 0, 0, 1].into()).expect("a certificate");
    let tls = Tls::load(files).expect("a certificate");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (counted, drain) = (metrics.connections.clone(), Duration::from_secs(5));
    let service = Service::start(handler, any, Some(&tls), Limits::default(), counted, drain);
    let service = service.await.expect("a port");
    // The first second warms up and is not counted.
    load(service.address, &ca, review, 1, connections).await;
    let before = rss_mib();
    let latencies = load(service.address, &ca, review, secs, connections).await;
    println!(
        "{name:<9} {:>5} B {:>10.0} {:>8.3} {:>8.3} {:>9.3}   {before:.1}, {:.1}",
        review.len(),
        latencies.count() as f64 / secs as f64,
        latencies.at(0.5),
        latencies.at(0.99),
        latencies.at(0.999),
        rss_mib(),
    );
    service.stop().await;
    let _ = std::fs::remove_dir_all(&folder);
}

async fn load(
    address: SocketAddr,
    ca: &Path,
    review: &[u8],
    secs: u64,
    connections: u64,
) -> Arc<Latencies> {
    let latencies = Arc::new(Latencies::new());
    let enough = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = client::connect(address, ca).await.expect("TLS");
        let (latencies, enough) = (Arc::clone(&latencies), Arc::clone(&enough));
        let review = review.to_vec();
        clients.push(tokio::spawn(async move {
            while !enough.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = client.post("/admission-review?timeout=5s", &review).await;
                assert_eq!(answer.expect("an answer").code, 200);
                latencies.add(begun.elapsed());
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(secs)).await;
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no panic");
    }
    latencies
}

/// Ten policies of ten rules with five patterns each; the last rule rejects `last`, and what it
/// names decides whether the recorded image is rejected.
fn snapshot(last: &str) -> Snapshot {
    let mut set = Set::new(OnInvalid::Deny);
    for policy in 0..10 {
        let mut text = format!(
            "apiVersion: containersecurity.tigera.io/v1beta1\nkind: ContainerAdmissionPolicy\n\
             metadata: {{name: p{policy}}}\nspec:\n  order: {policy}\n  rules:\n"
        );
        for rule in 0..10 {
            let values: Vec<String> = (0..5)
                .map(|n| format!("'^registry{policy}\\.example\\.com/team{rule}/app{n}[:@]'"))
                .collect();
            text += &format!(
                "    - action: Reject\n      imagePath: {{operator: IsOneOf, values: [{}]}}\n",
                values.join(", ")
            );
        }
        if policy == 9 {
            text += &format!(
                "    - action: Reject\n      imagePath: {{operator: IsOneOf, values: ['{last}']}}\n"
            );
        }
        let reading = caapc_compiler::check::read("p.yaml", &text, &Default::default());
        assert!(!reading.has_errors(), "{:?}", reading.diagnostics);
        for entry in &reading.entries {
            set.apply(entry);
        }
    }
    let namespaces = [Namespace::new("demo", [("team", "a")])];
    Snapshot {
        policies: Arc::new(PolicySet::new(set.link().expect("a program"), 1)),
        namespaces: Arc::new(namespaces.into_iter().collect::<Namespaces>()),
        scans: Arc::new(ScanShelf::empty()),
        generation: 1,
    }
}

fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
