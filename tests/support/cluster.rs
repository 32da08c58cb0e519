//! A real API server for a test: etcd, kube-apiserver and, if it is there, the controller
//! manager, on free ports of the loopback, in a folder of their own, stopped when dropped.
//!
//! Start at [`Cluster::start`].

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// How long anything may take to start; for liveness only.
const START_MAX: Duration = Duration::from_secs(120);

/// The servers and where they live.
pub struct Cluster {
    pub folder: PathBuf,
    assets: PathBuf,
    api_port: u16,
    etcd_port: u16,
    peer_port: u16,
    manager_port: u16,
    etcd: Option<Process>,
    api: Option<Process>,
    manager: Option<Process>,
}

/// A child process that ends with its owner.
pub struct Process {
    child: Child,
    pub name: String,
}

impl Process {
    /// Starts a program with its output in `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("a log file");
        let err = out.try_clone().expect("a second handle");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name: name.to_owned() }
    }

    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end and waits; returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        None
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
    socket.local_addr().expect("bound").port()
}

impl Cluster {
    /// Starts the servers of `KUBEBUILDER_ASSETS`; `None` and a loud line if that is unset.
    pub fn start(name: &str) -> Option<Self> {
        let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") else {
            eprintln!(
                "\n*** SKIPPED {name}: KUBEBUILDER_ASSETS is not set, so there is no API server.\n\
                 *** Set it to a folder with etcd, kube-apiserver and kubectl.\n"
            );
            return None;
        };
        let folder = std::env::temp_dir().join(format!("caapc-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut cluster = Self {
            folder,
            assets: assets.into(),
            api_port: free_port(),
            etcd_port: free_port(),
            peer_port: free_port(),
            manager_port: free_port(),
            etcd: None,
            api: None,
            manager: None,
        };
        cluster.certificates();
        cluster.start_etcd();
        cluster.start_api();
        cluster.start_manager();
        Some(cluster)
    }

    /// Whether there is a controller manager.
    pub fn has_manager(&self) -> bool {
        self.manager.is_some()
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Runs kubectl; input goes to its standard input.
    pub fn kubectl(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(self.assets.join("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(args);
        command.env("HOME", &self.folder).env("KUBECACHEDIR", self.folder.join("cache"));
        feed(&mut command, input)
    }

    /// Runs kubectl and returns its standard output; it must succeed.
    #[track_caller]
    pub fn kubectl_ok(&self, args: &[&str], input: &str) -> String {
        let output = self.kubectl(args, input);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs kubectl, which must fail, and returns its standard error.
    #[track_caller]
    pub fn kubectl_err(&self, args: &[&str], input: &str) -> String {
        let output = self.kubectl(args, input);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "kubectl {args:?} succeeded: {out}\n{input}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Ends the API server and starts it again with the same data.
    pub fn restart_api(&mut self, pause: Duration) {
        if let Some(api) = &mut self.api {
            // Asked to end, it would wait a minute for its watches.
            api.kill();
        }
        std::thread::sleep(pause);
        self.start_api();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn start_etcd(&mut self) {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let mut command = Command::new(self.assets.join("etcd"));
        command.args(["--name", "t", "--data-dir", &self.path("etcd.data")]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("t={peer}"), "--unsafe-no-fsync"]);
        self.etcd = Some(Process::start("etcd", &mut command, &self.folder.join("etcd.log")));
    }

    fn start_api(&mut self) {
        let mut command = Command::new(self.assets.join("kube-apiserver"));
        command.arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port));
        command.arg(format!("--secure-port={}", self.api_port));
        command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
        command.args(["--endpoint-reconciler-type=none", "--authorization-mode=RBAC"]);
        command.args(["--allow-privileged=true", "--service-cluster-ip-range=10.0.0.0/24"]);
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        if !self.assets.join("kube-controller-manager").exists() {
            command.arg("--disable-admission-plugins=ServiceAccount");
        }
        for (flag, file) in [
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("client-ca-file", "ca.crt"),
            ("cert-dir", "certs"),
            ("service-account-key-file", "sa.pub"),
            ("service-account-signing-key-file", "sa.key"),
        ] {
            command.arg(format!("--{flag}={}", self.path(file)));
        }
        let log = self.folder.join("kube-apiserver.log");
        self.api = Some(Process::start("kube-apiserver", &mut command, &log));
        let begun = Instant::now();
        loop {
            let ready = self.kubectl(&["get", "--raw", "/readyz"], "");
            if ready.stdout == b"ok"
                && self.kubectl(&["get", "namespace", "default"], "").status.success()
            {
                return;
            }
            let alive = self.api.as_mut().is_some_and(Process::alive);
            assert!(alive, "the API server ended; see {}", log.display());
            assert!(begun.elapsed() < START_MAX, "the API server is not ready; {}", log.display());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn start_manager(&mut self) {
        let program = self.assets.join("kube-controller-manager");
        if !program.exists() {
            return;
        }
        let mut command = Command::new(program);
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(format!("--{flag}={}", self.path("kcm.kubeconfig")));
        }
        command.args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        command.arg(format!("--secure-port={}", self.manager_port));
        command.arg("--use-service-account-credentials");
        command.arg(format!("--service-account-private-key-file={}", self.path("sa.key")));
        command.arg(format!("--root-ca-file={}", self.path("ca.crt")));
        command.arg(format!("--cert-dir={}", self.path("kcm-certs")));
        let log = self.folder.join("kube-controller-manager.log");
        self.manager = Some(Process::start("kube-controller-manager", &mut command, &log));
        self.account_in("default");
    }

    /// Waits for the service account that pods of a namespace need.
    pub fn account_in(&self, namespace: &str) {
        if self.manager.is_none() {
            return;
        }
        let begun = Instant::now();
        let get = ["-n", namespace, "get", "serviceaccount", "default"];
        while !self.kubectl(&get, "").status.success() {
            assert!(begun.elapsed() < START_MAX, "no service account in {namespace}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn certificates(&self) {
        let write = |name: &str, text: &str| {
            std::fs::write(self.folder.join(name), text).expect("a write");
        };
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = params.self_signed(&key).expect("an authority").pem();
        let issuer = Issuer::new(params, key);
        write("ca.crt", &ca);
        let account = KeyPair::generate().expect("a key");
        write("sa.key", &account.serialize_pem());
        write("sa.pub", &account.public_key_pem());
        let names = ["localhost", "kubernetes", "kubernetes.default.svc"];
        for (file, common_name, group) in [
            ("apiserver", "kube-apiserver", ""),
            ("admin", "admin", "system:masters"),
            ("kcm", "system:kube-controller-manager", ""),
        ] {
            let names = names.map(str::to_owned).to_vec();
            let mut params = CertificateParams::new(names).expect("names");
            for address in [[127, 0, 0, 1], [10, 0, 0, 1]] {
                params.subject_alt_names.push(SanType::IpAddress(address.into()));
            }
            params.distinguished_name.push(DnType::CommonName, common_name);
            if !group.is_empty() {
                params.distinguished_name.push(DnType::OrganizationName, group);
            }
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            write(&format!("{file}.crt"), &certificate.pem());
            write(&format!("{file}.key"), &key.serialize_pem());
            let config = serde_json::json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "t",
                "clusters": [{"name": "t", "cluster": {
                    "server": format!("https://127.0.0.1:{}", self.api_port),
                    "certificate-authority": self.path("ca.crt"),
                }}],
                "users": [{"name": "t", "user": {
                    "client-certificate": self.path(&format!("{file}.crt")),
                    "client-key": self.path(&format!("{file}.key")),
                }}],
                "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            });
            write(&format!("{file}.kubeconfig"), &config.to_string());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs of the servers are in {}", self.folder.display());
        }
        for process in [&mut self.manager, &mut self.api, &mut self.etcd] {
            drop(process.take());
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Runs a program with input, to its end.
pub fn feed(command: &mut Command, input: &str) -> Output {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    // A program that does not read its input closes it, which is no failure of ours.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("its output")
}
