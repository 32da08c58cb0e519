//! `caapc serve --local` from start to ready, and what it occupies then.
//!
//! `cargo bench --bench start -- [SCANS] [POLICIES] [--binary PATH] [--save]`, 100,000 and 1,000
//! unless said otherwise. A binary, that of this build or another, is started over a folder that is
//! made first: each scan in a file of its own, the same scans in lists of 1,000, and W100 and W1000
//! without any scan. A scan has ten vulnerabilities.
//! Seconds are from the start of the process to the first 200 of `/readyz`, the least of three.

mod plot;
mod results;
mod table;
mod workload;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use table::Table;

/// Starts of which the least counts.
const STARTS: usize = 3;

const HELP: &str = "\
Measures the start of caapc serve --local: cargo bench --bench start -- [SCANS] [POLICIES] [OPTIONS]
  SCANS POLICIES   100000 and 1000 unless said otherwise
  --binary PATH    another binary than that of this build, such as the one of packaging/build.sh
  --save           keeps the figures in benches/results/, for benches/README.md";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo bench` says `--bench`, `cargo test --benches` does not.
    if !is_asked("--bench") || ["--help", "--list", "--test"].into_iter().any(is_asked) {
        return println!("{HELP}");
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let scans = numbers.next().unwrap_or(100_000);
    let policies = numbers.next().unwrap_or(1_000);
    let at = arguments.iter().position(|argument| argument == "--binary");
    let binary = at.and_then(|at| arguments.get(at + 1));
    let binary = binary.map_or(env!("CARGO_BIN_EXE_caapc"), String::as_str);
    let conditions = results::Conditions::begin();
    let mut table = Table::default();
    let root = std::env::temp_dir().join(format!("caapc-start-{}", std::process::id()));
    println!("{:<70} {:>8} {:>10}", "folder", "ready s", "RSS MB");
    let folder = Folder::new(&root, "files", policies);
    (0..scans).for_each(|n| folder.write(&format!("scans/{}/{n}.json", n % 100), &scan(n)));
    let what = format!("start to ready, {policies} policies, {scans} scans, a file each");
    start_row(&mut table, &what, folder.measure(&what, binary));
    drop(folder);
    let folder = Folder::new(&root, "lists", policies);
    for first in (0..scans).step_by(1_000) {
        let items: Vec<String> = (first..scans.min(first + 1_000)).map(scan).collect();
        let list = format!(
            r#"{{"apiVersion":"caapc.dev/v1alpha1","kind":"ImageScanList","items":[{}]}}"#,
            items.join(",")
        );
        folder.write(&format!("scans/{first}.json"), &list);
    }
    let what = format!("start to ready, {policies} policies, {scans} scans, in lists of 1,000");
    start_row(&mut table, &what, folder.measure(&what, binary));
    drop(folder);
    let idle = [100, 1_000].map(|policies| {
        let folder = Folder::new(&root, "idle", policies);
        folder.measure(&format!("W{policies}, no scans: idle"), binary).1
    });
    let each = (idle[1] - idle[0]) * 1e6 / 1024.0 / 9_000.0;
    let detail = format!("W1000 {:.1} MB, so {each:.1} KiB for each further rule", idle[1]);
    table.figure(12, "resident and idle with W100, MB", idle[0], detail, (16.0, 10.0));
    let _ = fs::remove_dir(&root);
    table.print();
    let results = serde_json::json!({"machine": conditions.end(), "rows": table.json()});
    println!("{}", results["machine"]);
    results::save("start", &results);
}

fn start_row(table: &mut Table, what: &str, (seconds, resident): (f64, f64)) {
    let detail = format!("{resident:.0} MB resident then");
    table.figure(12, &format!("{what}, s"), seconds, detail, (5.0, 2.0));
}

/// An `ImageScan` with ten vulnerabilities, about 1.4 KB.
fn scan(n: usize) -> String {
    let mut vulnerabilities = String::new();
    for row in 0..10 {
        let at = n * 7 + row * 131;
        let _ = write!(
            vulnerabilities,
            r#"{}{{"id":"CVE-{}-{}","v3":{}.{},"severity":"Medium","package":"lib-package-{}","fixed":"{}.{}.0"}}"#,
            if row == 0 { "" } else { "," },
            2015 + at % 10,
            1_000 + at % 3_000,
            at % 7,
            at % 10,
            at % 5_000,
            at % 50,
            at % 20,
        );
    }
    format!(
        r#"{{"apiVersion":"caapc.dev/v1alpha1","kind":"ImageScan","metadata":{{"name":"scan-{n}"}},"spec":{{"digest":"sha256:{n:064x}","references":["registry.example.com/team-{}/service-{n}:v1.{}"],"platform":"linux/amd64","state":"Scanned","scannedAt":"2026-01-10T09:00:00Z","vulnerabilities":[{vulnerabilities}]}}}}"#,
        n % 500,
        n % 37,
    )
}

/// A folder for local mode, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(root: &Path, name: &str, policies: usize) -> Self {
        let folder = Self(root.join(name));
        for (n, text) in workload::policies(policies).iter().enumerate() {
            folder.write(&format!("policies/{n:05}.yaml"), text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("room for a file");
    }

    /// Seconds until ready, the least, and MB that are resident then.
    fn measure(&self, what: &str, binary: &str) -> (f64, f64) {
        let (mut least, mut resident) = (f64::MAX, 0.0);
        for _ in 0..STARTS {
            let begun = Instant::now();
            let mut server = Server::start(&self.0, binary);
            server.until_ready();
            least = least.min(begun.elapsed().as_secs_f64());
            // What was only needed to start is given back within a second.
            std::thread::sleep(Duration::from_secs(2));
            resident = server.resident_mb();
        }
        println!("{what:<70} {least:>8.2} {resident:>10.1}");
        (least, resident)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Server {
    child: Child,
    /// Of health and metrics.
    address: String,
}

impl Server {
    fn start(folder: &Path, binary: &str) -> Self {
        let mut child = Command::new(binary)
            .arg("serve")
            .arg("--local")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("a line");
        let address = line.rsplit("http://").next().unwrap_or_default();
        let address = address.trim().trim_end_matches(')').to_owned();
        Self { child, address }
    }

    fn until_ready(&mut self) {
        loop {
            let mut answer = String::new();
            if let Ok(mut stream) = TcpStream::connect(&self.address) {
                let _ = stream
                    .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                let _ = stream.read_to_string(&mut answer);
            }
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
            assert!(self.child.try_wait().expect("a child").is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn resident_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
