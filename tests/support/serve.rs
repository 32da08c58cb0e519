//! The real binary, serving; and the service in this process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use caapc::serve::selfsigned;
use caapc::serve::service::Service;
use caapc::serve::tls::Tls;
use caapc::serve::webhook::Webhook;

use super::eventually_blocking;

/// A folder that goes when it is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("caapc-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file as editors do: beside, then in its place.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).expect("a write");
        std::fs::rename(&beside, &path).expect("a rename");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary, running `serve`; its log is kept.
pub struct Binary {
    pub child: Child,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Binary {
    /// Starts `caapc serve` with these arguments on free ports, and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        Self::start_at(0, args)
    }

    /// The same on a port that is known beforehand.
    pub fn start_at(port: u16, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_caapc"))
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{port}"), "--metrics-listen", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let log = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                kept.lock().expect("no panic").push(line);
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut binary = Self { child, address: nowhere, metrics: nowhere, lines };
        eventually_blocking("the binary listens", || {
            if let Ok(Some(status)) = binary.child.try_wait() {
                panic!("caapc serve ended with {status}: {:#?}", binary.log());
            }
            binary.find_addresses().is_some()
        });
        binary
    }

    /// Where it listens, from its own log line.
    fn find_addresses(&mut self) -> Option<()> {
        let log = self.log();
        let line = log.iter().find(|line| line.contains("\"listening\""))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        self.address = line["webhook"].as_str()?.parse().ok()?;
        self.metrics = line["metrics"].as_str()?.parse().ok()?;
        Some(())
    }

    /// Waits until `/readyz` says so.
    #[track_caller]
    pub fn ready(self) -> Self {
        eventually_blocking("the binary is ready", || self.get("/readyz").0 == 200);
        self
    }

    /// What was logged so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    /// Whether a line with all of these was logged.
    pub fn logged(&self, parts: &[&str]) -> bool {
        self.log().iter().any(|line| parts.iter().all(|part| line.contains(part)))
    }

    /// GETs from the second port; code 0 if it does not answer.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.metrics, path)
    }

    /// Asks it to end and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let mut code = None;
        eventually_blocking("the binary ends", || match self.child.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            _ => false,
        });
        code
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of caapc serve: {:#?}", self.log());
        }
    }
}

/// GETs without TLS on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return (0, String::new()) };
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut text = String::new();
    if stream.write_all(head.as_bytes()).is_err() || stream.read_to_string(&mut text).is_err() {
        return (0, String::new());
    }
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (code, body)
}

/// The service in this process.
pub struct InProcess {
    pub service: Service,
    pub webhook: Arc<Webhook>,
    pub ca: PathBuf,
    _folder: Folder,
}

impl InProcess {
    pub async fn start(name: &str, webhook: Webhook) -> Self {
        let folder = Folder::new(name);
        let (files, ca) = selfsigned::make(&folder.0, [127, 0, 0, 1].into()).expect("a pair");
        let tls = Tls::load(files).expect("a certificate");
        let webhook = Arc::new(webhook);
        let service = Service::start(
            Arc::clone(&webhook),
            SocketAddr::from(([127, 0, 0, 1], 0)),
            Some(&tls),
            webhook.limits.clone(),
            webhook.metrics.connections.clone(),
            std::time::Duration::from_secs(20),
        )
        .await
        .expect("a port");
        Self { service, webhook, ca, _folder: folder }
    }
}

/// A review of a pod with one image.
pub fn pod_review(namespace: &str, image: &str) -> String {
    serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "web",
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "jane"},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web", "namespace": namespace},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    })
    .to_string()
}

/// The folder of samples that the README shows.
pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/local")
}
