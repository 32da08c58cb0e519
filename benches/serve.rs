//! The webhook under load on the loopback: what a review costs over a handler that decides
//! nothing, in the same server.
//!
//! `cargo bench --bench serve -- [ROUNDS] [--cores SERVER,CLIENT] [--only HANDLER] [--save]`. The
//! server is a process of its own with one thread, on one core if `taskset` is there, and this
//! process is its clients on another. `nothing` reads the body and answers; `allowed` and `rejected` decide a Deployment of
//! 10.8 KB by W10, and write their log line as in production, to nowhere. The three take turns in
//! short batches, so that whatever else the machine does hits all of them.
//!
//! One connection tells how long an answer takes: its client sleeps until it comes. Eight tell what
//! a core of the server can do: their client never sleeps, so that the server always has the next
//! request and never has to wake a process on its own machine, which no API server is.
//! Start at [`main`].

mod plot;
mod results;
mod review;
mod table;
mod workload;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caapc::admission::Snapshot;
use caapc::admission::options::Options;
use caapc::api::{ImageScanSpec, Score, Severity, Vulnerability};
use caapc::namespaces::{Namespace, Namespaces};
use caapc::policy_set::PolicySet;
use caapc::reference::Reference;
use caapc::scan::{ScanShelf, ScanStore};
use caapc::serve::guard::Arriving;
use caapc::serve::http::Handler;
use caapc::serve::limits::Limits;
use caapc::serve::service::Service;
use caapc::serve::status::{self, Body};
use caapc::serve::tls::{self, Tls};
use caapc::serve::webhook::Webhook;
use caapc::serve::{body, selfsigned};
use caapc::telemetry::log;
use caapc::telemetry::metrics::Connections;
use caapc_compiler::set::{OnInvalid, Set};
use caapc_vm::facts::Timestamp;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use table::Table;

const HANDLERS: [&str; 3] = ["nothing", "allowed", "rejected"];

/// Requests of one batch, over all connections.
const BATCH: usize = 1_000;

const HELP: &str = "\
Measures the webhook over TLS: cargo bench --bench serve -- [ROUNDS] [OPTIONS]
  ROUNDS                   batches of each handler, 120 unless said otherwise
  --cores SERVER,CLIENT    the cores of the two processes, 0,1 unless said otherwise
  --only HANDLER           nothing, allowed or rejected alone, for a profiler
  --save                   keeps the figures in benches/results/, for benches/README.md";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(folder) = value("--server") {
        return serve(Path::new(folder));
    }
    let cores = value("--cores").unwrap_or("0,1").split_once(',');
    let only = value("--only");
    let unknown = only.is_some_and(|name| !HANDLERS.contains(&name));
    // `cargo bench` says `--bench`, `cargo test --benches` does not.
    let elsewhere =
        !is_asked("--bench") || ["--help", "--list", "--test"].into_iter().any(is_asked);
    let (Some((server_core, client_core)), false) = (cores, elsewhere || unknown) else {
        return println!("{HELP}");
    };
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(120);
    let folder = std::env::temp_dir().join(format!("caapc-bench-{}", std::process::id()));
    let conditions = results::Conditions::begin();
    let pinned = pin(std::process::id(), client_core);
    let mut server = Server::start(&folder);
    let pinned = pinned && pin(server.child.id(), server_core);
    println!("HTTP/1.1 keep-alive, TLS 1.3, a review of {} B, W10", review::BYTES);
    println!("{rounds} rounds of {BATCH} requests to each; server on one core: {pinned}");
    let mut table = Table::default();
    for connections in [1, 8] {
        if let Some(only) = only {
            // For a profiler: it sees one handler only.
            repeat(&server, only, rounds, connections);
        } else {
            let batches = measure(&server, rounds, connections);
            report(&batches, connections);
            promises(&mut table, &batches, connections);
        }
    }
    println!("\nresident in the server process at the end: {:.1} MiB", server.resident_mib());
    server.stop();
    let _ = std::fs::remove_dir_all(&folder);
    if only.is_none() {
        table.print();
        let results = serde_json::json!({"machine": conditions.end(), "rows": table.json()});
        println!("{}", results["machine"]);
        results::save("serve", &results);
    }
}

/// Binds all threads of a process to one core; `false` where there is no `taskset`.
fn pin(process: u32, core: &str) -> bool {
    let taskset = Command::new("taskset").args(["-acp", core]).arg(process.to_string()).output();
    taskset.is_ok_and(|output| output.status.success())
}

/// What one batch of one handler took.
struct Batch {
    p50: f64,
    p99: f64,
    wall: f64,
    /// Time on a processor that the server took for one request.
    processor: f64,
}

/// The load of one handler, without figures.
fn repeat(server: &Server, name: &str, rounds: usize, connections: usize) {
    let at = HANDLERS.iter().position(|&handler| handler == name).expect("a handler's name");
    let connect = |_| Client::connect(server.addresses[at], &server.ca, connections == 1);
    let mut clients: Vec<Client> = (0..connections).map(connect).collect();
    let busy = server.busy();
    for _ in 0..rounds {
        batch(&mut clients, &review::review());
    }
    let each = (server.busy() - busy) / 1e3 / (rounds * BATCH) as f64;
    println!(
        "{name}, {connections} connection(s): {each:.1} us of the server's core for a request"
    );
}

/// Microseconds for each request, for each handler, for each round.
fn measure(server: &Server, rounds: usize, connections: usize) -> Vec<Vec<Batch>> {
    let body = review::review();
    let mut clients: Vec<Vec<Client>> = server
        .addresses
        .iter()
        .map(|&address| {
            let connect = |_| Client::connect(address, &server.ca, connections == 1);
            (0..connections).map(connect).collect()
        })
        .collect();
    for (clients, name) in clients.iter_mut().zip(HANDLERS) {
        let client = &mut clients[0];
        client.send(&body);
        while !client.answered() {}
        let answer = String::from_utf8_lossy(&client.answer);
        let expected = if name == "rejected" { "\"allowed\":false" } else { "\"allowed\":true" };
        assert!(answer.contains(expected), "{name}: {answer}");
    }
    let mut batches: Vec<Vec<Batch>> = HANDLERS.iter().map(|_| Vec::new()).collect();
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        for (clients, batches) in clients.iter_mut().zip(&mut batches) {
            let (busy, begun) = (server.busy(), Instant::now());
            let mut took = batch(clients, &body);
            let wall = begun.elapsed().as_secs_f64() * 1e6 / took.len() as f64;
            let processor = (server.busy() - busy) / 1e3 / took.len() as f64;
            took.sort_unstable();
            let at = |share: f64| took[(took.len() as f64 * share) as usize].as_secs_f64() * 1e6;
            if round > 0 {
                batches.push(Batch { p50: at(0.5), p99: at(0.99), wall, processor });
            }
        }
    }
    batches
}

/// One thread has all connections: each sends its next request as soon as it is answered.
fn batch(clients: &mut [Client], body: &[u8]) -> Vec<Duration> {
    let each = BATCH / clients.len();
    let mut left = vec![each; clients.len()];
    let mut took = Vec::with_capacity(BATCH);
    clients.iter_mut().for_each(|client| client.send(body));
    while left.iter().any(|&left| left > 0) {
        for (client, left) in clients.iter_mut().zip(&mut left) {
            if *left == 0 || !client.answered() {
                continue;
            }
            took.push(client.sent.elapsed());
            *left -= 1;
            if *left > 0 {
                client.send(body);
            }
        }
    }
    took
}

/// The figures of one handler: of each column the least and the middle of its batches.
struct Figures {
    p50: (f64, f64),
    p99: (f64, f64),
    wall: (f64, f64),
    processor: (f64, f64),
}

impl Figures {
    fn of(batches: &[Batch]) -> Self {
        let column = |column: fn(&Batch) -> f64| {
            let mut values: Vec<f64> = batches.iter().map(column).collect();
            values.sort_by(f64::total_cmp);
            (values[0], values[values.len() / 2])
        };
        Self {
            p50: column(|batch| batch.p50),
            p99: column(|batch| batch.p99),
            wall: column(|batch| batch.wall),
            processor: column(|batch| batch.processor),
        }
    }

    fn columns(&self) -> [(f64, f64); 4] {
        [self.p50, self.p99, self.wall, self.processor]
    }
}

/// The least and the middle of the batches, and both against the handler that does nothing.
fn report(batches: &[Vec<Batch>], connections: usize) {
    let line = |name: &str, cells: [(f64, f64); 4], digits: usize| {
        let [p50, p99, wall, processor] =
            cells.map(|(least, middle)| format!("{least:.digits$} ({middle:.digits$})"));
        println!("{name:<9} {p50:>18} {p99:>18} {wall:>18} {processor:>18}");
    };
    println!("\n{connections} connection(s), microseconds: least batch (middle batch)");
    println!("{:<9} {:>18} {:>18} {:>18} {:>18}", "", "p50", "p99", "wall", "server's core");
    let nothing = Figures::of(&batches[0]).columns();
    for (name, of) in HANDLERS.iter().zip(batches) {
        let figures = Figures::of(of);
        let columns = figures.columns();
        line(name, columns, 1);
        if *name != "nothing" {
            let ratio = |at: usize| (columns[at].0 / nothing[at].0, columns[at].1 / nothing[at].1);
            line("  ratio", [0, 1, 2, 3].map(ratio), 2);
            let (least, middle) = ratio(3);
            println!(
                "  requests of one core: {:.0} a second, {:.2} ({:.2}) of nothing",
                1e6 / figures.processor.0,
                1.0 / least,
                1.0 / middle
            );
        }
    }
}

/// What was promised of the webhook: rows 10 and 11.
fn promises(table: &mut Table, batches: &[Vec<Batch>], connections: usize) {
    let at = if connections == 1 { "one connection" } else { "eight connections" };
    let [nothing, allowed, rejected] = [0, 1, 2].map(|handler| Figures::of(&batches[handler]));
    for (name, ours) in [("allowed", allowed), ("rejected", rejected)] {
        let detail = |ours: (f64, f64), nothing: (f64, f64), middle: f64| {
            format!("{:.1} / {:.1} us; middle batch {middle:.2}", ours.0, nothing.0)
        };
        if connections == 1 {
            for (quantile, ours, nothing, bounds) in [
                ("p50", ours.p50, nothing.p50, (1.55, 1.25)),
                ("p99", ours.p99, nothing.p99, (1.6, 1.3)),
            ] {
                let what = format!("{quantile}, {at}, {name} / no-op");
                let detail = detail(ours, nothing, ours.1 / nothing.1);
                table.figure(10, &what, ours.0 / nothing.0, detail, bounds);
            }
        }
        let (ours, nothing) = (ours.processor, nothing.processor);
        let what = format!("throughput of one core, {at}, {name} / no-op");
        let detail = detail(ours, nothing, nothing.1 / ours.1);
        table.figure(11, &what, nothing.0 / ours.0, detail, (0.6, 0.8));
    }
}

/// The server, in a process of its own.
struct Server {
    child: Child,
    addresses: Vec<SocketAddr>,
    ca: PathBuf,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let me = std::env::current_exe().expect("this program");
        let mut child = Command::new(me)
            .arg("--server")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut line = || lines.next().expect("a line").expect("a line");
        let addresses = HANDLERS.map(|_| line().parse().expect("an address")).to_vec();
        Self { child, addresses, ca: PathBuf::from(line()) }
    }

    /// Nanoseconds that its threads were on a processor; 0 where the system does not say.
    fn busy(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of = |thread: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        threads.map_or(0.0, |threads| threads.filter_map(of).sum())
    }

    fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends.
fn serve(folder: &Path) {
    let _flush = log::init(log::Format::Json, "info").expect("a subscriber");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads").block_on(async {
        let (files, ca) = selfsigned::make(folder, [127, 0, 0, 1].into()).expect("a certificate");
        let tls = Tls::load(files).expect("a certificate");
        let services = [
            start(Nothing, &tls).await,
            start(webhook("Allow"), &tls).await,
            start(webhook("Reject"), &tls).await,
        ];
        for service in &services {
            println!("{}", service.address);
        }
        println!("{}", ca.display());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = ended.await;
        for service in services {
            service.stop().await;
        }
    });
}

async fn start<H: Handler>(handler: H, tls: &Tls) -> Service {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let drain = Duration::from_secs(5);
    let (limits, counted) = (Limits::default(), Connections::default());
    let started = Service::start(Arc::new(handler), any, Some(tls), limits, counted, drain);
    started.await.expect("a port")
}

/// Reads the body and answers what an allowed review is answered.
struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, request: Request<Incoming>, _: Arriving<'_>) -> Response<Body> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        match body::read(request.into_body(), 8 << 20, deadline, |_| Ok(())).await {
            Ok(_) => status::json(StatusCode::OK, bytes::Bytes::from_static(ALLOWED)),
            Err(refused) => *refused,
        }
    }
}

const ALLOWED: &[u8] = br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"e24fa7e7-f0e0-43ae-90ad-02318e149ccd","allowed":true}}"#;

/// The webhook over W10; the last rule of all, which decides, has this action.
fn webhook(action: &str) -> Webhook {
    let mut set = Set::new(OnInvalid::Deny);
    let mut policies = workload::policies(10);
    let last = policies.last_mut().expect("ten");
    let at = last.rfind("action: Reject").expect("rules");
    last.replace_range(at + "action: ".len()..at + "action: Reject".len(), action);
    for text in &policies {
        let reading = caapc_compiler::check::read("policy.yaml", text, &Default::default());
        assert!(!reading.has_errors(), "{:?}", reading.diagnostics);
        for entry in &reading.entries {
            set.apply(entry);
        }
    }
    let namespaces = [Namespace::new("shop", workload::NAMESPACE_LABELS)];
    let snapshot = Snapshot {
        policies: Arc::new(PolicySet::new(set.link().expect("a program"), 1)),
        namespaces: Arc::new(namespaces.into_iter().collect::<Namespaces>()),
        scans: Arc::new(scans()),
        generation: 1,
    };
    let clock = || Timestamp { secs: workload::NOW_SECS, nanos: 0 };
    Webhook { clock: Arc::new(clock), ..Webhook::over(snapshot, Options::default()) }
}

/// Each image was scanned five days before, and has a vulnerability to warn of.
fn scans() -> ScanShelf {
    let mut store = ScanStore::new();
    for (image, name) in review::images().iter().zip(["one", "two", "three"]) {
        let reference = Reference::parse(image).expect("a reference");
        let digest = reference.digest().map(str::to_owned);
        let references = if digest.is_some() { Vec::new() } else { vec![reference.canonical()] };
        let scan = ImageScanSpec {
            digest,
            references,
            platform: "linux/amd64".to_owned(),
            scanned_at: Some(Timestamp { secs: workload::SCANNED_SECS, nanos: 0 }.to_string()),
            vulnerabilities: vec![Vulnerability {
                id: "CVE-2025-1234".to_owned(),
                v3: Score::from_tenths(62),
                v4: None,
                v2: None,
                severity: Severity::Medium,
                package: Some("libexample".to_owned()),
                fixed: Some("1.2.3".to_owned()),
            }],
            ..ImageScanSpec::default()
        };
        store.apply_scan(name, &scan).expect("a scan");
    }
    store.snapshot()
}

/// One connection of a client.
struct Client {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: Instant,
}

impl Client {
    /// A client that `waits` sleeps until its answer comes, as the API server does; one that does
    /// not looks again and again, so that the server need not wake it.
    fn connect(address: SocketAddr, ca: &Path, waits: bool) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).expect("a CA file") {
            roots.add(certificate.expect("a certificate")).expect("a usable certificate");
        }
        let mut config = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).expect("TLS");
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_nodelay(true).expect("a socket");
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).expect("a handshake");
        }
        socket.set_nonblocking(!waits).expect("a socket");
        let stream = rustls::StreamOwned::new(connection, socket);
        Self { stream, request: Vec::new(), answer: Vec::new(), sent: Instant::now() }
    }

    /// Posts a review as Go's client does, in one write.
    fn send(&mut self, body: &[u8]) {
        self.request.clear();
        self.answer.clear();
        write!(
            self.request,
            "POST /admission-review?timeout=10s HTTP/1.1\r\nHost: caapc.caapc.svc:443\r\n\
             User-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\nAccept: application/json, \
             */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
            body.len()
        )
        .expect("memory");
        self.request.extend_from_slice(body);
        self.sent = Instant::now();
        self.stream.write_all(&self.request).expect("written");
    }

    /// Reads once, and tells whether the answer is there.
    fn answered(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(read) => self.answer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("no answer: {error}"),
        }
        head_and_length(&self.answer).is_some_and(|end| self.answer.len() >= end)
    }
}

/// Bytes of head and body, once the head is there.
fn head_and_length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).ok()?;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head + length.parse::<usize>().ok()?)
}
